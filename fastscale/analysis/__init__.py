"""Tables and figures from records alone: the same records give the same bytes, on any machine. No torch."""

from pathlib import Path

from fastscale.analysis.reading import Scope
from fastscale.analysis.results import load
from fastscale.artefacts import ARTEFACTS
from fastscale.sweep import Sweep


def aggregate(sweep: Sweep, artefact: str, scope: Scope = "all") -> list[Path]:
    """Write all files of one artefact of `sweep`, each whole or not at all; returns their paths.

    A narrower scope has a folder of its own, so that a partial artefact is never taken for a whole one.

    Raises:
        UserError: records are missing (in the scope "all"), broken or do not belong together.
    """
    results = load(sweep, artefact, scope)
    match ARTEFACTS[artefact].kind:  # tables need no matplotlib, figures no sympy
        case "figure":
            from fastscale.analysis import figures as module
        case "table":
            from fastscale.analysis import tables as module
        case "page":
            from fastscale.analysis import readme as module
    paths = [sweep.in_scope(path, scope) for path in sweep.artefacts[artefact]]
    module.write(sweep, artefact, results, paths)
    return paths

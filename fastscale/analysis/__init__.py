"""Tables and figures from records alone: the same records give the same bytes, on any machine. No torch."""

from pathlib import Path

from fastscale.artefacts import ARTEFACTS
from fastscale.sweep import Sweep


def aggregate(sweep: Sweep, artefact: str, partial: bool = False) -> list[Path]:
    """Write all files of one artefact of `sweep`, each whole or not at all; returns their paths.

    Raises:
        UserError: records are missing (unless `partial`, where they are gaps), broken or do not belong together.
    """
    from fastscale.analysis.results import load

    kind = ARTEFACTS[artefact]
    results = load(sweep, artefact, kind.reads, partial)
    if kind.kind == "figure":  # tables need no matplotlib, figures no sympy
        from fastscale.analysis import figures as module
    else:
        from fastscale.analysis import tables as module
    return module.write(sweep, artefact, results)

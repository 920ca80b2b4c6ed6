"""Tables and figures, made from records alone: the same records give the same bytes on any machine. No torch."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

from fastscale.analysis.rendering import table
from fastscale.analysis.results.reading import Scope
from fastscale.analysis.results.results import load
from fastscale.records.files import write_text
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.sweep import Sweep


def aggregate(sweep: Sweep, artefact: str, scope: Scope = "all") -> list[Path]:
    """Write all files of one artefact of `sweep`, each whole or not at all, and return their paths.

    A scope other than "all" has a folder of its own, so that a partial artefact is never taken for a whole artefact.

    Raises:
        UserError: records are missing (in the scope "all"), broken or do not belong together.
    """
    results = load(sweep, artefact, scope)
    paths = [sweep.in_scope(path, scope) for path in sweep.artefacts[artefact]]
    warning = results.noise.warning  # before all else, wherever timings are shown
    make = resolve_name(ARTEFACTS[artefact].maker)  # loaded late: tables need no matplotlib, figures no sympy
    match ARTEFACTS[artefact].kind:
        case "table":
            table.write(replace(make(sweep, artefact, results), warning=warning), artefact, paths)
        case "figure":
            from fastscale.analysis.rendering import style

            footer = "\n".join(filter(None, [warning, results.conditions, *results.remarks]))
            style.write(partial(make, sweep, artefact, results), footer, paths)
        case "page":
            write_text(paths[0], make(sweep, artefact, results))
    return paths

"""Verdicts of several devices side by side: each line of their verdict pages, with a column for each device."""

from collections.abc import Sequence
from pathlib import Path

from fastscale.analysis.rendering.cells import GAP
from fastscale.analysis.rendering.table import Grid, Table
from fastscale.analysis.results.results import Results, load
from fastscale.analysis.tables import verdict
from fastscale.errors import UserError
from fastscale.sweep.sweep import Sweep


def compare(folders: Sequence[Path]) -> Table:
    """Put the verdicts of several results folders side by side.

    The timings of each folder are of one device, and are judged by themselves, as on its verdict page. Where a case
    rests on another number of networks or rounds in another folder, each cell says on how many.

    Raises:
        UserError: fewer than two folders are given, one is no results folder, or its records are broken or of several
            devices.
    """
    if len({folder.resolve() for folder in folders}) < 2:
        raise UserError("one folder is nothing to compare: give two results folders or more, such as results/verdict")
    answers: list[str | Grid] = []
    columns = []
    for folder in folders:
        sweep = _sweep(folder)
        results = load(sweep, "verdict", "partial")
        table = verdict.table(sweep, "verdict", results)
        columns.append({(line[0], line[1]): line[2:] for line in table.lines})
        answers += [f"## {folder} ({_device(results)})", table.body[0]]
    cases = dict.fromkeys(case for column in columns for case in column)
    header = ("question", "case", "paper", *map(str, folders))
    lines = [(*map(str, case), *_cells([column.get(case) for column in columns])) for case in cases]
    body = answers
    for question in dict.fromkeys(question for question, _ in cases):
        body += [f"## {question}", Grid(header[1:], [line[1:] for line in lines if line[0] == question])]
    return Table("Does fast scaling hold on these devices?", body, header, lines)


def _sweep(folder: Path) -> Sweep:
    """Read the sweep of a results folder, wherever the folder was moved to."""
    place = folder if folder.name else folder.resolve()
    config = Sweep.load(folder / "sweep.json").config
    return Sweep.expanded({**config, "sweep": place.name, "results": str(place.parent)})


def _device(results: Results) -> str:
    """Name the device of all timings."""
    return next((row.time.device for row in results.rows if row.time), "nothing timed")


def _cells(found: Sequence[Sequence[object] | None]) -> list[str]:
    """Write the paper's number of a case, then each folder's, with its n where these differ; or a gap."""
    known = [list(map(str, line)) for line in found if line is not None]
    differ = len({n for _, _, n in known}) > 1
    ours = iter([f"{number} ({n})" if differ else number for _, number, n in known])
    return [known[0][0], *(GAP if line is None else next(ours) for line in found)]

"""Tables 5 to 8: complexity, epoch time and error of named networks, beside the paper's numbers."""

from collections.abc import Iterator

from fastscale.analysis.rendering.cells import error_cell, minutes_cell
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.published import UNITS, Published, numbers, published
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.sweep import Sweep

TITLES = {
    "table5": "Table 5. EfficientNet reproduction",
    "table6": "Table 6. RegNet baselines",
    "table7": "Table 7. Scaling and search",
    "table8": "Table 8. Large networks",
}
LETTERS = {"flops": "B", "params": "M", "acts": "M"}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Make one of Tables 5 to 8, as `artefact` says: a row per network, in the order of the configuration."""
    requested = {schedule for selection in results.selections for schedule in selection.schedules}
    schedules = [schedule for schedule in sweep.config["schedules"] if schedule in requested]
    authors = numbers()["efficientnet_publication_error"] if artefact == "table5" else {}
    shown, lines = [], []
    equal = compared = 0
    for name, label, row in _rows(results):
        paper = published(row.point.network)
        reported = authors.get(paper.name, {}) if paper else {}
        shown.append(
            [f"{name} [{label}]" if label else name]
            + [_count(getattr(row, key), unit, paper and getattr(paper, key)) for key, unit in UNITS.items()]
            + [_time(row, paper)]
            + ([f"{reported[key]:.1f}" if key in reported else "" for key in ("icml", "arxiv")] if authors else [])
            + [_error(row.errors.get(schedule), paper and paper.errors.get(schedule)) for schedule in schedules]
        )
        lines.append([name, label, row.point.network.id, *_exact(row, paper, schedules)])
        for key, unit in UNITS.items() if paper else ():
            compared += 1
            equal += round(getattr(row, key) / unit, 1) == round(getattr(paper, key) / unit, 1)
    header = ["network", *(f"{key} ({LETTERS[key]})" for key in UNITS), "time (min)"]
    header += ["ICML", "arXiv"] if authors else []
    columns = [f"{what}{key}" for key in (*UNITS, "minutes") for what in ("", "published_", "deviation_")]
    columns += ["minutes_most", "rounds", "batch"]
    for schedule in schedules:
        columns += [f"error_{schedule}{part}" for part in ("", "_std", "_trials")]
        columns += [f"published_error_{schedule}", f"published_error_{schedule}_std", f"deviation_error_{schedule}"]
    verdict = f"**{equal} of {compared} published complexity numbers equal ours at one decimal.** " if compared else ""
    text = (
        verdict + "Ours (published, deviation); — is a gap. Complexity is that of one image, time the median of an "
        f"epoch of {results.epoch.images:,} images on one device (published: 8 V100); error is top-1 in "
        "percent, mean ± standard deviation over trials (published: 3 trials)."
    )
    return Table(
        f"{TITLES[artefact]}, sweep {sweep.name}",
        [conditions(results), text, Grid([*header, *(f"error {schedule}" for schedule in schedules)], shown)],
        ["network", "label", "id", *columns],
        lines,
    )


def _rows(results: Results) -> Iterator[tuple[str, str, Row]]:
    """Yield the name, the label that the configuration gives, and the row of each network."""
    for selection in results.selections:
        for curve in selection.curves:
            for row in map(results.row, curve.points):
                yield row.name, selection.label, row


def _count(exact: int, unit: float, paper: float | None) -> str:
    """Format a count in its unit, with the paper's and the deviation; all three are rounded to one decimal."""
    if paper is None:
        return f"{exact / unit:.3g}" if exact < unit else f"{exact / unit:.1f}"
    ours, printed = round(exact / unit, 1), round(paper / unit, 1)
    return f"{ours:.1f} ({printed:.1f}, {ours - printed:+.1f})"


def _time(row: Row, paper: Published | None) -> str:
    ours = minutes_cell(row.time)
    return f"{ours} ({paper.time:.1f})" if paper else ours


def _error(error: Error | None, paper: tuple[float, float] | None) -> str:
    ours = error_cell(error, digits=1)
    if paper is None:
        return ours
    deviation = "" if error is None else f", {error.mean - paper[0]:+.1f}"
    return f"{ours} ({paper[0]:.1f} ± {paper[1]:.2f}{deviation})"


def _exact(row: Row, paper: Published | None, schedules: list[str]) -> Iterator[object]:
    """Yield the cells of the CSV: ours, published and deviation; empty where a number is missing."""
    for key in UNITS:
        exact, printed = getattr(row, key), paper and round(getattr(paper, key))
        yield from (exact, printed, exact - printed) if paper else (exact, "", "")
    minutes = row.time.seconds / 60 if row.time else None
    yield from (_plain(minutes), _plain(paper and paper.time), _plain(minutes and paper and minutes - paper.time))
    time = row.time
    yield from (_plain(time.most / 60), time.n, time.batch) if time else ("", "", "")
    for schedule in schedules:
        error, printed = row.errors.get(schedule), paper.errors.get(schedule) if paper else None
        yield from (_plain(error.mean), _plain(error.std), error.n) if error else ("", "", "")
        yield from map(_plain, printed or (None, None))
        yield _plain(error.mean - printed[0]) if error and printed else ""


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

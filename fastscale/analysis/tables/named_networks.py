"""Tables 5 to 8: complexity, epoch time and error of named networks, beside what the paper prints of them."""

from collections.abc import Iterator

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.published import UNITS, Published, numbers, published
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.sweep import Sweep

TITLES = {
    "table5": "Table 5. EfficientNet reproduction",
    "table6": "Table 6. RegNet baselines",
    "table7": "Table 7. Scaling and search",
    "table8": "Table 8. Large models",
}
LETTERS = {"flops": "B", "params": "M", "acts": "M"}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """One of the four tables: a row for each network, by the order of the configuration."""
    asked = {schedule for chosen in results.selections for schedule in chosen.schedules}
    schedules = [schedule for schedule in sweep.config["schedules"] if schedule in asked]
    authors = numbers()["efficientnet_publication_error"] if artefact == "table5" else {}
    shown, lines = [], []
    equal = compared = 0
    for name, label, row in _rows(results):
        paper = published(row.point.network)
        theirs = authors.get(paper.name, {}) if paper else {}
        shown.append(
            [f"{name} [{label}]" if label else name]
            + [_count(getattr(row, key), unit, paper and getattr(paper, key)) for key, unit in UNITS.items()]
            + [_time(row, paper)]
            + ([f"{theirs[key]:.1f}" if key in theirs else "" for key in ("icml", "arxiv")] if authors else [])
            + [_error(row.errors.get(schedule), paper and paper.errors.get(schedule)) for schedule in schedules]
        )
        lines.append([name, label, row.point.network.id, *_exact(row, paper, schedules)])
        for key, unit in UNITS.items() if paper else ():
            compared += 1
            equal += round(getattr(row, key) / unit, 1) == round(getattr(paper, key) / unit, 1)
    header = ["network", *(f"{key} ({LETTERS[key]})" for key in UNITS), "time (min)"]
    header += ["ICML", "arXiv"] if authors else []
    columns = [f"{what}{key}" for key in (*UNITS, "minutes") for what in ("", "published_", "deviation_")]
    columns += ["minutes_q1", "minutes_q3", "timed_steps", "batch"]
    for schedule in schedules:
        columns += [f"error_{schedule}{part}" for part in ("", "_std", "_trials")]
        columns += [f"published_error_{schedule}", f"published_error_{schedule}_std", f"deviation_error_{schedule}"]
    verdict = f"**{equal} of {compared} published complexity numbers equal ours at one decimal.** " if compared else ""
    text = (
        verdict + "Ours (published, deviation); — is a gap. Complexity is that of one image, time that of an epoch of "
        f"{sweep.config['profile']['images']:,} images on one device (published: 8 V100); error is top-1 in percent, "
        "mean ± standard deviation over trials."
    )
    return Table(
        f"{TITLES[artefact]}, sweep {sweep.name}",
        [conditions(results), text, Grid([*header, *(f"error {schedule}" for schedule in schedules)], shown)],
        ["network", "label", "id", *columns],
        lines,
    )


def _rows(results: Results) -> Iterator[tuple[str, str, Row]]:
    for chosen in results.selections:
        for curve in chosen.curves:
            for point in curve.points:
                name = point.base if point.scale == 1 else f"{point.base} {point.strategy} {point.scale:g}"
                yield name, chosen.label, results.row(point)


def _count(exact: int, unit: float, paper: float | None) -> str:
    """A count in its unit; the deviation is that of the numbers as printed, to one decimal."""
    if paper is None:
        return f"{exact / unit:.3g}" if exact < unit else f"{exact / unit:.1f}"
    ours, theirs = round(exact / unit, 1), round(paper / unit, 1)
    return f"{ours:.1f} ({theirs:.1f}, {ours - theirs:+.1f})"


def _time(row: Row, paper: Published | None) -> str:
    ours = f"{row.time.median / 60:.3g}" if row.time else "—"
    return f"{ours} ({paper.time:.1f})" if paper else ours


def _error(error: Error | None, paper: tuple[float, float] | None) -> str:
    ours = "—" if error is None else f"{error.mean:.1f}" + ("" if error.std is None else f" ± {error.std:.2f}")
    if paper is None:
        return ours
    deviation = "" if error is None else f", {error.mean - paper[0]:+.1f}"
    return f"{ours} ({paper[0]:.1f} ± {paper[1]:.2f}{deviation})"


def _exact(row: Row, paper: Published | None, schedules: list[str]) -> Iterator[object]:
    """The cells of the CSV: ours, published and deviation; empty where there is none."""
    for key in UNITS:
        exact, theirs = getattr(row, key), paper and round(getattr(paper, key))
        yield from (exact, theirs, exact - theirs) if paper else (exact, "", "")
    minutes = row.time.median / 60 if row.time else None
    yield from (_plain(minutes), _plain(paper and paper.time), _plain(minutes and paper and minutes - paper.time))
    time = row.time
    yield from (_plain(time.q1 / 60), _plain(time.q3 / 60), time.n, time.batch) if time else ("", "", "", "")
    for schedule in schedules:
        error, theirs = row.errors.get(schedule), paper.errors.get(schedule) if paper else None
        yield from (_plain(error.mean), _plain(error.std), error.n) if error else ("", "", "")
        yield from map(_plain, theirs or (None, None))
        yield _plain(error.mean - theirs[0]) if error and theirs else ""


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

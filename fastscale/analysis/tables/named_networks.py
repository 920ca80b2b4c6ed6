"""Tables 5 to 8: complexity, epoch time and error of named networks, beside the paper's numbers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fastscale.analysis.rendering.cells import GAP, error_cell
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.rendering.units import COUNTS, TIMES, Unit, number, unit_of
from fastscale.analysis.results.published import UNITS, Published, are_comparable, numbers, published
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.sweep import Sweep

TITLES = {
    "table5": "Table 5. EfficientNet reproduction",
    "table6": "Table 6. RegNet baselines",
    "table7": "Table 7. Scaling and search",
    "table8": "Table 8. Large networks",
}
PAPERS = {key: Unit(factor, {1e9: "G", 1e6: "M"}[factor]) for key, factor in UNITS.items()}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Make one of Tables 5 to 8, as `artefact` says: a row per network, in the order of the configuration."""
    requested = {schedule for selection in results.selections for schedule in selection.schedules}
    schedules = [schedule for schedule in sweep.config["schedules"] if schedule in requested]
    authors = numbers()["efficientnet_publication_error"] if artefact == "table5" else {}
    named = [(name, label, row, published(row.point.network)) for name, label, row in _rows(results)]
    units = PAPERS if any(paper for *_, paper in named) else _units([row for _, _, row, _ in named])
    times = _Times.of([(name, row, paper) for name, _, row, paper in named], are_comparable(results.records["profile"]))
    shown, lines = [], []
    equal = compared = 0
    for name, label, row, paper in named:
        reported = authors.get(paper.name, {}) if paper else {}
        shown.append(
            [f"{name} [{label}]" if label else name]
            + [_count(getattr(row, key), unit, paper and getattr(paper, key)) for key, unit in units.items()]
            + times.cells(row, paper)
            + ([f"{reported[key]:.1f}" if key in reported else "" for key in ("icml", "arxiv")] if authors else [])
            + [_error(row.errors.get(schedule), paper and paper.errors.get(schedule)) for schedule in schedules]
        )
        lines.append([name, label, row.point.network.id, *_exact(row, paper, schedules, times.has_published)])
        for key, unit in UNITS.items() if paper else ():
            compared += 1
            equal += round(getattr(row, key) / unit, 1) == round(getattr(paper, key) / unit, 1)
    header = ["network", *(f"{key} ({unit.name})" for key, unit in units.items()), *times.header]
    header += ["ICML", "arXiv"] if authors else []
    columns = [f"{what}{key}" for key in UNITS for what in ("", "published_", "deviation_")]
    columns += ["minutes", "published_device_minutes", "deviation_minutes", "minutes_most", "rounds", "batch"]
    for schedule in schedules:
        columns += [f"error_{schedule}{part}" for part in ("", "_std", "_trials")]
        columns += [f"published_error_{schedule}", f"published_error_{schedule}_std", f"deviation_error_{schedule}"]
    verdict = f"**{equal} of {compared} published complexity numbers equal ours at one decimal.** " if compared else ""
    text = (
        f"{verdict}Ours (published, deviation); — is a gap. Complexity is that of one image. The column time has the "
        f"{results.epoch.words} on one device: the least of n rounds, beside the most of them "
        f"(n){times.words}. Error is top-1 in percent: mean ± standard deviation over trials (published: 3 trials)."
    )
    return Table(
        f"{TITLES[artefact]}, sweep {sweep.name}",
        [conditions(results), text, Grid([*header, *(f"error {schedule}" for schedule in schedules)], shown)],
        ["network", "label", "id", *columns],
        lines,
    )


@dataclass(frozen=True)
class _Times:
    """The columns of times: the paper's beside ours where they are comparable, else both relative to one network."""

    unit: Unit
    has_published: bool
    base: tuple[str, float, float] | None  # name of the first network that both timed, our seconds and the paper's

    @classmethod
    def of(cls, named: Sequence[tuple[str, Row, Published | None]], has_published: bool) -> "_Times":
        both = ((name, row.time.seconds, paper.device_seconds) for name, row, paper in named if row.time and paper)
        unit = unit_of([row.time.seconds if row.time else None for _, row, _ in named], TIMES)
        return cls(unit, has_published, next(both, None))

    @property
    def is_relative(self) -> bool:
        return self.base is not None and not self.has_published

    @property
    def header(self) -> list[str]:
        relative = [f"time / {self.base[0]}'s"] if self.base and self.is_relative else []
        return [f"time ({self.unit.name})", "most (n)", *relative]

    @property
    def words(self) -> str:
        if self.base and self.is_relative:
            return "; the paper's, of GPUs, is compared by its ratio to one network's alone"
        return " (published: of 8 V100, times 8)" if self.has_published else ""

    def cells(self, row: Row, paper: Published | None) -> list[str]:
        ours = self.unit.write(row.time.seconds) if row.time else GAP
        most = f"{self.unit.write(row.time.most)} ({row.time.n})" if row.time else GAP
        if not (self.base and self.is_relative):
            published = f" ({self.unit.write(paper.device_seconds)})" if paper and self.has_published else ""
            return [ours + published, most]
        _, base, papers = self.base
        ratio = number(row.time.seconds / base) if row.time else GAP
        return [ours, most, f"{ratio} ({number(paper.device_seconds / papers)})" if paper else ratio]


def _units(rows: Sequence[Row]) -> dict[str, Unit]:
    return {key: unit_of([getattr(row, key) for row in rows], COUNTS) for key in UNITS}


def _rows(results: Results) -> Iterator[tuple[str, str, Row]]:
    """Yield the name, the label that the configuration gives, and the row of each network."""
    for selection in results.selections:
        for curve in selection.curves:
            for row in map(results.row, curve.points):
                yield row.name, selection.label, row


def _count(exact: int, unit: Unit, paper: float | None) -> str:
    """Format a count in its unit, with the paper's and the deviation; all three are rounded to one decimal."""
    if paper is None:
        return unit.write(exact)
    ours, printed = round(exact / unit.factor, 1), round(paper / unit.factor, 1)
    return f"{ours:.1f} ({printed:.1f}, {ours - printed:+.1f})"


def _error(error: Error | None, paper: tuple[float, float] | None) -> str:
    ours = error_cell(error, digits=1)
    if paper is None:
        return ours
    deviation = "" if error is None else f", {error.mean - paper[0]:+.1f}"
    return f"{ours} ({paper[0]:.1f} ± {paper[1]:.2f}{deviation})"


def _exact(row: Row, paper: Published | None, schedules: list[str], has_published: bool) -> Iterator[object]:
    """Yield the cells of the CSV: ours, published and deviation; empty where a number is missing."""
    for key in UNITS:
        exact, printed = getattr(row, key), paper and round(getattr(paper, key))
        yield from (exact, printed, exact - printed) if paper else (exact, "", "")
    minutes = row.time.seconds / 60 if row.time else None
    papers = paper.device_seconds / 60 if paper else None
    deviation = minutes - papers if has_published and minutes and papers else None
    yield from map(_plain, (minutes, papers, deviation))
    time = row.time
    yield from (_plain(time.most / 60), time.n, time.batch) if time else ("", "", "")
    for schedule in schedules:
        error, printed = row.errors.get(schedule), paper.errors.get(schedule) if paper else None
        yield from (_plain(error.mean), _plain(error.std), error.n) if error else ("", "", "")
        yield from map(_plain, printed or (None, None))
        yield _plain(error.mean - printed[0]) if error and printed else ""


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"

"""What a sweep's records say of each of its points; refuses what must not stand on one curve."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastscale.analysis.results.reading import Error, Reader, Scope, Time
from fastscale.sweep.selection import Curve, Point, Selection, points
from fastscale.sweep.sweep import Sweep


@dataclass(frozen=True)
class Row:
    """A point with its counts and what was measured, errors by schedule; `notes` say why something is absent."""

    point: Point
    flops: int
    params: int
    acts: int
    realised: float
    time: Time | None
    errors: Mapping[str, Error]
    notes: tuple[str, ...]

    @property
    def is_base(self) -> bool:
        """Whether this is the base itself."""
        return self.point.scale == 1


@dataclass(frozen=True)
class Results:
    """The rows of an artefact and what holds for all of them; figures show the errors of `schedule`."""

    selections: tuple[Selection, ...]
    rows: tuple[Row, ...]
    schedule: str
    conditions: str  # device and data, for a footer
    remarks: tuple[str, ...]  # what a reader must know: old code, gaps
    records: Mapping[str, Sequence[Mapping[str, Any]]]  # those that were read, of profile and of train

    def row(self, point: Point) -> Row:
        """The row of a point."""
        return self._by_point[point]

    def error(self, row: Row) -> Error | None:
        """The error of a row by the schedule that the figures show."""
        return row.errors.get(self.schedule)

    def select(self, base: str, strategy: str | None = None) -> list[Row]:
        """A base's points, of one strategy with the base in front (a curve) or of all, by flops."""
        asked = (c.points for c in self.curves if c.base == base and strategy in (None, c.strategy))
        chosen = dict.fromkeys(point for curve in asked for point in curve)
        return sorted(map(self.row, chosen), key=lambda row: (row.flops, row.point.strategy))

    @property
    def curves(self) -> list[Curve]:
        """All curves, in the order of the configuration."""
        return [curve for chosen in self.selections for curve in chosen.curves]

    @property
    def bases(self) -> list[str]:
        """The bases of curves, in the order of the configuration."""
        return list(dict.fromkeys(curve.base for curve in self.curves))

    @property
    def strategies(self) -> list[str]:
        """The strategies of curves, in the order of the configuration."""
        return list(dict.fromkeys(curve.strategy for curve in self.curves if curve.strategy != "base"))

    @cached_property
    def _by_point(self) -> dict[Point, Row]:
        return {row.point: row for row in self.rows}


def load(sweep: Sweep, artefact: str, scope: Scope = "all") -> Results:
    """The results that `artefact` shows.

    Raises:
        UserError: a record is missing (in the scope "all"), broken or of another network, or records do not belong
            together: other devices, recipes or data.
    """
    reads = sweep.needs.reads(artefact) if scope != "complexity" else ()
    reader = Reader(sweep, artefact, scope)
    selections = sweep.needs.selections(artefact)
    schedules: dict[str, list[str]] = {}
    for network_id, schedule in sweep.trainings(selections) if "error" in reads else ():
        schedules.setdefault(network_id, []).append(schedule)
    counts, measured = {}, {}
    asked = points(selections)
    for network in {point.network.id: point.network for point in asked}.values():
        counts[network.id] = reader.counts(network)
        time, notes = reader.time(network) if "time" in reads else (None, [])
        errors = {}
        for schedule in schedules.get(network.id, ()):
            error, gaps = reader.error(network, schedule)
            notes = [*notes, *gaps]
            if error:
                errors[schedule] = error
        measured[network.id] = time, errors, tuple(notes)
    base_flops = {point.base: counts[point.network.id]["flops"] for point in asked if point.scale == 1}
    rows = []
    for point in asked:
        flops, params, acts = (counts[point.network.id][key] for key in ("flops", "params", "acts"))
        rows.append(Row(point, flops, params, acts, flops / base_flops[point.base], *measured[point.network.id]))
    conditions = _conditions(sweep, reader, {s for asked in schedules.values() for s in asked})
    remarks = tuple(_remarks(sweep, artefact, reader, rows))
    return Results(selections, tuple(rows), sweep.schedule, conditions, remarks, reader.read)


def _conditions(sweep: Sweep, reader: Reader, schedules: set[str]) -> str:
    """Where and how was measured, in words."""
    parts = [str(reader.common["device"][0])] if "device" in reader.common else []
    if "data" in reader.common:
        shown = {name: epochs for name, epochs in sweep.config["schedules"].items() if name in schedules}
        epochs = (
            ", ".join(f"{name}: {n}" for name, n in shown.items()) if len(shown) > 1 else next(iter(shown.values()))
        )
        parts += [sweep.config["data"]["name"], f"epochs {epochs}", f"trials {len(sweep.trials)}"]
    return " · ".join(parts)


def _remarks(sweep: Sweep, artefact: str, reader: Reader, rows: list[Row]) -> Iterator[str]:
    """What a reader must know of the records."""
    if reader.scope == "complexity":
        yield "Complexity alone: what needs a training or a timing is left out."
    if reader.missing:
        yield f"Partial: {reader.missing} records are missing."
    if reader.stale:
        yield f"{reader.stale} records are older than the code that measures; redo them to trust them."
    if waiting := sweep.needs.waiting(artefact):
        yield f"Left out, as their search has not run: {', '.join(waiting)}."
    diverged = {
        f"{row.point.base} {row.point.strategy} {row.point.scale:g}" for row in rows if "diverged" in str(row.notes)
    }
    if diverged:
        yield f"Gaps, as a training diverged: {', '.join(sorted(diverged))}."

"""The results of a sweep: a row per point, made from records that may stand on one curve."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastscale.analysis.results.epoch import Epoch
from fastscale.analysis.results.noise import Noise, time_spread
from fastscale.analysis.results.reading import Error, Reader, Scope, Time, validation_images
from fastscale.analysis.results.uncertainty import Spread
from fastscale.cost.prediction import Costs, Timing
from fastscale.sweep.selection import Curve, Point, Selection, points
from fastscale.sweep.sweep import Sweep


@dataclass(frozen=True)
class Row:
    """A point with its network's counts and measurements; `notes` say why a measurement is missing.

    `realised` is the scale after quantisation: flops over the base's. `errors` are by schedule.
    """

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
        """Say whether this is the base itself."""
        return self.point.scale == 1

    @property
    def name(self) -> str:
        """Name the network for people: by its base and, if it is scaled, by strategy and scale."""
        point = self.point
        return point.base if self.is_base else f"{point.base} {point.strategy} {point.scale:g}"


@dataclass(frozen=True)
class Results:
    """The rows of an artefact, and what all of them share; figures show the errors by `schedule`."""

    selections: tuple[Selection, ...]
    rows: tuple[Row, ...]
    schedule: str
    conditions: str  # device and data, for a footer
    remarks: tuple[str, ...]  # warnings to readers: older code, gaps
    records: Mapping[str, Sequence[Mapping[str, Any]]]  # the records read, by stage: profile, train
    epoch: Epoch  # of which all times are
    noise: Noise  # of these and of all timings that were made with them, so that all pages agree
    time_spread: Spread | None  # of the same timings; relative
    val_images: int | None = None  # on which errors were measured; None: unknown

    def row(self, point: Point) -> Row:
        """Return the row of a point."""
        return self._by_point[point]

    def error(self, row: Row) -> Error | None:
        """Return the error of a row by the schedule that figures show."""
        return row.errors.get(self.schedule)

    def select(self, base: str, strategy: str | None = None) -> list[Row]:
        """List the rows of a base by flops: of the curve of one strategy, which begins at the base, or of all."""
        curves = (curve for curve in self.curves if curve.base == base and strategy in (None, curve.strategy))
        distinct = dict.fromkeys(point for curve in curves for point in curve.points)
        return sorted(map(self.row, distinct), key=lambda row: (row.flops, row.point.strategy))

    @property
    def curves(self) -> list[Curve]:
        """List all curves in the order of the configuration."""
        return [curve for selection in self.selections for curve in selection.curves]

    @property
    def bases(self) -> list[str]:
        """List the bases of curves in the order of the configuration."""
        return list(dict.fromkeys(curve.base for curve in self.curves))

    @property
    def strategies(self) -> list[str]:
        """List the strategies of curves in the order of the configuration."""
        return list(dict.fromkeys(curve.strategy for curve in self.curves if curve.strategy != "base"))

    @cached_property
    def timings(self) -> list[Timing]:
        """List the timings of all timed networks, as fits of time and memory take them."""
        networks = {row.point.network.id: row.point.network for row in self.rows}
        records = self.records["profile"]
        return [Timing.from_record(Costs.from_network(networks[record["network"]]), record) for record in records]

    @cached_property
    def _by_point(self) -> dict[Point, Row]:
        return {row.point: row for row in self.rows}


def load(sweep: Sweep, artefact: str, scope: Scope = "all") -> Results:
    """Read the results that `artefact` shows.

    Raises:
        UserError: a record is missing (in the scope "all"), broken or of another network, or the devices, recipes or
            data of two records differ.
    """
    reads = sweep.needs.reads(artefact) if scope != "complexity" else ()
    reader = Reader(sweep, artefact, scope)
    selections = sweep.needs.selections(artefact)
    schedules: dict[str, list[str]] = {}
    for network_id, schedule in sweep.trainings(selections) if "error" in reads else ():
        schedules.setdefault(network_id, []).append(schedule)
    counts, measured = {}, {}
    shown = points(selections)
    for network in {point.network.id: point.network for point in shown}.values():
        counts[network.id] = reader.counts(network)
        time, notes = reader.time(network) if "time" in reads else (None, [])
        errors = {}
        for schedule in schedules.get(network.id, ()):
            error, gaps = reader.error(network, schedule)
            notes = [*notes, *gaps]
            if error:
                errors[schedule] = error
        measured[network.id] = time, errors, tuple(notes)
    base_flops = {point.base: counts[point.network.id]["flops"] for point in shown if point.scale == 1}
    rows = []
    for point in shown:
        flops, params, acts = (counts[point.network.id][key] for key in ("flops", "params", "acts"))
        rows.append(Row(point, flops, params, acts, flops / base_flops[point.base], *measured[point.network.id]))
    conditions = _conditions(sweep, reader, {name for names in schedules.values() for name in names})
    remarks = tuple(_remarks(sweep, artefact, reader, rows))
    noise, spread = Noise.from_records(reader.timings), time_spread(reader.timings)
    measured_on = reader.epoch, noise, spread, validation_images(reader.records["train"])
    return Results(selections, tuple(rows), sweep.schedule, conditions, remarks, reader.records, *measured_on)


def _conditions(sweep: Sweep, reader: Reader, schedules: set[str]) -> str:
    """Say on which device, data, epochs and trials the results rest, in words."""
    parts = [str(reader.common["device"][0])] if "device" in reader.common else []
    if "data" in reader.common:
        shown = {name: epochs for name, epochs in sweep.config["schedules"].items() if name in schedules}
        epochs = (
            ", ".join(f"{name}: {n}" for name, n in shown.items()) if len(shown) > 1 else next(iter(shown.values()))
        )
        parts += [sweep.config["data"]["name"], f"epochs {epochs}", f"trials {len(sweep.trials)}"]
    return " · ".join(parts)


def _remarks(sweep: Sweep, artefact: str, reader: Reader, rows: list[Row]) -> Iterator[str]:
    """Warn readers of what is left out, missing, stale or diverged."""
    if reader.scope == "complexity":
        yield "Complexity alone: what needs a training or a timing is left out."
    if reader.missing:
        yield f"Partial: {reader.missing} records are missing."
    if reader.stale:
        yield f"{reader.stale} records are older than the code that measures; redo them to trust them."
    if waiting := sweep.needs.waiting(artefact):
        yield f"Left out, as their search has not run: {', '.join(waiting)}."
    diverged = {row.name for row in rows if "diverged" in str(row.notes)}
    if diverged:
        yield f"Gaps, as a training diverged: {', '.join(sorted(diverged))}."

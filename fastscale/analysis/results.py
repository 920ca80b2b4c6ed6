"""What a sweep's records say of each of its points; refuses what must not stand on one curve."""

import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from fastscale.artefacts import ARTEFACTS
from fastscale.complexity import count
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.recipe import Recipe
from fastscale.records import code_hash, read_record
from fastscale.selection import Curve, Point, Selection, points
from fastscale.sweep import Sweep

# What is read: all records (a missing one is an error), those that are there, or none: just what can be counted.
Scope = Literal["all", "partial", "complexity"]


@dataclass(frozen=True)
class Time:
    """Measured time of one epoch in seconds: median and quartiles of `n` timed steps, times the steps of an epoch.

    `memory` is the peak in bytes an image of the batch (None on a CPU).
    """

    median: float
    q1: float
    q3: float
    n: int
    batch: int
    device: str
    memory: float | None


@dataclass(frozen=True)
class Error:
    """Top-1 error in percent: mean and sample standard deviation over `n` trials (std is None for one trial)."""

    mean: float
    std: float | None
    n: int


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


MANY = {"networks": "networks", "profiles": "records"}  # records of many networks, and where each one's lie in them


class _Reader:
    """Reads the records of an artefact, each one once, and remembers what all must have in common."""

    def __init__(self, sweep: Sweep, artefact: str, scope: Scope):
        self.sweep, self.artefact, self.scope = sweep, artefact, scope
        self.common: dict[str, tuple[Any, Path]] = {}
        self.many: dict[Path, dict[str, dict[str, Any]]] = {}
        self.stale = self.missing = 0

    def check(self, record: dict[str, Any], stage: str) -> None:
        """Remember whether a record was made by older code."""
        self.stale += record["provenance"]["code"] != code_hash(stage)

    def require_same(self, what: str, value: Any, path: Path) -> None:
        """Raise where `value` is not that of the records before."""
        first, first_path = self.common.setdefault(what, (value, path))
        if value != first:
            raise UserError(
                f"{self.artefact} cannot be made: {path} has the {what} {value}, but {first_path} has {first}; these "
                "must not stand on one curve: delete the records of one of them and run snakemake again"
            )

    def counts(self, network: Network) -> Mapping[str, int]:
        """flops, params and acts of a network."""
        if self.scope != "all":
            return count(network)._asdict()
        return self.find(self.sweep.network_record(self.sweep.sources[network.id]), "networks", network)

    def find(self, path: Path, kind: str, network: Network) -> dict[str, Any]:
        """What a record of many networks says of this one; nothing where it is missing and gaps are allowed."""
        if path not in self.many:
            is_gap = self.scope == "partial" and not path.exists()
            known = [] if is_gap else read_record(path, kind)[MANY[kind]]
            self.many[path] = {one["network_hash"]: one for one in known}
        if network.hash not in self.many[path] and self.scope != "partial":
            raise UserError(f"{path} lacks {network.id}; delete it and run snakemake again")
        return self.many[path].get(network.hash, {})

    def time(self, network: Network) -> tuple[Time | None, list[str]]:
        """The time of a network, and why it is missing."""
        path = self.sweep.profile_record(self.sweep.sources[network.id])
        record = self.find(path, "profiles", network)
        if not record:
            self.missing += 1
            return None, ["not timed"]
        self.check(record, "profile")
        device = record["device"]
        name = f"{device['name']}, {device['threads']} thread{'s' * (device['threads'] > 1)}, {record['precision']}"
        if device["type"] == "cuda":
            name = f"{device['name']}, {record['precision']}"
        self.require_same("device", name, path)
        self.require_same("epoch of images", record["images"], path)
        epoch, memory = record["epoch_seconds"], record["peak_memory_bytes"]
        per_image = memory / record["batch"] if memory else None
        return Time(epoch["median"], epoch["q1"], epoch["q3"], record["n"], record["batch"], name, per_image), []

    def error(self, network: Network, schedule: str) -> tuple[Error | None, list[str]]:
        """The error of a network over its trials, and what is missing of it."""
        recipe = Recipe.from_dict(self.sweep.recipe(schedule)).for_family(network.family).to_dict()
        errors, notes = [], []
        for trial in self.sweep.trials:
            path = self.sweep.train_record(network.id, schedule, trial)
            if self.scope == "partial" and not path.exists():
                self.missing += 1
                notes.append(f"{schedule}: trial {trial} not trained")
                continue
            record = read_record(path, "train", network.hash)
            self.check(record, "train")
            if record["recipe"] != recipe:
                raise UserError(
                    f"{path} was trained by another recipe than the sweep's ({_difference(record['recipe'], recipe)}); "
                    "delete it and run snakemake again"
                )
            self.require_same("data", record["data_hash"], path)
            if record["status"] == "finished":
                errors.append(record["top1_error"])
            else:
                notes.append(f"{schedule}: trial {trial} {record['status']}")
        if not errors:
            return None, notes
        std = statistics.stdev(errors) if len(errors) > 1 else None
        return Error(statistics.fmean(errors), std, len(errors)), notes


def load(sweep: Sweep, artefact: str, scope: Scope = "all") -> Results:
    """The results that `artefact` shows.

    Raises:
        UserError: a record is missing (in the scope "all"), broken or of another network, or records do not belong
            together: other devices, recipes or data.
    """
    reads = ARTEFACTS[artefact].reads if scope != "complexity" else ()
    reader = _Reader(sweep, artefact, scope)
    selections = sweep.selections(artefact)
    schedules: dict[str, list[str]] = {}
    for network, schedule in sweep.trainings(selections) if "error" in reads else ():
        schedules.setdefault(network, []).append(schedule)
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
    return Results(selections, tuple(rows), sweep.schedule, conditions, tuple(_remarks(sweep, artefact, reader, rows)))


def _conditions(sweep: Sweep, reader: _Reader, schedules: set[str]) -> str:
    """Where and how was measured, in words."""
    parts = [str(reader.common["device"][0])] if "device" in reader.common else []
    if "data" in reader.common:
        shown = {name: epochs for name, epochs in sweep.config["schedules"].items() if name in schedules}
        epochs = (
            ", ".join(f"{name}: {n}" for name, n in shown.items()) if len(shown) > 1 else next(iter(shown.values()))
        )
        parts += [sweep.config["data"]["name"], f"epochs {epochs}", f"trials {len(sweep.trials)}"]
    return " · ".join(parts)


def _remarks(sweep: Sweep, artefact: str, reader: _Reader, rows: list[Row]) -> Iterator[str]:
    """What a reader must know of the records."""
    if reader.scope == "complexity":
        yield "Complexity alone: what needs a training or a timing is left out."
    if reader.missing:
        yield f"Partial: {reader.missing} records are missing."
    if reader.stale:
        yield f"{reader.stale} records are older than the code that measures; redo them to trust them."
    if waiting := sweep.waiting(artefact):
        yield f"Left out, as their search has not run: {', '.join(waiting)}."
    diverged = {
        f"{row.point.base} {row.point.strategy} {row.point.scale:g}" for row in rows if "diverged" in str(row.notes)
    }
    if diverged:
        yield f"Gaps, as a training diverged: {', '.join(sorted(diverged))}."


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Where two recipes differ first, in words."""
    key = next(key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key))
    return f"{key} is {found.get(key)} there and {wanted.get(key)} here"

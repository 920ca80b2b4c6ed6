"""What a sweep's records say of each of its points; refuses what must not stand on one curve."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.recipe import Recipe
from fastscale.records import code_hash, read_record
from fastscale.sweep import Point, Sweep


@dataclass(frozen=True)
class Time:
    """Measured time of one epoch in seconds: median and quartiles of `n` timed steps, times the steps of an epoch."""

    median: float
    q1: float
    q3: float
    n: int
    batch: int
    device: str


@dataclass(frozen=True)
class Error:
    """Top-1 error in percent: mean and sample standard deviation over `n` trials (std is None for one trial)."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """A point with its counts and what was measured; a `None` is a gap, and `notes` says why."""

    point: Point
    flops: int
    params: int
    acts: int
    realised: float
    time: Time | None
    error: Error | None
    notes: tuple[str, ...]

    @property
    def is_base(self) -> bool:
        """Whether this is the base itself."""
        return self.point.scale == 1


@dataclass(frozen=True)
class Results:
    """The rows of an artefact and what holds for all of them."""

    rows: tuple[Row, ...]
    conditions: str  # device and data, for a footer
    stale: int  # records whose stage's code has changed since

    def select(self, base: str, strategy: str | None = None) -> list[Row]:
        """A base's points, of one strategy with the base in front (a curve) or of all, by flops."""
        chosen = [
            row
            for row in self.rows
            if row.point.base == base and (strategy in (None, row.point.strategy) or row.is_base)
        ]
        return sorted(chosen, key=lambda row: (row.flops, row.point.strategy))

    @property
    def bases(self) -> list[str]:
        """The bases, in the order of the configuration."""
        return list(dict.fromkeys(row.point.base for row in self.rows))

    @property
    def strategies(self) -> list[str]:
        """The strategies, in the order of the configuration."""
        return list(dict.fromkeys(row.point.strategy for row in self.rows if not row.is_base))


class _Reader:
    """Reads the records of an artefact, each one once, and remembers what all must have in common."""

    def __init__(self, sweep: Sweep, artefact: str, partial: bool):
        self.sweep, self.artefact, self.partial = sweep, artefact, partial
        self.common: dict[str, tuple[Any, Path]] = {}
        self.stale = 0

    def read(self, path: Path, kind: str, network_hash: str) -> dict[str, Any] | None:
        """The record, or None where it is missing and gaps are allowed."""
        if self.partial and not path.exists():
            return None
        record = read_record(path, kind, network_hash)
        if kind != "network" and record["provenance"]["code"] != code_hash(kind):
            self.stale += 1
        return record

    def require_same(self, what: str, value: Any, path: Path) -> None:
        """Raise where `value` is not that of the records before."""
        first, first_path = self.common.setdefault(what, (value, path))
        if value != first:
            raise UserError(
                f"{self.artefact} cannot be made: {path} has the {what} {value}, but {first_path} has {first}; these "
                "must not stand on one curve: delete the records of one of them and run snakemake again"
            )

    def time(self, point: Point) -> tuple[Time | None, list[str]]:
        """The time of a network, and why it is missing."""
        path = self.sweep.profile_record(point.network.id)
        record = self.read(path, "profile", point.network.hash)
        if record is None:
            return None, ["not timed"]
        device = record["device"]
        name = f"{device['name']}, {device['threads']} thread{'s' * (device['threads'] > 1)}, {record['precision']}"
        if device["type"] == "cuda":
            name = f"{device['name']}, {record['precision']}"
        self.require_same("device", name, path)
        self.require_same("epoch of images", record["images"], path)
        epoch = record["epoch_seconds"]
        return Time(epoch["median"], epoch["q1"], epoch["q3"], record["n"], record["batch"], name), []

    def recipe(self, family: str) -> dict[str, Any]:
        """The recipe by which the sweep trains networks of a family."""
        return Recipe.from_dict(self.sweep.recipe(self.sweep.schedule)).for_family(family).to_dict()

    def error(self, point: Point) -> tuple[Error | None, list[str]]:
        """The error of a network over its trials, and what is missing of it."""
        errors, notes = [], []
        for trial in self.sweep.trials:
            path = self.sweep.train_record(point.network.id, self.sweep.schedule, trial)
            record = self.read(path, "train", point.network.hash)
            if record is None:
                notes.append(f"trial {trial} not trained")
                continue
            if record["recipe"] != (recipe := self.recipe(point.network.family)):
                raise UserError(
                    f"{path} was trained by another recipe than the sweep's ({_difference(record['recipe'], recipe)}); "
                    "delete it and run snakemake again"
                )
            self.require_same("data", record["data_hash"], path)
            if record["status"] == "finished":
                errors.append(record["top1_error"])
            else:
                notes.append(f"trial {trial} {record['status']}")
        if not errors:
            return None, notes
        std = statistics.stdev(errors) if len(errors) > 1 else None
        return Error(statistics.fmean(errors), std, len(errors)), notes


def load(sweep: Sweep, artefact: str, reads: Iterable[str], partial: bool = False) -> Results:
    """The results that `artefact` shows; `reads` are the measurements it needs ("time", "error").

    Raises:
        UserError: a record is missing (unless `partial`), broken or of another network, or records do not belong
            together: other devices, recipes or data.
    """
    reader = _Reader(sweep, artefact, partial)
    selection = sweep.selection(artefact)
    base_flops = {point.base: _counts(reader, point)["flops"] for point in selection if point.scale == 1}
    measured: dict[str, tuple[Time | None, Error | None, tuple[str, ...]]] = {}
    rows = []
    for point in selection:
        network = point.network.id
        counts = _counts(reader, point)
        if network not in measured:
            time, untimed = reader.time(point) if "time" in reads else (None, [])
            error, untrained = reader.error(point) if "error" in reads else (None, [])
            measured[network] = time, error, (*untimed, *untrained)
        time, error, notes = measured[network]
        realised = counts["flops"] / base_flops[point.base]
        rows.append(Row(point, counts["flops"], counts["params"], counts["acts"], realised, time, error, notes))
    device = reader.common.get("device", ("", None))[0]
    data = sweep.config["data"]["name"] if "error" in reads else ""
    epochs = f"{sweep.config['schedules'][sweep.schedule]} epochs" if data else ""
    trials = f"{len(sweep.trials)} trials" if data else ""
    conditions = " · ".join(filter(None, (device, data, epochs, trials)))
    return Results(tuple(rows), conditions, reader.stale)


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Where two recipes differ first, in words."""
    key = next(key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key))
    return f"{key} is {found.get(key)} there and {wanted.get(key)} here"


def _counts(reader: _Reader, point: Point) -> dict[str, int]:
    path = reader.sweep.network_record(point.network.id)
    record = read_record(path, "network", point.network.hash)
    return {key: record[key] for key in ("flops", "params", "acts")}

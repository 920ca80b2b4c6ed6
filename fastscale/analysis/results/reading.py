"""The records of a sweep, read: what each says of its network, and what all records of an artefact must share."""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastscale.analysis.results.epoch import epoch_of
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.recipe import LATER, Recipe
from fastscale.records.provenance import code_hash
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

# What an artefact is made from: all records (a missing one is an error), those that exist, or none, just counts.
Scope = Literal["all", "partial", "complexity"]


@dataclass(frozen=True)
class Time:
    """Measured seconds per epoch: the least of the rounds in which the network was timed.

    `rounds` are the seconds per epoch by each round: the time of a step in that round times the steps of an epoch.
    `memory` is the peak in bytes per image of the batch (None on a CPU), `inference` the seconds of a forward pass per
    image.
    """

    rounds: tuple[float, ...]
    batch: int
    device: str
    memory: float | None
    inference: float | None = None

    @property
    def seconds(self) -> float:
        """Return the least of the rounds: what disturbs a network only makes it slower."""
        return min(self.rounds)

    @property
    def most(self) -> float:
        """Return the most of the rounds."""
        return max(self.rounds)

    @property
    def n(self) -> int:
        """Count the rounds."""
        return len(self.rounds)


@dataclass(frozen=True)
class Error:
    """Top-1 error in percent: mean and sample standard deviation over `n` trials (std is None for one trial)."""

    mean: float
    std: float | None
    n: int


ENTRIES = {"networks": "networks", "profiles": "records"}  # by kind of record: the key of its entries, one per network


class Reader:
    """A reader of one artefact's records: it reads each file once, and compares what all records must share."""

    def __init__(self, sweep: Sweep, artefact: str, scope: Scope):
        self.sweep, self.artefact, self.scope = sweep, artefact, scope
        self.common: dict[str, tuple[Any, Path]] = {}
        self.entries: dict[Path, dict[str, dict[str, Any]]] = {}
        self.records: dict[str, list[dict[str, Any]]] = {"profile": [], "train": []}
        self.stale = self.missing = 0
        self.data = present_data(sweep)
        self.epoch = epoch_of(sweep)

    @property
    def timings(self) -> list[dict[str, Any]]:
        """List all profile records of the files that were read, also of networks that the artefact does not show."""
        return [
            entry for file in self.entries.values() for entry in file.values() if {"rounds", "peaks"} <= entry.keys()
        ]

    def remember(self, record: dict[str, Any], stage: str) -> None:
        """Keep a record of a timing or training, and count it as stale if other code made it."""
        self.records[stage].append(record)
        self.stale += record["provenance"]["code"] != code_hash(stage)

    def require_same(self, what: str, value: Any, path: Path) -> None:
        """Compare `value` with that of the first record.

        Raises:
            UserError: they differ.
        """
        first, first_path = self.common.setdefault(what, (value, path))
        if value != first:
            raise UserError(
                f"{self.artefact} cannot be made: {path} has the {what} {value}, but {first_path} has {first}; one "
                "artefact cannot mix them: delete the records that have one of the two, and run snakemake again"
            )

    def counts(self, network: Network) -> Mapping[str, int]:
        """Count flops, params and acts of a network; in the scope "all", compare them with its record."""
        if self.scope != "all":
            return count(network)._asdict()
        path = self.sweep.network_record(self.sweep.sources[network.id])
        entry = self.find(path, "networks", network)
        self.require_counts(entry, network, path)
        return entry

    def require_counts(self, recorded: Mapping[str, Any], network: Network, path: Path) -> None:
        """Compare the flops, params and acts in a record with those counted now.

        Raises:
            UserError: they differ, as an older fastscale built another network from the same description.
        """
        now = count(network)._asdict()
        if {key: recorded[key] for key in now} != now:
            counts = ", ".join(f"{recorded[key]:,} {key} (now {now[key]:,})" for key in now)
            raise UserError(
                f"{path} was made by an older fastscale, which built {network.id} otherwise: {counts}; delete it and "
                "run snakemake again"
            )

    def find(self, path: Path, kind: str, network: Network) -> dict[str, Any]:
        """Find a network's entry in a record of many networks; empty where it is missing in the scope "partial".

        Raises:
            UserError: the record is broken, or it or its entry is missing in another scope.
        """
        if path not in self.entries:
            is_gap = self.scope == "partial" and not path.exists()
            entries = [] if is_gap else read_record(path, kind)[ENTRIES[kind]]
            self.entries[path] = {entry["network_hash"]: entry for entry in entries}
        if network.hash not in self.entries[path] and self.scope != "partial":
            raise UserError(f"{path} lacks {network.id}; delete it and run snakemake again")
        return self.entries[path].get(network.hash, {})

    def time(self, network: Network) -> tuple[Time | None, list[str]]:
        """Read the time of a network, or return None with the reason why it is missing.

        Raises:
            UserError: an older fastscale timed it, by other steps or on another device than the others.
        """
        path = self.sweep.profile_record(self.sweep.sources[network.id])
        record = self.find(path, "profiles", network)
        if not record:
            self.missing += 1
            return None, ["not timed"]
        if lacking := {"rounds", "peaks", "costs"}.difference(record):
            raise UserError(
                f"{network.id} was timed by an older fastscale, whose record lacks {', '.join(sorted(lacking))}; time "
                f"it again: `snakemake --forcerun profile`, or delete {path} and run `fastscale verdict`"
            )
        self.require_counts(record["costs"], network, path)
        self.remember(record, "profile")
        name = device_name(record)
        self.require_same("device", name, path)
        steps, memory = self.epoch.images / record["batch"], record["peak_memory_bytes"]
        per_image = memory / record["batch"] if memory else None
        inference = record["inference_seconds"]["least"] / record["batch"]
        rounds = tuple(seconds * steps for seconds in record["rounds"])
        return Time(rounds, record["batch"], name, per_image, inference), []

    def error(self, network: Network, schedule: str) -> tuple[Error | None, list[str]]:
        """Read the error of a network over its trials, and the reason for each trial without an error."""
        recipe = Recipe.from_dict(self.sweep.recipe(schedule)).for_family(network.family).to_dict()
        errors, notes = [], []
        for trial in self.sweep.trials:
            path = self.sweep.train_record(network.id, schedule, trial)
            if self.scope == "partial" and not path.exists():
                self.missing += 1
                notes.append(f"{schedule}: trial {trial} not trained")
                continue
            record = read_record(path, "train", network.hash)
            self.remember(record, "train")
            recorded = {**LATER, **record["recipe"]}
            if recorded != recipe:
                raise UserError(
                    f"{path} was trained by another recipe than the sweep's ({_difference(recorded, recipe)}); "
                    "delete it and run snakemake again"
                )
            self.require_same("data", record["data_hash"], path)
            require_data(self.data, record, path)
            if record["status"] == "finished":
                errors.append(record["top1_error"])
            else:
                notes.append(f"{schedule}: trial {trial} {record['status']}")
        if not errors:
            return None, notes
        std = statistics.stdev(errors) if len(errors) > 1 else None
        return Error(statistics.fmean(errors), std, len(errors)), notes


def present_data(sweep: Sweep) -> str | None:
    """Read the hash of the sweep's data as packed on this machine; None where the data are elsewhere."""
    path = sweep.data_folder / "data.json"
    return read_record(path, "data")["data_hash"] if path.exists() else None


def validation_images(records: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the least number of validation images of train records; None where there is none, or none says it."""
    return min((record["data"]["images"]["val"] for record in records if "data" in record), default=None)


def require_data(present: str | None, record: Mapping[str, Any], path: Path) -> None:
    """Compare the data of a train record with the `present` data; if these are None, accept any data.

    Raises:
        UserError: they differ.
    """
    if present not in (None, record["data_hash"]):
        raise UserError(
            f"{path} was trained on other data (hash {record['data_hash'][:10]}) than the sweep has now "
            f"({present[:10]}); delete it and run snakemake again"
        )


def device_name(record: Mapping[str, Any]) -> str:
    """Name what times depend on in a profile record: device, threads of a CPU, precision."""
    device = record["device"]
    threads = "" if device["type"] == "cuda" else f", {device['threads']} thread{'s' * (device['threads'] > 1)}"
    return f"{device['name']}{threads}, {record['precision']}"


def _difference(recorded: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Say in which key two recipes differ, and how."""
    key = next(key for key in sorted({*recorded, *wanted}) if recorded.get(key) != wanted.get(key))
    return f"{key} is {recorded.get(key)} in the record and {wanted.get(key)} in the sweep"

"""Reading a sweep's records: what each one says, and what all of an artefact must have in common."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.recipe import LATER, Recipe
from fastscale.records.provenance import code_hash
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

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


MANY = {"networks": "networks", "profiles": "records"}  # records of many networks, and where each one's lie in them


class Reader:
    """Reads the records of an artefact, each one once, and remembers what all must have in common."""

    def __init__(self, sweep: Sweep, artefact: str, scope: Scope):
        self.sweep, self.artefact, self.scope = sweep, artefact, scope
        self.common: dict[str, tuple[Any, Path]] = {}
        self.many: dict[Path, dict[str, dict[str, Any]]] = {}
        self.read: dict[str, list[dict[str, Any]]] = {"profile": [], "train": []}
        self.stale = self.missing = 0
        self.data = present_data(sweep)

    def remember(self, record: dict[str, Any], stage: str) -> None:
        """A record of a timing or training; whether it was made by older code."""
        self.read[stage].append(record)
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
        path = self.sweep.network_record(self.sweep.sources[network.id])
        found = self.find(path, "networks", network)
        self.require_counts(found, network, path)
        return found

    def require_counts(self, found: Mapping[str, Any], network: Network, path: Path) -> None:
        """Raise where a record holds other flops, params or acts: an older fastscale built another network of the name.

        Raises:
            UserError: with the record that holds them.
        """
        now = count(network)._asdict()
        if {key: found[key] for key in now} != now:
            told = ", ".join(f"{found[key]:,} {key} (now {now[key]:,})" for key in now)
            raise UserError(
                f"{path} was made by an older fastscale, which built {network.id} otherwise: {told}; delete it and run "
                "snakemake again"
            )

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
        self.require_counts(record["costs"], network, path)
        self.remember(record, "profile")
        name = device_name(record)
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
            self.remember(record, "train")
            found = {**LATER, **record["recipe"]}
            if found != recipe:
                raise UserError(
                    f"{path} was trained by another recipe than the sweep's ({_difference(found, recipe)}); "
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
    """Find the hash of the sweep's data as it is now; None where it is not here."""
    path = sweep.data_folder / "data.json"
    return read_record(path, "data")["data_hash"] if path.exists() else None


def require_data(now: str | None, record: Mapping[str, Any], path: Path) -> None:
    """Raise where a train record rests on other data than there is `now`."""
    if now not in (None, record["data_hash"]):
        raise UserError(
            f"{path} was trained on other data (hash {record['data_hash'][:10]}) than the sweep has now ({now[:10]}); "
            "delete it and run snakemake again"
        )


def device_name(record: Mapping[str, Any]) -> str:
    """The device and precision of a profile record, as far as times depend on them."""
    device = record["device"]
    threads = "" if device["type"] == "cuda" else f", {device['threads']} thread{'s' * (device['threads'] > 1)}"
    return f"{device['name']}{threads}, {record['precision']}"


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Where two recipes differ first, in words."""
    key = next(key for key in sorted({*found, *wanted}) if found.get(key) != wanted.get(key))
    return f"{key} is {found.get(key)} there and {wanted.get(key)} here"

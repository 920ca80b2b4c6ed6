"""What a sweep costs before it runs: its networks, jobs and epochs, and device-hours by measured times or a model."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from fastscale.networks import Network
from fastscale.planning.epoch_time import Basis, Clock
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep


class Training(NamedTuple):
    """A training that a sweep asks for; its rule is "search" for a candidate of a search, else "train"."""

    rule: str
    network: Network
    schedule: str
    trial: int


@dataclass(frozen=True)
class Job:
    """A training with its device-hours: those that it took if it is done, else an estimate, or None."""

    rule: str
    network: str
    schedule: str
    trial: int
    epochs: int
    done: bool
    hours: float | None
    basis: Basis


@dataclass(frozen=True)
class Plan:
    """A sweep's trainings and what they cost; bases that no search has found yet are `assumed`."""

    sweep: Sweep
    clock: Clock
    jobs: tuple[Job, ...]

    @property
    def to_do(self) -> list[Job]:
        """The trainings that are not done."""
        return [job for job in self.jobs if not job.done]

    def to_dict(self) -> dict[str, Any]:
        """The plan for programs."""
        return {
            "sweep": self.sweep.name,
            "networks": len({job.network for job in self.jobs}),
            "trainings": len(self.jobs),
            "to_do": len(self.to_do),
            "epochs": sum(job.epochs for job in self.to_do),
            "device": "GPU" if self.sweep.config["gpus"] else "CPU",
            "device_hours": (hours := _total(self.to_do)),
            "cost": self._cost(hours),
            "assumed": list(self.sweep.assumed),
            "jobs": list(map(asdict, self.jobs)),
        }

    def text(self, each_job: bool = False) -> str:
        """The plan for people; with `each_job`, a line for each training."""
        gpus, price = self.sweep.config["gpus"], self.sweep.config["gpu_hour_price"]
        bases = {point.base for point in self.sweep.points}
        header = ["jobs", "in all", "to do", "epochs", "GPU-hours" if gpus else "CPU-hours", "cost"]
        known: Counter[Basis] = Counter({job.network: job.basis for job in self.to_do}.values())
        train, val, unseen = self.clock.images
        told = f" (ImageNet's, as {unseen!r} is not on this machine)" if unseen else ""
        parts = [
            f"Sweep {self.sweep.name}: {len({job.network for job in self.jobs})} networks from {len(bases)} bases; "
            f"{len(self.jobs)} trainings, {len(self.jobs) - len(self.to_do)} of them done.",
            tabulate([*self._files(), *self._trainings()], header, floatfmt=",.2f", intfmt=",", missingval="—"),
            f"Epoch times, by networks: {'; '.join(self.clock.words(known)) or 'none is left to do'}. An epoch trains "
            f"on {train:,} images and validates on {val:,}{told}, which takes a third as long for each.",
        ]
        if gpus:
            parts.append(f"A training takes {gpus} GPUs; a GPU-hour costs {price:g} (gpu_hour_price).")
        if assumed := self.sweep.assumed:
            parts.append(f"Not searched yet, and taken to be the first candidate: {', '.join(assumed)}.")
        if each_job:
            lines = [list(asdict(job).values()) for job in self.jobs]
            parts.append(tabulate(lines, [one.name for one in fields(Job)], floatfmt=".3g"))
        return "\n\n".join(parts)

    def _files(self) -> Iterator[list[Any]]:
        """What is no training: how many jobs, and how many of them to do."""
        sources = {*self.sweep.sources.values()}
        jobs: dict[str, Sequence[Iterable[Path]]] = {
            "data": [(self.sweep.data_folder / "data.json",)],
            "scale": [(self.sweep.network_record(source),) for source in sources],
            "profile": [(self.sweep.profile_record(source),) for source in sources],
            "tables and figures": list(self.sweep.artefacts.values()),
        }
        for name, outputs in jobs.items():
            yield [name, len(outputs), sum(not all(path.exists() for path in paths) for paths in outputs)]

    def _trainings(self) -> Iterator[list[Any]]:
        """Trainings by rule and schedule, and all of them."""
        for rule in ("search", "train"):
            for schedule in self.sweep.config["schedules"]:
                if jobs := [job for job in self.jobs if (job.rule, job.schedule) == (rule, schedule)]:
                    yield self._sum(f"{rule}, {schedule}", jobs)
        yield self._sum("trainings", self.jobs)

    def _sum(self, name: str, jobs: Sequence[Job]) -> list[Any]:
        left = [job for job in jobs if not job.done]
        hours = _total(left)
        return [name, len(jobs), len(left), sum(job.epochs for job in left), hours, self._cost(hours)]

    def _cost(self, hours: float | None) -> float | None:
        return hours * self.sweep.config["gpu_hour_price"] if hours is not None and self.sweep.config["gpus"] else None


def _total(jobs: Sequence[Job]) -> float | None:
    """Their device-hours, if all are known."""
    hours = [job.hours for job in jobs]
    return None if None in hours else sum(filter(None, hours))


def plan(sweep: Sweep) -> Plan:
    """The plan of a sweep, by what there is of its records.

    Raises:
        UserError: a broken record, or data that are not as configured.
    """
    waiting = filter(sweep.bases.awaits_search, sweep.searches)
    sweep = Sweep.expanded(sweep.config, {name: sweep.candidates[name][0].definition for name in waiting})
    records = {}
    for asked in (trainings := list(_trainings(sweep))):
        path = sweep.train_record(asked.network.id, asked.schedule, asked.trial)
        if path.exists():
            records[asked] = read_record(path, "train", asked.network.hash)
    devices = max(1, sweep.config["gpus"])
    seconds: dict[str, list[float]] = {}
    for asked, record in records.items():
        seconds.setdefault(asked.network.id, []).append(devices * record["seconds"] / max(1, record["epochs"]))
    clock = Clock(sweep, {network: statistics.fmean(found) for network, found in seconds.items()})
    jobs = []
    for asked in trainings:
        trained, epochs = records.get(asked), sweep.config["schedules"][asked.schedule]
        per_epoch, basis = clock.epoch(asked.network)
        if trained:
            hours = devices * trained["seconds"] / 3600
        else:
            hours = None if per_epoch is None else epochs * per_epoch / 3600
        own = (asked.rule, asked.network.id, asked.schedule, asked.trial, epochs)
        jobs.append(Job(*own, done=trained is not None, hours=hours, basis=basis))
    return Plan(sweep, clock, tuple(jobs))


def _trainings(sweep: Sweep) -> Iterator[Training]:
    """Each training once: what a search finds has been trained as its candidate."""
    candidates = [
        Training("search", candidate.network, sweep.searches[name].schedule, 1)
        for name, found in sweep.candidates.items()
        for candidate in found
    ]
    yield from candidates
    known = {(asked.network.id, asked.schedule, asked.trial) for asked in candidates}
    for network, schedule in sweep.trainings(sweep.everything):
        for trial in sweep.trials:
            if (network, schedule, trial) not in known:
                yield Training("train", sweep.networks[network], schedule, trial)

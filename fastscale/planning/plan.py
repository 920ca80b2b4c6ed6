"""The plan of a sweep: its networks, jobs and epochs, with device-hours from measured times or a stated model."""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from tabulate import tabulate

from fastscale.networks import Network
from fastscale.planning.epoch_time import Basis, EpochTimes
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep


class RequestedTraining(NamedTuple):
    """A training that a sweep needs; `rule` is "search" for a candidate of a search, else "train"."""

    rule: str
    network: Network
    schedule: str
    trial: int


@dataclass(frozen=True)
class Job:
    """A training with its device-hours: as measured if it is done, else an estimate, or None if nothing gives one."""

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
    """A sweep's trainings with their costs; for a base that no search has found yet, the sweep assumes a candidate."""

    sweep: Sweep
    epoch_times: EpochTimes
    jobs: tuple[Job, ...]

    @property
    def to_do(self) -> list[Job]:
        """List the trainings that are not done."""
        return [job for job in self.jobs if not job.done]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain data, for JSON."""
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
        """Write the plan for people; with `each_job`, list each training too."""
        gpus, price = self.sweep.config["gpus"], self.sweep.config["gpu_hour_price"]
        bases = {point.base for point in self.sweep.points}
        header = ["jobs", "in all", "to do", "epochs", "GPU-hours" if gpus else "CPU-hours", "cost"]
        counts: Counter[Basis] = Counter({job.network: job.basis for job in self.to_do}.values())
        train, val, unseen = self.epoch_times.images
        remark = f" (ImageNet's, as {unseen!r} is not on this machine)" if unseen else ""
        parts = [
            f"Sweep {self.sweep.name}: {len({job.network for job in self.jobs})} networks from {len(bases)} bases; "
            f"{len(self.jobs)} trainings, {len(self.jobs) - len(self.to_do)} of them done.",
            tabulate([*self._files(), *self._trainings()], header, floatfmt=",.2f", intfmt=",", missingval="—"),
            f"Epoch times, by networks: {'; '.join(self.epoch_times.explain(counts)) or 'none is left to do'}. "
            f"An epoch trains on {train:,} images and validates on {val:,}{remark}, which takes a third of the "
            "time per image.",
        ]
        if gpus:
            parts.append(f"A training takes {gpus} GPUs; a GPU-hour costs {price:g} (gpu_hour_price).")
        if assumed := self.sweep.assumed:
            parts.append(f"Not searched yet, and taken to be the first candidate: {', '.join(assumed)}.")
        if each_job:
            lines = [list(asdict(job).values()) for job in self.jobs]
            parts.append(tabulate(lines, [field.name for field in fields(Job)], floatfmt=".3g"))
        return "\n\n".join(parts)

    def _files(self) -> Iterator[list[Any]]:
        """Yield a line for each kind of job other than trainings: its name, jobs in all, and jobs to do."""
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
        """Yield a line for the trainings of each rule and schedule, and one for all trainings."""
        for rule in ("search", "train"):
            for schedule in self.sweep.config["schedules"]:
                if jobs := [job for job in self.jobs if (job.rule, job.schedule) == (rule, schedule)]:
                    yield self._sum(f"{rule}, {schedule}", jobs)
        yield self._sum("trainings", self.jobs)

    def _sum(self, name: str, jobs: Sequence[Job]) -> list[Any]:
        """Return a line: name, jobs in all, and of those to do: jobs, epochs, device-hours, cost."""
        left = [job for job in jobs if not job.done]
        hours = _total(left)
        return [name, len(jobs), len(left), sum(job.epochs for job in left), hours, self._cost(hours)]

    def _cost(self, hours: float | None) -> float | None:
        return hours * self.sweep.config["gpu_hour_price"] if hours is not None and self.sweep.config["gpus"] else None


def _total(jobs: Sequence[Job]) -> float | None:
    """Return the device-hours of all jobs, or None if any job's are unknown."""
    hours = [job.hours for job in jobs]
    return None if None in hours else sum(filter(None, hours))


def plan(sweep: Sweep) -> Plan:
    """Plan a sweep, by the records that exist.

    Raises:
        UserError: a record is broken, or the images are not as configured.
    """
    awaited = filter(sweep.bases.awaits_search, sweep.searches)
    sweep = Sweep.expanded(sweep.config, {name: sweep.candidates[name][0].definition for name in awaited})
    records = {}
    for training in (trainings := list(_trainings(sweep))):
        path = sweep.train_record(training.network.id, training.schedule, training.trial)
        if path.exists():
            records[training] = read_record(path, "train", training.network.hash)
    devices = max(1, sweep.config["gpus"])
    seconds: dict[str, list[float]] = {}
    for training, record in records.items():
        seconds.setdefault(training.network.id, []).append(devices * record["seconds"] / max(1, record["epochs"]))
    epoch_times = EpochTimes(sweep, {network: statistics.fmean(measured) for network, measured in seconds.items()})
    jobs = []
    for training in trainings:
        trained, epochs = records.get(training), sweep.config["schedules"][training.schedule]
        per_epoch, basis = epoch_times.estimate(training.network)
        if trained:
            hours = devices * trained["seconds"] / 3600
        else:
            hours = None if per_epoch is None else epochs * per_epoch / 3600
        key = (training.rule, training.network.id, training.schedule, training.trial)
        jobs.append(Job(*key, epochs, done=trained is not None, hours=hours, basis=basis))
    return Plan(sweep, epoch_times, tuple(jobs))


def _trainings(sweep: Sweep) -> Iterator[RequestedTraining]:
    """Yield each training once: a network that a search chose has been trained already, as a candidate."""
    candidates = [
        RequestedTraining("search", candidate.network, sweep.searches[name].schedule, 1)
        for name, drawn in sweep.candidates.items()
        for candidate in drawn
    ]
    yield from candidates
    keys = {(training.network.id, training.schedule, training.trial) for training in candidates}
    for network, schedule in sweep.trainings(sweep.everything):
        for trial in sweep.trials:
            if (network, schedule, trial) not in keys:
                yield RequestedTraining("train", sweep.networks[network], schedule, trial)

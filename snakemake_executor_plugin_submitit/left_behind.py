"""Jobs that an earlier main process has submitted and not seen to their end: which are adopted, which are cancelled."""

import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import ApiError

from . import slurm
from .claims import claim_name
from .cluster import Cluster
from .keys import folder_of, key_of, marks_of, members, newest
from .ledger import KEPT_SECONDS, Batch, Entry, Ledger
from .polling import Queue
from .retry import Attempt
from .slurm import Job, State


def entry_of(job: Any, config: Mapping[str, Any], log_folder: Path, attempt: Attempt) -> Entry:
    """What is noted of a job, or a group of jobs, that is to be submitted: by it the next process recognises it."""
    jobs = members(job)
    makes = marks_of(file for one in jobs for file in one.output)
    return Entry(
        name=job.name,
        keys=tuple(key_of(one, config) for one in jobs),
        makes=makes,
        claims=tuple(claim_name(one.output) for one in jobs),
        pickle=folder_of(log_folder, job.name) / f"{uuid.uuid4().hex}.pkl",
        newest=max(newest(one.input, makes) for one in jobs),
        attempt=attempt,
    )


def is_run_by(job: Any, entry: Entry, dag: Any, config: Mapping[str, Any]) -> bool:
    """Whether the Slurm job of an entry runs this Snakemake job, with these parameters and these inputs."""
    makers = [one for one in dag.dependencies[job] if dag.needrun(one) and not dag.finished(one)]
    if any(not set(marks_of(one.output)) & set(entry.makes) for one in makers):
        return False  # its inputs are still to be made: nobody can have begun with them
    return newest(job.input, entry.makes) <= entry.newest and key_of(job, config) in entry.keys


@dataclass(frozen=True)
class Left:
    """One such job: its place in its batch, and its state when this process began."""

    batch: Batch
    index: int
    state: State

    @property
    def slurm_id(self) -> str:
        """Its Slurm id."""
        return self.batch.slurm_ids[self.index]

    @property
    def entry(self) -> Entry:
        """What is noted of it."""
        return self.batch.entries[self.index]

    @property
    def is_old(self) -> bool:
        """Whether it was submitted so long ago that nothing will be heard of it."""
        return time.time() - self.batch.planned > KEPT_SECONDS

    def __str__(self) -> str:
        """As in a message: `12_3 (train)`."""
        return f"{self.slurm_id} ({self.entry.name})"


class LeftBehind:
    """Those that nobody has adopted yet, and those that were `cancelled` and may still be at work, by Slurm id.

    Until these are gone, nothing is submitted that makes one of their outputs.
    """

    def __init__(
        self, ledger: Ledger, cluster: Cluster, jobs: Iterable[Left], fits: Callable[[Any, Entry], bool]
    ) -> None:
        """Make it of those jobs. `fits` tells whether a Snakemake job is one of those that an entry stands for."""
        self.ledger, self.cluster, self.fits = ledger, cluster, fits
        self.jobs = {left.slurm_id: left for left in jobs}
        self.cancelled: dict[str, Left] = {}

    def take(self, jobs: Sequence[Any], outputs: Iterable[str]) -> Left | None:
        """The job that runs all these Snakemake jobs, of several the last.

        Whatever else makes their outputs is cancelled.
        """
        fitting = [left for left in self.jobs.values() if all(self.fits(job, left.entry) for job in jobs)]
        if left := max(fitting, key=lambda left: left.batch.planned, default=None):
            del self.jobs[left.slurm_id]
        self.cancel(_making(self.jobs, outputs))
        return left

    def block(self, outputs: Iterable[str]) -> bool:
        """Whether a cancelled job may still touch one of these outputs."""
        return bool(self.cancelled) and bool(_making(self.cancelled, outputs))

    def sort(self, wanted: Iterable[Any]) -> tuple[list[Left], list[Left]]:
        """Those that make what Snakemake jobs make that are `wanted`, but do not fit; and those that nobody wants.

        All others are adopted when their turn comes.
        """
        makers: dict[str, list[Any]] = {}
        for job in wanted:
            for mark in marks_of(job.output):
                makers.setdefault(mark, []).append(job)
        stale, unwanted = [], []
        for left in self.jobs.values():
            jobs = {id(job): job for mark in left.entry.makes for job in makers.get(mark, ())}.values()
            if not jobs:
                unwanted.append(left)
            elif not all(self.fits(job, left.entry) for job in jobs):
                stale.append(left)
        return stale, unwanted

    def cancel(self, stale: Iterable[Left]) -> None:
        """Cancel jobs whose outputs this process wants with other parameters."""
        running = []
        for left in stale:
            del self.jobs[left.slurm_id]
            if left.state.over:
                self.ledger.ended(left.slurm_id)
            else:
                running.append(left)
        if running:
            self.cancelled |= {left.slurm_id: left for left in running}
            self.cluster.warn(
                "Left behind by an earlier run, with other parameters or inputs than this run's: Slurm job "
                f"{_listed(running)}. Cancelled, before what they make is submitted again."
            )
            self.cluster.cancel([left.slurm_id for left in running])

    def leave(self, unwanted: Iterable[Left]) -> None:
        """Leave jobs alone that this process does not want; those that have ended are forgotten."""
        unwanted = list(unwanted)
        for left in unwanted:
            if left.state.over and (left.state.name != "UNKNOWN" or left.is_old):
                self.ledger.ended(left.slurm_id)
        if running := [left for left in unwanted if not left.state.over]:
            self.cluster.warn(
                f"Left behind by an earlier run, not asked for by this one: Slurm job {_listed(running)}. They go on."
            )

    def see(self, ended: Collection[str]) -> None:
        """Note which of the cancelled jobs are gone; cancel the others again."""
        for slurm_id in [slurm_id for slurm_id in self.cancelled if slurm_id in ended]:
            del self.cancelled[slurm_id]
            self.ledger.ended(slurm_id, write=False)
        self.cluster.cancel(list(self.cancelled))


def _listed(jobs: Sequence[Left]) -> str:
    """The first few of them, for a message."""
    return ", ".join(map(str, jobs[:5])) + (f" and {len(jobs) - 5} more" if len(jobs) > 5 else "")


def take_stock(
    ledger: Ledger, cluster: Cluster, queue: Queue, folder: Path, project: str, fits: Callable[[Any, Entry], bool]
) -> LeftBehind:
    """Find out which jobs an earlier process has left behind, from the ledger and from what Slurm lists.

    Raises:
        ApiError: there are some on another cluster, or some of which nobody knows what they do.
    """
    listed = cluster.jobs()
    _reconcile(ledger, listed, folder, project, cluster)
    jobs = list(ledger.jobs())
    names = {batch.slurm_ids[index]: (batch.name, entry.name) for batch, index, entry in jobs}
    states = queue.states(names, listed)
    found = [Left(batch, index, states[batch.slurm_ids[index]]) for batch, index, _ in jobs]
    return LeftBehind(ledger, cluster, found, fits)


def _making(jobs: Mapping[str, Left], outputs: Iterable[str]) -> list[Left]:
    wanted = set(marks_of(outputs))
    return [left for left in jobs.values() if wanted.intersection(left.entry.makes)]


def _reconcile(ledger: Ledger, listed: Mapping[str, Job], folder: Path, project: str, cluster: Cluster) -> None:
    """Complete the ledger by what Slurm lists."""
    numbers = {job.batch: job.number for job in listed.values() if job.batch}
    for batch in list(ledger.batches.values()):
        if _is_of_the_original(batch, folder):
            ledger.drop(batch)
        elif batch.slurm_id is None and not batch.abandoned:
            if batch.name in numbers:
                ledger.submitted(batch, numbers[batch.name], cluster.name)
            else:
                ledger.abandon(batch)  # killed before sbatch has answered: it may have been heard, and be late
    for batch, index, entry in ledger.jobs():
        if batch.cluster and cluster.name and batch.cluster != cluster.name and batch.name not in numbers:
            raise ApiError(
                f"Slurm job {batch.slurm_ids[index]} ({entry.name}) of this folder was submitted to the cluster "
                f"{batch.cluster}; from this one, {cluster.name}, it cannot be seen. Go on there; or, when it has "
                f"ended or was cancelled there, delete {ledger.folder / batch.name}.json."
            )
    for job in listed.values():
        if job.batch and job.project == project and not job.state.over and job.batch not in ledger.batches:
            _recover(ledger, job.batch, job.number, cluster.name)
            cluster.warn(
                f"Slurm job {job.number} ({job.name}) of this folder is not in the ledger; its script tells what it is."
            )


def _recover(ledger: Ledger, name: str, number: str, cluster: str | None) -> None:
    try:
        script = slurm.batch_script(number)
    except slurm.CommandError:
        script = ""
    batch = Batch.from_manifest(name, number, script)
    if batch is None:
        raise ApiError(
            f"Slurm job {number} was submitted from this folder, but neither the ledger nor its script says what it "
            f"makes: wait for its end, or scancel {number}, and start again."
        )
    ledger.submitted(batch, number, cluster)


def _is_of_the_original(batch: Batch, folder: Path) -> bool:
    """Whether the batch is that of another folder, of which this one is a copy."""
    try:
        return not batch.entries[0].pickle.parent.parent.samefile(folder)
    except OSError:
        return False

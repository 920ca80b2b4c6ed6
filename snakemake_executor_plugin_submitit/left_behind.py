"""Jobs that an earlier main process submitted and did not see end: which are adopted, which are cancelled."""

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
from .keys import folder_of, key_of, last_change, marks_of, members
from .ledger import KEPT_SECONDS, Batch, Entry, Ledger
from .polling import Queue
from .retry import Attempt
from .slurm import Job, State


def entry_of(job: Any, config: Mapping[str, Any], log_folder: Path, attempt: Attempt) -> Entry:
    """Return the ledger's entry for a job, or a group of jobs, that is to be submitted."""
    jobs = members(job)
    makes = marks_of(file for member in jobs for file in member.output)
    return Entry(
        name=job.name,
        keys=tuple(key_of(member, config) for member in jobs),
        makes=makes,
        claims=tuple(claim_name(member.output) for member in jobs),
        pickle=folder_of(log_folder, job.name) / f"{uuid.uuid4().hex}.pkl",
        newest=max(last_change(member.input, makes) for member in jobs),
        attempt=attempt,
    )


def is_run_by(job: Any, entry: Entry, dag: Any, config: Mapping[str, Any]) -> bool:
    """Tell whether the Slurm job of an entry runs this Snakemake job, with its present parameters and inputs."""
    makers = [maker for maker in dag.dependencies[job] if dag.needrun(maker) and not dag.finished(maker)]
    if any(not set(marks_of(maker.output)) & set(entry.makes) for maker in makers):
        return False  # inputs are still to be made: the Slurm job cannot have begun with them
    return last_change(job.input, entry.makes) <= entry.newest and key_of(job, config) in entry.keys


@dataclass(frozen=True)
class LeftJob:
    """A job that an earlier process left behind: its place in its batch, and its state when this process began."""

    batch: Batch
    index: int
    state: State

    @property
    def slurm_id(self) -> str:
        """Return the job's Slurm id."""
        return self.batch.slurm_ids[self.index]

    @property
    def entry(self) -> Entry:
        """Return the job's entry in the ledger."""
        return self.batch.entries[self.index]

    @property
    def is_old(self) -> bool:
        """Tell whether the job was submitted so long ago that Slurm will not list it any more."""
        return time.time() - self.batch.planned > KEPT_SECONDS

    def __str__(self) -> str:
        """Write the job for a message: `12_3 (train)`."""
        return f"{self.slurm_id} ({self.entry.name})"


class LeftBehind:
    """The jobs that an earlier process left behind and this one has not adopted yet, by Slurm id.

    Those that were `cancelled` may still be at work. Until they are gone, no job is submitted that makes one of their
    outputs.
    """

    def __init__(
        self, ledger: Ledger, cluster: Cluster, jobs: Iterable[LeftJob], fits: Callable[[Any, Entry], bool]
    ) -> None:
        """Hold these jobs. `fits` tells whether the Slurm job of an entry runs a Snakemake job as it is wanted now."""
        self.ledger, self.cluster, self.fits = ledger, cluster, fits
        self.jobs = {job.slurm_id: job for job in jobs}
        self.cancelled: dict[str, LeftJob] = {}

    def take(self, jobs: Sequence[Any], outputs: Iterable[str]) -> LeftJob | None:
        """Return the job that runs all these Snakemake jobs, the last one of several; None where there is none.

        The job is no longer held here. All other jobs that make one of the outputs are cancelled.
        """
        fitting = [left_job for left_job in self.jobs.values() if all(self.fits(job, left_job.entry) for job in jobs)]
        if last := max(fitting, key=lambda left_job: left_job.batch.planned, default=None):
            del self.jobs[last.slurm_id]
        self.cancel(_making(self.jobs, outputs))
        return last

    def block(self, outputs: Iterable[str]) -> bool:
        """Tell whether a cancelled job may still touch one of these outputs."""
        return bool(self.cancelled) and bool(_making(self.cancelled, outputs))

    def sort(self, wanted: Iterable[Any]) -> tuple[list[LeftJob], list[LeftJob]]:
        """Return stale jobs and unwanted jobs; all others are adopted when Snakemake asks for their outputs.

        A stale job makes an output of a `wanted` Snakemake job, but with other parameters or inputs; an unwanted job
        makes no output of any of them.
        """
        makers: dict[str, list[Any]] = {}
        for job in wanted:
            for mark in marks_of(job.output):
                makers.setdefault(mark, []).append(job)
        stale, unwanted = [], []
        for left_job in self.jobs.values():
            jobs = {id(job): job for mark in left_job.entry.makes for job in makers.get(mark, ())}.values()
            if not jobs:
                unwanted.append(left_job)
            elif not all(self.fits(job, left_job.entry) for job in jobs):
                stale.append(left_job)
        return stale, unwanted

    def cancel(self, stale: Iterable[LeftJob]) -> None:
        """Cancel jobs whose outputs this process wants with other parameters or inputs."""
        running = []
        for job in stale:
            del self.jobs[job.slurm_id]
            if job.state.over:
                self.ledger.ended(job.slurm_id)
            else:
                running.append(job)
        if running:
            self.cancelled |= {job.slurm_id: job for job in running}
            self.cluster.warn(
                "Cancelled, as an earlier run submitted them with other parameters or inputs: Slurm job "
                f"{_listed(running)}. What they make is submitted again when they have ended."
            )
            self.cluster.cancel([job.slurm_id for job in running])

    def leave(self, unwanted: Sequence[LeftJob]) -> None:
        """Let unwanted jobs run on, with a warning; remove those that have ended from the ledger."""
        for job in unwanted:
            if job.state.over and (job.state.name != "UNKNOWN" or job.is_old):
                self.ledger.ended(job.slurm_id)
        if running := [job for job in unwanted if not job.state.over]:
            self.cluster.warn(
                f"Left behind by an earlier run, not asked for by this one: Slurm job {_listed(running)}. They go on."
            )

    def update(self, ended: Collection[str]) -> None:
        """Remove the cancelled jobs that have `ended`; cancel the others again."""
        for slurm_id in [slurm_id for slurm_id in self.cancelled if slurm_id in ended]:
            del self.cancelled[slurm_id]
            self.ledger.ended(slurm_id, write=False)
        self.cluster.cancel(list(self.cancelled))


def _listed(jobs: Sequence[LeftJob]) -> str:
    """Write the first five jobs, and the number of the others, for a message."""
    return ", ".join(map(str, jobs[:5])) + (f" and {len(jobs) - 5} more" if len(jobs) > 5 else "")


def find_left_behind(
    ledger: Ledger, cluster: Cluster, queue: Queue, folder: Path, project: str, fits: Callable[[Any, Entry], bool]
) -> LeftBehind:
    """Find the jobs that an earlier process has left behind, by the ledger and by Slurm's list of jobs.

    Raises:
        ApiError: such a job is on another cluster, or nothing says which outputs it makes.
    """
    listed = cluster.jobs()
    _reconcile(ledger, listed, folder, project, cluster)
    jobs = list(ledger.jobs())
    names = {batch.slurm_ids[index]: (batch.name, entry.name) for batch, index, entry in jobs}
    states = queue.states(names, listed)
    left_jobs = [LeftJob(batch, index, states[batch.slurm_ids[index]]) for batch, index, _ in jobs]
    return LeftBehind(ledger, cluster, left_jobs, fits)


def _making(jobs: Mapping[str, LeftJob], outputs: Iterable[str]) -> list[LeftJob]:
    """Return the jobs that make one of these outputs."""
    wanted = set(marks_of(outputs))
    return [job for job in jobs.values() if wanted.intersection(job.entry.makes)]


def _reconcile(ledger: Ledger, listed: Mapping[str, Job], folder: Path, project: str, cluster: Cluster) -> None:
    """Complete the ledger by the jobs that Slurm lists."""
    numbers = {job.mark.batch: job.number for job in listed.values() if job.mark}
    for batch in list(ledger.batches.values()):
        if _is_of_the_original(batch, folder):
            ledger.drop(batch)
        elif batch.slurm_id is None and not batch.abandoned:
            if batch.name in numbers:
                ledger.submitted(batch, numbers[batch.name], cluster.name)
            else:
                ledger.abandon(batch)  # killed before sbatch had answered: Slurm may list the batch later
    for batch, index, entry in ledger.jobs():
        if batch.cluster and cluster.name and batch.cluster != cluster.name and batch.name not in numbers:
            raise ApiError(
                f"Slurm job {batch.slurm_ids[index]} ({entry.name}) of this folder was submitted to the cluster "
                f"{batch.cluster}, and cannot be seen from this one, {cluster.name}. Run Snakemake there; or, when the "
                f"job has ended or was cancelled, delete {ledger.folder / batch.name}.json."
            )
    for job in listed.values():
        if not job.mark or job.mark.project != project or job.state.over:
            continue
        if job.mark.batch not in ledger.batches:
            _recover(ledger, job.mark.batch, job.number, cluster.name)
            cluster.warn(
                f"Slurm job {job.number} ({job.name}) of this folder was not in the ledger: it is entered again, "
                "from its script."
            )


def _recover(ledger: Ledger, name: str, number: str, cluster: str | None) -> None:
    """Enter a batch that the ledger lacks, from the manifest in its script.

    Raises:
        ApiError: the script has no manifest.
    """
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
    """Tell whether the batch belongs to another folder, and this folder is a copy of it."""
    try:
        return not batch.entries[0].pickle.parent.parent.samefile(folder)
    except OSError:
        return False

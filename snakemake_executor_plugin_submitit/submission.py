"""Submission of Snakemake jobs as Slurm jobs, through submitit."""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import slurm
from ._submitit import DelayedSubmission, JobPaths, Sbatch, has_succeeded
from .claims import Claim
from .job import SnakemakeJob, read_count, time_limits_file
from .keys import folder_of
from .ledger import Batch, Entry, Ledger
from .sbatch import NoRoom, SubmissionError, Unanswered, last_line, sbatch

WAITS = (1, 2, 4, 8, 16)  # seconds between two calls of sbatch; after the last one the next poll tries again


@dataclass(frozen=True)
class Submission:
    """A submitted job: its Slurm id, its batch, its name for Slurm, its claim, and the paths of submitit's files."""

    slurm_id: str
    batch: str
    name: str
    claim: Claim
    paths: JobPaths

    @property
    def log(self) -> Path:
        """Return the path of the job's log, with its stdout and stderr."""
        return self.paths.stdout

    @property
    def succeeded(self) -> bool:
        """Tell whether the job has written a result that says success, for a job that Slurm has forgotten."""
        return has_succeeded(self.paths)

    @property
    def time_limits(self) -> int:
        """Return how often the job has reached its time limit."""
        return read_count(time_limits_file(self.paths.folder, self.slurm_id))

    def restore(self, call: Callable[[], SnakemakeJob]) -> None:
        """Write what the job needs to start, if it was deleted: the folder of its log, its claim, its call."""
        with suppress(OSError):
            self.paths.folder.mkdir(parents=True, exist_ok=True)
            self.claim.renew()
            if not self.paths.submitted_pickle.exists():
                DelayedSubmission(replace(call(), claim=self.claim)).dump(self.paths.submitted_pickle)


class Submitter:
    """The submitter of batches of jobs, which it enters into the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        folder: Path,
        project: str,
        cluster: str | None,
        warn: Callable[[str], None],
        wait: Callable[[float], Any],
    ):
        """Submit to `cluster`, with scripts, calls, logs and claims in `folder`.

        `warn` is called when sbatch fails for a while; `wait` waits for the given number of seconds.
        """
        self.ledger, self.folder, self.project, self.cluster = ledger, folder, project, cluster
        self.warn, self.wait = warn, wait

    def submit(
        self,
        jobs: Sequence[tuple[Entry, SnakemakeJob]],
        parameters: dict[str, Any],
        given_up: Callable[[], bool],
    ) -> list[Submission]:
        """Submit jobs of one rule with equal parameters, several as an array.

        `given_up` tells whether the submission was given up in the meantime.

        Raises:
            SubmissionError: sbatch refuses the jobs.
            NoRoom: the cluster does not accept the jobs now, or not all of them.
        """
        folder = folder_of(self.folder, jobs[0][0].name)
        batch = Batch(uuid.uuid4().hex, tuple(entry for entry, _ in jobs))
        claims = [batch.claim(index, self.claims) for index in range(len(jobs))]
        executor = Sbatch(folder)
        mark = f"snakemake-{self.project}-{batch.name}"
        executor.update_parameters(**parameters, comment=mark)
        script = folder / f"{mark}.sh"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            script.write_text(executor.script(batch))
            for (entry, call), claim in zip(jobs, claims, strict=True):
                DelayedSubmission(replace(call, claim=claim)).dump(entry.pickle)
                claim.make()
        except OSError as error:
            self._forget(batch, script)
            raise NoRoom(f"Cannot write in {folder} ({error.strerror})", fewer=False) from error
        self.ledger.add(batch)
        try:
            slurm_id = self._send(executor, script, batch, given_up)
        except (NoRoom, SubmissionError):
            self._forget(batch, script)
            raise
        self.ledger.submitted(batch, slurm_id, self.cluster)
        return [self.adopt(batch, index) for index in range(len(jobs))]

    def adopt(self, batch: Batch, index: int) -> Submission:
        """Return a batch's job that Slurm has accepted; move its pickle to where the job looks for it."""
        entry, slurm_id = batch.entries[index], batch.slurm_ids[index]
        paths = JobPaths(folder_of(self.folder, entry.name), job_id=slurm_id)
        with suppress(OSError):  # without such a file, the job has its call already, or `restore` writes it again
            paths.move_temporary_file(entry.pickle, "submitted_pickle")
        return Submission(slurm_id, batch.name, entry.name, batch.claim(index, self.claims), paths)

    @property
    def claims(self) -> Path:
        """Return the folder of the claim files."""
        return self.folder / "claims"

    def _send(self, executor: Sbatch, script: Path, batch: Batch, given_up: Callable[[], bool]) -> str:
        """Call sbatch until it answers; return the id. After a call without an answer, look for the batch in the queue.

        If an unanswered call takes effect even later, there is a second copy of the batch, which the executor cancels.
        """
        command, environment = executor.command(batch, script), executor.environment(batch)
        for wait in (*WAITS, None):
            try:
                return sbatch(command, environment, len(batch.entries) > 1, given_up)
            except Unanswered as error:
                reason = last_line(str(error))
            if wait is not None and not given_up():
                self.warn(f"sbatch cannot be reached ({reason}); trying again in {wait} s.")
            end = time.monotonic() + (wait or 0)
            while time.monotonic() < end and not given_up():
                self.wait(0.2)
            if slurm_id := self._look_for(batch, given_up):
                return slurm_id
            if given_up():
                break
        self.ledger.abandon(batch)
        raise NoRoom(f"sbatch cannot be reached ({reason})", fewer=False)

    def _look_for(self, batch: Batch, given_up: Callable[[], bool]) -> str | None:
        """Return the id under which the queue lists a batch; None where it does not. Ask until the queue answers."""
        while True:
            try:
                marked = ((job.mark, job.number) for job in slurm.squeue().values())
                numbers = (number for mark, number in marked if mark and mark.batch == batch.name)
                return min(numbers, default=None, key=int)
            except slurm.CommandError as error:
                if given_up():
                    return None
                self.warn(f"It is not known yet whether Slurm has these jobs ({last_line(str(error))}); asking again.")
                self.wait(WAITS[-1])

    def _forget(self, batch: Batch, script: Path) -> None:
        """Delete the files of a batch that was not submitted."""
        with suppress(OSError):
            for path in (script, *(entry.pickle for entry in batch.entries)):
                path.unlink(missing_ok=True)
        if not batch.abandoned:
            self.ledger.drop(batch)

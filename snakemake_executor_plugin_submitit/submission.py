"""From Snakemake jobs to Slurm jobs, through submitit. The only module that imports submitit."""

import os
import pickle
import re
import shlex
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, FailedJobError, FailedSubmissionError, JobPaths

from . import slurm
from .job import SnakemakeJob, read_count, time_limits_file
from .ledger import Entry, Ledger
from .options import withheld, words
from .retry import Attempt


class SubmissionError(Exception):
    """A job could not be submitted; the message says why, mostly in sbatch's words."""


@dataclass(frozen=True)
class Submission:
    """A submitted job: its Slurm id and the files submitit keeps for it."""

    slurm_id: str
    paths: JobPaths

    @property
    def log(self) -> Path:
        """The job's output, stdout and stderr."""
        return self.paths.stdout

    @property
    def succeeded(self) -> bool:
        """Whether the job left a result behind: how a job ended of which Slurm has forgotten everything."""
        try:
            outcome, _ = pickle.loads(self.paths.result_pickle.read_bytes())
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            return False
        return outcome == "success"

    @property
    def time_limits(self) -> int:
        """How often the job has reached its time limit."""
        return read_count(time_limits_file(self.paths.folder, self.slurm_id))


# What sbatch says when the next call may do better; all else is for the user to correct.
TRANSIENT = re.compile(
    "timed out|temporarily|unable to contact|connection refused|zero bytes|socket|communication|try again", re.I
)
WAITS = (1, 2, 4, 8, 16, 32, 60)  # seconds between two calls of sbatch


class Sbatch(SlurmExecutor):
    """submitit's executor, with an sbatch that neither a Ctrl-C, a surrounding Slurm job nor SBATCH_... can confuse."""

    def __init__(self, folder: Path):
        super().__init__(folder, python=f"{shlex.quote(sys.executable)} -P")  # no module of the folder it runs in

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        """A script without options: there they would be weaker than the user's SBATCH_..."""
        lines = ["#!/bin/bash", "export SUBMITIT_EXECUTOR=slurm"]
        if self.parameters.get("use_srun", True):
            # Some of sbatch's variables are stronger than srun's own arguments: SLURM_NTASKS_PER_GPU is.
            lines.append("unset ${!SLURM_NTASKS@} SLURM_NPROCS")
            srun = ["srun", "--unbuffered", f"--output={self._log()}", *self.parameters["srun_args"]]
            lines.append(f"{shlex.join(srun)} {command}")
        else:
            lines += ["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK", command]  # for the rule's own srun
        return "\n".join(lines) + "\n"

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        options = {
            **self.parameters["additional_parameters"],
            "comment": self.parameters["comment"],
            "output": self._log().replace("%t", "0"),
            "open-mode": "append",
        }
        if count := self.parameters.get("map_count"):
            options["array"] = f"0-{count - 1}"
        unset = [f"--unset={name}" for name in withheld(os.environ, options)]
        # A session of its own: a Ctrl-C in the terminal would end sbatch with the job submitted, but its id untold.
        return ["setsid", "--wait", "env", *unset, "sbatch", *words(options), str(submission_file_path)]

    def _log(self) -> str:
        """Pattern of the path of each task's log."""
        pattern = str(JobPaths(self.folder).stdout)
        return pattern.replace("%j", "%A_%a") if self.parameters.get("map_count") else pattern

    def send(self) -> str:
        """Call sbatch; returns the Slurm id of the job or array."""
        return self._submit_command(self._submitit_command_str).job_id


class Submitter:
    """Submits batches of jobs, and knows from its ledger which ones an earlier process has submitted."""

    def __init__(self, ledger: Ledger, warn: Callable[[str], None], wait: Callable[[float], Any]):
        """Make a submitter that tells `warn` of sbatch's troubles and waits between two tries by `wait`."""
        self.ledger, self.warn, self.wait = ledger, warn, wait

    def submit(
        self,
        jobs: Sequence[tuple[str, SnakemakeJob, Attempt]],
        parameters: dict[str, Any],
        folder: Path,
        interrupted: Callable[[], bool],
    ) -> list[Submission]:
        """Submit jobs (key, call, attempt) with equal parameters, several as an array; submitit's files go to `folder`.

        Raises:
            SubmissionError: sbatch refuses them, or cannot be reached until `interrupted`.
        """
        batch = uuid.uuid4().hex
        folder.mkdir(parents=True, exist_ok=True)
        planned = [(key, folder / f"{uuid.uuid4().hex}.pkl", attempt) for key, _, attempt in jobs]
        for (_, call, _), (_, path, _) in zip(jobs, planned, strict=True):
            DelayedSubmission(call).dump(path)
        self.ledger.plan(batch, planned)
        try:
            executor = Sbatch(folder)
            executor.update_parameters(**parameters, comment=batch)
            if len(jobs) > 1:
                executor.parameters["map_count"] = len(jobs)
            slurm_id = self._send(executor, batch, interrupted)
        except (FailedJobError, FailedSubmissionError, OSError, ValueError) as error:
            self.ledger.drop(batch)
            raise SubmissionError(str(error).strip()) from error
        self.ledger.submitted(batch, slurm_id)
        ids = [f"{slurm_id}_{i}" for i in range(len(jobs))] if len(jobs) > 1 else [slurm_id]
        return [adopt(Entry(slurm_id, path), folder) for slurm_id, (_, path, _) in zip(ids, planned, strict=True)]

    def _send(self, executor: Sbatch, batch: str, interrupted: Callable[[], bool]) -> str:
        """Call sbatch until it answers; before each further call, look whether the one before has gone through."""
        for wait in (*WAITS, None):
            try:
                return executor.send()
            except (FailedJobError, FailedSubmissionError) as error:
                if wait is None or interrupted() or not TRANSIENT.search(str(error)):
                    raise
                self.warn(f"sbatch cannot be reached ({_last_line(error)}); trying again in {wait} s.")
            end = time.monotonic() + wait
            while time.monotonic() < end and not interrupted():
                self.wait(0.2)
            if slurm_id := self._known(batch):
                return slurm_id
        raise AssertionError("unreachable")

    def _known(self, batch: str) -> str | None:
        try:
            return slurm.comments().get(batch)
        except slurm.CommandError:
            return None


def adopt(entry: Entry, folder: Path) -> Submission:
    """A job that is in Slurm's hands; its pickle goes where it looks for it."""
    paths = JobPaths(folder, job_id=entry.slurm_id)
    if entry.pickle.exists():
        paths.move_temporary_file(entry.pickle, "submitted_pickle")
    return Submission(entry.slurm_id, paths)


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1]

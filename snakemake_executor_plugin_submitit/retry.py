"""Retries: dead jobs that were killed or lost are submitted again, jobs that failed by themselves are not."""

import os
import re
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from . import slurm
from .resources import memory
from .settings import ExecutorSettings

TAIL = 64 * 1024  # bytes that are read at the end of a log
SHOWN = 1024 * 1024  # bytes up to which a log is shown whole
# Slurm's words in a log. Only with cgroups does Slurm also end the job as OUT_OF_MEMORY.
OUT_OF_MEMORY = re.compile(
    r"^(slurmstepd|srun).*(oom[_-]kill event|exceeded (job )?memory limit|: Out Of Memory)", re.I | re.M
)
# Python's words in a log: the Snakemake in the job ends with exit code 1 when its command was killed.
COMMAND_KILLED = re.compile(r"' (returned non-zero exit status 137|died with <Signals\.SIGKILL: 9>)\.$", re.M)


class Cause(Enum):
    """The causes for which a job is submitted again."""

    MEMORY = "ran out of memory"
    KILLED = "was killed"
    PREEMPTED = "was preempted"
    NODE_FAILED = "lost its node"
    NOT_LAUNCHED = "could not be started by its node"


# States in which a job ends if Slurm does not put it back into the queue, as the executor requests.
BY_STATE = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "PREEMPTED": Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE_FAILED,
    "BOOT_FAIL": Cause.NOT_LAUNCHED,
    "LAUNCH_FAILED": Cause.NOT_LAUNCHED,
}


@dataclass(frozen=True)
class Attempt:
    """The number of `retries` of a job so far, and the factor by which the memory of its rule is multiplied."""

    retries: int = 0
    memory: int = 1

    def after(self, cause: Cause) -> "Attempt":
        """Return the next attempt: with twice the memory if it was too little. A preemption is not counted."""
        return Attempt(self.retries + (cause is not Cause.PREEMPTED), self.memory * (2 if cause is Cause.MEMORY else 1))


@dataclass(frozen=True)
class Request:
    """A Snakemake job that is to be submitted, or that was submitted by an earlier process (`is_adopted`).

    A retry `replaces` a dead Slurm job; `reason` says how that job ended ("ran out of memory as Slurm job 12"), and
    `details` says which retry it is and with how much memory (" (retry 1 of 2, mem_mb=8000)").
    """

    job: JobExecutorInterface
    attempt: Attempt = field(default_factory=Attempt)
    replaces: SubmittedJobInfo | None = None
    reason: str = ""
    details: str = ""
    is_adopted: bool = False

    def message(self, slurm_id: str, log: Path) -> str:
        """Say as which Slurm job the request was submitted, and where its log is."""
        job = f"job {self.job.jobid} ({self.job.name})"
        if self.is_adopted:
            return f"Adopted {job}, which an earlier process submitted as Slurm job {slurm_id}; log: {log}"
        if self.replaces:
            return f"Resubmitted {job} as Slurm job {slurm_id}{self.details}: it {self.reason}. New log: {log}"
        return f"Submitted {job} as Slurm job {slurm_id}; log: {log}"

    def refusal(self, error: Exception) -> str:
        """Say that the request was not submitted, and why."""
        outcome = f"It {self.reason}. Not submitted again" if self.reason else "Not submitted to Slurm"
        return f"{outcome}: {str(error).strip()}. "


def retry_of(info: SubmittedJobInfo, state: slurm.State, limit: int) -> Request | None:
    """Return the retry of a dead job that was killed; None if it failed by itself, or has had all its retries."""
    attempt, resource = info.aux["attempt"], memory(info.job)
    cause = cause_of(state, info.external_jobid, info.aux["submission"].log)
    if cause is None or (cause is Cause.MEMORY and not resource):
        return None
    following = attempt.after(cause)
    if following.retries > max(limit, attempt.retries):
        return None
    details = [f"retry {following.retries} of {limit}"] if following.retries > attempt.retries else []
    if resource:
        details.append(f"{resource}={int(info.job.resources.get(resource)) * following.memory}")
    reason = f"{cause.value} as Slurm job {info.external_jobid}"
    return Request(info.job, following, info, reason, f" ({', '.join(details)})" if details else "")


def ending(info: SubmittedJobInfo, state: slurm.State, settings: ExecutorSettings) -> str:
    """Say how a job that is not submitted again has ended."""
    submission, retries = info.aux["submission"], info.aux["attempt"].retries
    where = f"its log is {submission.log}" if submission.log.exists() else f"it wrote no log ({submission.log})"
    message = f"Slurm job {info.external_jobid} ended as {state}; {where}. "
    if count := submission.time_limits:
        allowed = f"{settings.requeues} are allowed (--submitit-requeues)"
        message += f"It reached its time limit {count} times; {allowed}. "
    cause = cause_of(state, info.external_jobid, submission.log)
    if cause is Cause.MEMORY and not memory(info.job):
        message += f"It {cause.value} and has no mem_mb that could be doubled: give it one. "
    elif cause:
        message += f"It {cause.value} after {retries} retries; {settings.retries} are allowed (--submitit-retries). "
    return message


def cause_of(state: slurm.State, slurm_id: str, log: Path) -> Cause | None:
    """Return why a dead job should be submitted again; None if it failed by itself, or was cancelled."""
    if state.name != "FAILED":
        return BY_STATE.get(state.name)
    words = last_words(log)
    if OUT_OF_MEMORY.search(words):
        return Cause.MEMORY
    return Cause.KILLED if COMMAND_KILLED.search(words) or slurm.was_killed(slurm_id, state) else None


def last_words(log: Path) -> str:
    """Read the end of a log; nothing where there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def shown_log(log: Path) -> Path | None:
    """Return the file of a failed job that is to be shown: its log, or a file with the end of a long log.

    Snakemake reads the file into memory and prints it. None where there is no log.
    """
    try:
        if log.stat().st_size <= SHOWN:
            return log
        tail = log.with_suffix(".tail")
        tail.write_text(f"[...] the end of {log}:\n{last_words(log)}")
        return tail
    except OSError:
        return None

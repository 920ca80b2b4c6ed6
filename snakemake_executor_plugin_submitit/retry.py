"""Which jobs are submitted again: those that were killed, for their memory or from outside, not those that failed."""

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

TAIL = 64 * 1024  # bytes at a log's end in which its last words are
SHOWN = 1024 * 1024  # bytes of a log that is shown whole
# Slurm's words. Only with cgroups does it also end the job as OUT_OF_MEMORY.
OUT_OF_MEMORY = re.compile(
    r"^(slurmstepd|srun).*(oom[_-]kill event|exceeded (job )?memory limit|: Out Of Memory)", re.I | re.M
)
# Python's words: the Snakemake in the job says so when its command was killed, and itself ends with exit code 1.
COMMAND_KILLED = re.compile(r"' (returned non-zero exit status 137|died with <Signals\.SIGKILL: 9>)\.$", re.M)


class Cause(Enum):
    """Why a job is submitted again."""

    MEMORY = "ran out of memory"
    KILLED = "was killed"
    PREEMPTED = "was preempted"
    NODE_FAILED = "lost its node"
    NOT_LAUNCHED = "could not be started by its node"


# Where Slurm does not put the job back into the queue itself, as it is asked to.
BY_STATE = {
    "OUT_OF_MEMORY": Cause.MEMORY,
    "PREEMPTED": Cause.PREEMPTED,
    "NODE_FAIL": Cause.NODE_FAILED,
    "BOOT_FAIL": Cause.NOT_LAUNCHED,
    "LAUNCH_FAILED": Cause.NOT_LAUNCHED,
}


@dataclass(frozen=True)
class Attempt:
    """Which submission of a job it is: how many retries came before, and how many times its rule's memory it has."""

    retries: int = 0
    memory: int = 1

    def after(self, cause: Cause) -> "Attempt":
        """The next one: with twice the memory when that was too little. To be preempted does not count."""
        return Attempt(self.retries + (cause is not Cause.PREEMPTED), self.memory * (2 if cause is Cause.MEMORY else 1))


@dataclass(frozen=True)
class Try:
    """A job on its way to sbatch, and what is told of it; a retry knows what it comes after, and why."""

    job: JobExecutorInterface
    attempt: Attempt = field(default_factory=Attempt)
    before: SubmittedJobInfo | None = None
    why: str = ""
    how: str = "is"


def next_try(info: SubmittedJobInfo, state: slurm.State, limit: int) -> Try | None:
    """The next try of a dead job that was killed; None if it failed by itself, or has had all its retries."""
    attempt, asked = info.aux["attempt"], memory(info.job)
    cause = cause_of(state, info.external_jobid, info.aux["submission"].log)
    if cause is None or (cause is Cause.MEMORY and not asked):
        return None
    following = attempt.after(cause)
    if following.retries > max(limit, attempt.retries):
        return None
    amount = f" with {asked}={int(info.job.resources.get(asked)) * following.memory}" if asked else ""
    count = f", retry {following.retries} of {limit}," if following.retries > attempt.retries else ""
    how = f"is submitted again{amount}{count} as"
    return Try(info.job, following, info, f"{cause.value} as Slurm job {info.external_jobid}", how)


def ending(info: SubmittedJobInfo, state: slurm.State, settings: ExecutorSettings) -> str:
    """How a job ended that is not submitted again, in a sentence or a few."""
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
    """Why a dead job should be submitted again; None if it failed by itself, or was cancelled."""
    if state.name != "FAILED":
        return BY_STATE.get(state.name)
    words = last_words(log)
    if OUT_OF_MEMORY.search(words):
        return Cause.MEMORY
    return Cause.KILLED if COMMAND_KILLED.search(words) or slurm.was_killed(slurm_id, state) else None


def last_words(log: Path) -> str:
    """The end of a log, nothing where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def shown_log(log: Path) -> Path | None:
    """A file with what is to be shown of a failed job's log: all of it, or the end of a long one; None without a log.

    Snakemake reads it into memory and prints it.
    """
    try:
        if log.stat().st_size <= SHOWN:
            return log
        tail = log.with_suffix(".tail")
        tail.write_text(f"[...] the end of {log}:\n{last_words(log)}")
        return tail
    except OSError:
        return None

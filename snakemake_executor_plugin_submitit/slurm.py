"""Calls of Slurm's commands: list jobs and their states with few calls, cancel jobs."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from snakemake_interface_common.exceptions import ApiError

COMMANDS = ("sbatch", "srun", "squeue", "scancel")  # without sacct: no accounting is needed
TIMEOUT = 60  # seconds; a busy controller answers late, and the next poll asks again

# Final states without success. Jobs in all other states (PENDING, COMPLETING, REQUEUE_HOLD ...) may still succeed.
DEAD = frozenset(
    (
        "BOOT_FAIL",
        "CANCELLED",
        "DEADLINE",
        "FAILED",
        "LAUNCH_FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "RECONFIG_FAIL",
        "REVOKED",
        "TIMEOUT",
        "UNKNOWN",
    )
)
# The fields of squeue. Names, folders and comments may hold any text: they come last, between rare separators.
SEPARATOR = "\x1f"
FIELDS = SEPARATOR.join(("%i", "%F", "%T", "%r", "%j", "%Z", "%k %o"))
LINE = re.compile(SEPARATOR.join((r"(\d+(?:_\d+)?)", r"(\d+)", r"(\w+)", "(.*?)", "(.*?)", "(.*?)", "(.*)")))
# The comment of a job of this executor, and the name of its script.
MARK = re.compile(r"snakemake-([0-9a-f]{12})-([0-9a-f]{32})")


class CommandError(Exception):
    """One of Slurm's commands failed; the message is the command's."""


class Mark(NamedTuple):
    """The mark of a job of this executor: the digest of the project's folder, and the name of the batch."""

    project: str
    batch: str


@dataclass(frozen=True)
class State:
    """A job's state by Slurm's name (`COMPLETED`, `TIMEOUT`; `UNKNOWN` where Slurm has forgotten it), with details."""

    name: str
    detail: str = ""

    @property
    def succeeded(self) -> bool:
        """Tell whether the job has ended with success."""
        return self.name == "COMPLETED"

    @property
    def dead(self) -> bool:
        """Tell whether the job has ended without success."""
        return self.name in DEAD

    @property
    def over(self) -> bool:
        """Tell whether the job has ended."""
        return self.succeeded or self.dead

    def __str__(self) -> str:
        """Write the state for a message: `TIMEOUT (TimeLimit)`."""
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True)
class Job:
    """A job as squeue lists it.

    `number` is the id of the job's array, or its own id without an array; `folder` is the folder in which sbatch was
    called; `mark` is None where another program submitted the job, or the cluster has replaced its comment.
    """

    slurm_id: str
    number: str
    state: State
    name: str
    folder: str
    mark: Mark | None = None

    def is_of(self, batch: str, name: str) -> bool:
        """Tell whether this job belongs to a batch, whose jobs have this name.

        The number alone does not tell: a reinstalled Slurm counts from 1 again. Where the cluster has replaced the
        mark by its own comment and script name, the job's name and folder decide.
        """
        return self.mark.batch == batch if self.mark else self.name == name and self.folder == str(Path.cwd())


def require_commands() -> None:
    """Check that this machine can submit jobs.

    Raises:
        ApiError: one of Slurm's commands is missing.
    """
    if missing := [command for command in COMMANDS if not shutil.which(command)]:
        raise ApiError(
            f"No Slurm on this machine: the command{'s' if len(missing) > 1 else ''} {', '.join(missing)} cannot be "
            "found on PATH; run Snakemake on a login node of the cluster, or without the Slurm profile "
            "(--executor local) to use this machine alone."
        )


def run(*command: str) -> str:
    """Return the output of a Slurm command.

    Raises:
        CommandError: the command failed, or took longer than a minute.
    """
    # The user's SQUEUE_... might hide jobs. The new session keeps a Ctrl-C from the command. Names and comments of
    # jobs may have any encoding.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SQUEUE_", "SACCT_"))}
    try:
        return subprocess.run(
            command,
            env=environment,
            check=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        raise CommandError(f"{command[0]}: {error.stderr.strip() or f'exit code {error.returncode}'}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{command[0]}: {error}") from error


def squeue() -> dict[str, Job]:
    """List all of this user's jobs that the controller remembers, by Slurm id; arrays job by job."""
    jobs = {}
    for line in run("squeue", "--me", "-h", "-r", "-t", "all", "-o", FIELDS).splitlines():
        if fields := LINE.fullmatch(line):
            slurm_id, number, word, reason, name, folder, comment = fields.groups()
            mark = MARK.search(comment)
            state = State(word, "" if reason == "None" else reason)
            jobs[slurm_id] = Job(slurm_id, number, state, name, folder, Mark(*mark.groups()) if mark else None)
    return jobs


def sacct(jobs: Mapping[str, str]) -> dict[str, State]:
    """Return the states in the accounting database of jobs, given by Slurm id and name.

    An id under which the database has a job of another name is left out.
    """
    table = run("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode,JobName", "-j", ",".join(jobs))
    states = {}
    for line in table.splitlines():
        job, *rest = line.split("|", 3)
        if len(rest) == 3 and job in jobs and _letters(rest[2]) == _letters(jobs[job]):
            state, detail, _ = rest
            word = state.split()[0] if state.strip() else "UNKNOWN"  # "CANCELLED by 1000"
            states[job] = State(word, "" if detail == "0:0" else detail)
    return states


def _letters(name: str) -> str:
    """Reduce a name to the characters that the accounting database keeps in any encoding."""
    return "".join(re.findall(r"\w", name, re.ASCII))[:100]


def configuration() -> Mapping[str, str]:
    """Return Slurm's configuration, as scontrol shows it."""
    pairs = (line.partition("=") for line in run("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def batch_script(number: str) -> str:
    """Return the script of a job; the controller keeps it as long as it remembers the job."""
    return run("scontrol", "write", "batch_script", number, "-")


def was_killed(job: str, state: State) -> bool:
    """Tell whether a failed job ended by SIGKILL: its batch script by the signal, or its step (exit code 128 + 9)."""
    if not re.fullmatch(r"\d+:\d+", state.detail):  # squeue prints no exit code that means the same in all versions
        try:
            code = re.search(r" ExitCode=(\d+:\d+)", run("scontrol", "-o", "show", "job", job))
        except CommandError:
            return False
        state = State(state.name, code[1] if code else "")
    return state.detail in ("137:0", "9:0", "0:9")  # sacct writes 9:0 for 137:0


def scancel(jobs: Collection[str]) -> None:
    """Cancel these jobs, pending or running, with one call."""
    if jobs:
        run("scancel", *jobs)

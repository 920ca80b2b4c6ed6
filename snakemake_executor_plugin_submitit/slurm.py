"""Slurm's own commands: which jobs there are and in which state, with few calls, and how to cancel them."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_common.exceptions import ApiError

COMMANDS = ("sbatch", "srun", "squeue", "scancel")  # sacct is not among them: clusters without accounting do
TIMEOUT = 60  # seconds; a busy controller answers late, but the next poll can ask again

# Ends that are no success. All other states (PENDING, COMPLETING, CONFIGURING, REQUEUE_HOLD ...) are on their way.
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
# The fields of squeue that are asked for. Names, folders and comments may hold anything: they come last, and apart.
APART = "\x1f"
FIELDS = APART.join(("%i", "%F", "%T", "%r", "%j", "%Z", "%k %o"))
LINE = re.compile(APART.join((r"(\d+(?:_\d+)?)", r"(\d+)", r"(\w+)", "(.*?)", "(.*?)", "(.*?)", "(.*)")))
# What a job of this executor has as its comment, and its script as its name: the project's mark and the batch's.
MARK = re.compile(r"snakemake-([0-9a-f]{12})-([0-9a-f]{32})")


class CommandError(Exception):
    """One of Slurm's commands failed; the message is its own."""


@dataclass(frozen=True)
class State:
    """A job's state in Slurm's word (`COMPLETED`, `TIMEOUT`, or `UNKNOWN` to Slurm), and what Slurm adds to it."""

    name: str
    detail: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the job ended well."""
        return self.name == "COMPLETED"

    @property
    def dead(self) -> bool:
        """Whether the job ended otherwise."""
        return self.name in DEAD

    @property
    def over(self) -> bool:
        """Whether the job has ended, well or otherwise."""
        return self.succeeded or self.dead

    def __str__(self) -> str:
        """As in an error message: `TIMEOUT (TimeLimit)`."""
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True)
class Job:
    """A job as squeue lists it.

    `number` is the id of its array (or its own), `folder` where sbatch was called; `project` and `batch` are the marks
    of the executor that submitted it, None where there are none.
    """

    slurm_id: str
    number: str
    state: State
    name: str
    folder: str
    project: str | None = None
    batch: str | None = None

    def is_of(self, batch: str, name: str) -> bool:
        """Whether it belongs to this batch of jobs of that name: numbers are given anew when a Slurm is reinstalled.

        Some clusters put a comment of their own, and sbatch scripts of another name, in place of the marks.
        """
        return self.batch == batch if self.batch else self.name == name and self.folder == str(Path.cwd())


def require_commands() -> None:
    """Check that this machine can submit.

    Raises:
        ApiError: a command of Slurm's is missing.
    """
    if missing := [command for command in COMMANDS if not shutil.which(command)]:
        raise ApiError(
            f"No Slurm on this machine: the command{'s' if len(missing) > 1 else ''} {', '.join(missing)} cannot be "
            "found on PATH; run Snakemake on a login node of the cluster, or without the Slurm profile "
            "(--executor local) to use this machine alone."
        )


def run(*command: str) -> str:
    """Output of a Slurm command.

    Raises:
        CommandError: it failed, or took longer than a minute.
    """
    # The user's own SQUEUE_... would filter jobs away. The new session keeps a Ctrl-C from the command. Users give
    # jobs names and comments in whatever encoding.
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
    """All of this user's jobs that the controller remembers, by their ids; arrays job by job."""
    jobs = {}
    for line in run("squeue", "--me", "-h", "-r", "-t", "all", "-o", FIELDS).splitlines():
        if found := LINE.fullmatch(line):
            slurm_id, number, state, reason, name, folder, marks = found.groups()
            mark = MARK.search(marks)
            told = State(state, "" if reason == "None" else reason)
            jobs[slurm_id] = Job(slurm_id, number, told, name, folder, *(mark.groups() if mark else ()))
    return jobs


def sacct(jobs: Mapping[str, str]) -> dict[str, State]:
    """States that the accounting database has of those of these ids whose jobs have these names."""
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
    """What the accounting database keeps of a name, whatever its encoding."""
    return "".join(re.findall(r"\w", name, re.ASCII))[:100]


def configuration() -> Mapping[str, str]:
    """Slurm's configuration, as scontrol shows it."""
    pairs = (line.partition("=") for line in run("scontrol", "show", "config").splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def batch_script(number: str) -> str:
    """The script of a job, as the controller keeps it until the job is forgotten."""
    return run("scontrol", "write", "batch_script", number, "-")


def was_killed(job: str, state: State) -> bool:
    """Whether a failed job ended by SIGKILL: its batch script, or the step in it, with exit code 128 + 9."""
    if not re.fullmatch(r"\d+:\d+", state.detail):  # squeue has no such column that all versions of Slurm fill alike
        try:
            found = re.search(r" ExitCode=(\d+:\d+)", run("scontrol", "-o", "show", "job", job))
        except CommandError:
            return False
        state = State(state.name, found[1] if found else "")
    return state.detail in ("137:0", "9:0", "0:9")  # the second is sacct's way to write the first


def scancel(jobs: Collection[str]) -> None:
    """Cancel these jobs, pending or running, with one call."""
    if jobs:
        run("scancel", *jobs)

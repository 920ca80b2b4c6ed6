"""Slurm's own commands: in which state jobs are, with few calls, and how to cancel them."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

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

    def __str__(self) -> str:
        """As in an error message: `TIMEOUT (TimeLimit)`."""
        return f"{self.name} ({self.detail})" if self.detail else self.name


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
    # The user's own SQUEUE_... would filter jobs away. The new session keeps a Ctrl-C from the command.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SQUEUE_", "SACCT_"))}
    try:
        return subprocess.run(
            command,
            env=environment,
            check=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
        ).stdout
    except subprocess.CalledProcessError as error:
        raise CommandError(f"{command[0]}: {error.stderr.strip() or f'exit code {error.returncode}'}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"{command[0]}: {error}") from error


def squeue() -> dict[str, State]:
    """States of all of this user's jobs that the controller remembers."""
    return parse(run("squeue", "--me", "-h", "-r", "-t", "all", "-o", "%i|%T|%r"))


def comments() -> dict[str, str]:
    """Slurm ids of all of this user's jobs and arrays that have a comment, by it."""
    lines = (line.partition("|") for line in run("squeue", "--me", "-h", "-t", "all", "-o", "%F|%k").splitlines())
    return {comment: number for number, _, comment in lines if comment not in ("", "(null)")}


def sacct(jobs: Iterable[str]) -> dict[str, State]:
    """States that the accounting database has of these jobs."""
    return parse(run("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode", "-j", ",".join(jobs)))


def was_killed(job: str, state: State) -> bool:
    """Whether a failed job ended by SIGKILL: its batch script, or the step in it, with exit code 128 + 9."""
    if not re.fullmatch(r"\d+:\d+", state.detail):  # squeue has no such column that all versions of Slurm fill alike
        try:
            found = re.search(r" ExitCode=(\d+:\d+)", run("scontrol", "-o", "show", "job", job))
        except CommandError:
            return False
        state = State(state.name, found[1] if found else "")
    return state.detail in ("137:0", "9:0", "0:9")  # the second is sacct's way to write the first


def scancel(jobs: Iterable[str]) -> None:
    """Cancel these jobs, pending or running, with one call."""
    run("scancel", *jobs)


def parse(table: str) -> dict[str, State]:
    """Lines of `id|state|detail`, as squeue and sacct are asked for, to states."""
    states = {}
    for line in table.splitlines():
        if line.count("|") == 2:
            job, name, detail = line.split("|")
            word = name.split()[0] if name.strip() else "UNKNOWN"  # "CANCELLED by 1000"
            states[job] = State(word, "" if detail in ("None", "0:0") else detail)
    return states


class Queue:
    """What became of jobs: one squeue per poll, whatever their number, and patience with what it says."""

    def __init__(self, dead_polls: int, warn: Callable[[str], None]) -> None:
        """Make a queue that calls a job's end when it was dead in `dead_polls` polls in a row.

        `warn` is told once when squeue begins to fail, and once when it answers again.
        """
        self.dead_polls = dead_polls
        self.warn = warn
        self.deaths: dict[str, int] = {}
        self.failing = False

    def poll(self, jobs: Collection[str]) -> dict[str, State]:
        """Those of `jobs` that have ended, and how. A failed squeue ends no job: all are as they were."""
        try:
            states = squeue()
        except CommandError as error:
            if not self.failing:
                self.warn(f"Slurm does not say how the jobs are ({error}); waiting until it does.")
            self.failing = True
            return {}
        if self.failing:
            self.warn("Slurm answers again.")
        self.failing = False
        if forgotten := [job for job in jobs if job not in states]:
            states |= self.look_up(forgotten)
        return {job: states[job] for job in jobs if self.ended(job, states[job])}

    def look_up(self, forgotten: list[str]) -> dict[str, State]:
        """States of jobs that squeue no longer lists."""
        try:
            recorded = sacct(forgotten)
        except CommandError:  # a cluster without accounting, or its database is down
            recorded = {}
        # A job that runs according to the database but not to the controller is lost.
        ends = {job: state for job, state in recorded.items() if state.succeeded or state.dead}
        return {job: ends.get(job, State("UNKNOWN", "neither squeue nor sacct lists it")) for job in forgotten}

    def ended(self, job: str, state: State) -> bool:
        """Whether this is a job's end. Counts the polls in which it was dead."""
        if state.dead:
            self.deaths[job] = self.deaths.get(job, 0) + 1
            end = self.deaths[job] >= self.dead_polls
        else:
            end = state.succeeded
        if end or not state.dead:
            self.deaths.pop(job, None)
        return end

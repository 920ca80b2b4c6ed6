"""Calls of sbatch, and the meaning of its answers."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

GRACE = 5.0  # seconds for an sbatch that is still at work when the submission is given up
LONGEST = 600.0  # seconds after which an sbatch is considered hung

# Errors after which the job may be submitted or not: only the queue shows which.
UNANSWERED = re.compile(
    "timed out|temporarily|unable to contact|connection refused|zero bytes|socket|communication|try again|standby", re.I
)
# Limits on the number of jobs of a user in the queue: fewer jobs may be accepted, or all of them later.
FULL = re.compile(r"\w*Submit\w*Limit|job submit limit|MaxSubmit\w*|MaxJobCount|job limit reached", re.I)
OTHER_LIMIT = re.compile(r"\b(Assoc|QOS)(?!\w*Submit)\w*Limit\b", re.I)
CLOSED = re.compile(
    r"required partition not available|required node not available|partition .*\bis (down|inactive)", re.I
)
TOO_LARGE = re.compile(r"invalid job array specification", re.I)


class SubmissionError(Exception):
    """sbatch refused a job; the message says why, mostly in sbatch's words."""


class Unanswered(Exception):
    """sbatch did not say whether the job was submitted."""


class NoRoom(Exception):
    """The cluster does not accept the jobs now, but perhaps later.

    With `fewer`, it may accept fewer of them now; with `is_array`, because the array is too large.
    """

    def __init__(self, message: str, fewer: bool, is_array: bool = False):
        super().__init__(message)
        self.fewer, self.is_array = fewer, is_array


def sbatch(command: Sequence[str], environment: Mapping[str, str], is_array: bool, given_up: Callable[[], bool]) -> str:
    """Call sbatch (with --parsable); return the id of the job or array.

    `given_up` tells whether the submission was given up in the meantime; sbatch is killed soon after.

    Raises:
        Unanswered: sbatch did not say whether the job was submitted.
        NoRoom: the cluster does not accept the jobs now, or not all of them.
        SubmissionError: the job was refused.
    """
    # A session of its own: a Ctrl-C in the terminal could end sbatch after it has submitted, before it prints the id.
    with subprocess.Popen(
        command,
        env=dict(environment),
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        output, complaint = _communicate(process, given_up)
    if process.returncode == 0:
        # The sbatch of some sites is a wrapper that prints more than the id.
        if ids := [line for line in output.splitlines() if re.fullmatch(r"\d+(;\S*)?", line.strip())]:
            return ids[-1].strip().partition(";")[0]
        raise Unanswered(f"sbatch: no job id in what it says ({output.strip()!r})")
    words = re.sub(r"^sbatch: error: ", "", complaint, flags=re.M).strip() or f"exit code {process.returncode}"
    if process.returncode < 0 or UNANSWERED.search(words):
        raise Unanswered(words)
    if FULL.search(words) and not OTHER_LIMIT.search(words):
        raise NoRoom(words, fewer=True)
    if TOO_LARGE.search(words) and is_array:
        raise NoRoom(words, fewer=True, is_array=True)
    if CLOSED.search(words):
        raise NoRoom(words, fewer=False)
    raise SubmissionError(words)


def _communicate(process: "subprocess.Popen[str]", given_up: Callable[[], bool]) -> tuple[str, str]:
    """Return the process's output and errors; kill it if it hangs, or runs on after the submission was given up."""
    began, end = time.monotonic(), None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.2)
        now = time.monotonic()
        if end is None and (given_up() or now - began > LONGEST):
            end = now + GRACE
        if end is not None and now > end:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()


def last_line(words: str) -> str:
    """Return the last line, in which sbatch says what is wrong."""
    return (words.strip() or "no word").splitlines()[-1]

"""Calling sbatch: its answers, and what they mean."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

GRACE = 5.0  # seconds for a sbatch that is at work when all is given up
LONGEST = 600.0  # seconds after which a sbatch is taken for hung

# What sbatch says when it was perhaps not heard: whether the job was submitted, the queue must tell.
UNANSWERED = re.compile(
    "timed out|temporarily|unable to contact|connection refused|zero bytes|socket|communication|try again|standby", re.I
)
# Limits of how many jobs somebody may have in the queue: fewer at once, or room that comes when others have ended.
FULL = re.compile(r"\w*Submit\w*Limit|job submit limit|MaxSubmit\w*|MaxJobCount|job limit reached", re.I)
OTHER_LIMIT = re.compile(r"\b(Assoc|QOS)(?!\w*Submit)\w*Limit\b", re.I)
CLOSED = re.compile(
    r"required partition not available|required node not available|partition .*\bis (down|inactive)", re.I
)
TOO_LARGE = re.compile(r"invalid job array specification", re.I)


class SubmissionError(Exception):
    """A job could not be submitted; the message says why, mostly in sbatch's words."""


class Unanswered(Exception):
    """sbatch gave no answer that tells whether the job was submitted."""


class NoRoom(Exception):
    """The cluster takes no such jobs now, perhaps later; perhaps `fewer` at once, as for an array (`is_array`)."""

    def __init__(self, message: str, fewer: bool, is_array: bool = False):
        super().__init__(message)
        self.fewer, self.is_array = fewer, is_array


def sbatch(command: Sequence[str], environment: Mapping[str, str], is_array: bool, given_up: Callable[[], bool]) -> str:
    """Call sbatch (with --parsable); returns the id of the job or array.

    Raises:
        Unanswered: it cannot be told whether the job was submitted.
        NoRoom: not now, or not so many.
        SubmissionError: the job was refused.
    """
    # A session of its own: a Ctrl-C in the terminal would end sbatch with the job submitted, but its id untold.
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
        # A site's own sbatch may say more than the id.
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
    """What the process says until its end, which is not waited for long when all is given up."""
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
    """The last line, in which sbatch says what is wrong."""
    return (words.strip() or "no word").splitlines()[-1]

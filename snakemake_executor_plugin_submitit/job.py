"""What runs inside the Slurm job: one Snakemake job's command, and its way back into the queue when interrupted.

Slurm's signals reach every process of the job. USR2 comes before the time limit: what knows how to stop (fastscale's
training) saves its state and ends; all else ignores it. TERM comes with a preemption, and with scancel.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import NoReturn

from .claims import Claim
from .guard import leave_if_superseded

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
GRACE = 25  # seconds for what is being saved; Slurm kills 30 s after TERM
SPREAD = 2  # seconds within which one signal reaches every process of a job
TRIES = 5


@dataclass(frozen=True)
class SnakemakeJob:
    """The call that submitit pickles: it runs one Snakemake job's command and ends with its exit code.

    The command gets `data` on its standard input and begins in `folder`. A job that was interrupted goes back into the
    queue: at its time limit `requeues` times, after a preemption always.
    """

    command: Sequence[str]
    data: bytes = b""
    folder: str | None = None
    requeues: int = 0
    claim: Claim | None = None

    def __call__(self) -> None:
        """Run the command; its output is the Slurm job's output.

        Raises:
            SystemExit: the command failed. Not an Exception: submitit adds no traceback of its own to the log.
        """
        if os.environ.get("SLURM_PROCID", "0") != "0":
            # No error: with KillOnBadExit that would end the copy that works.
            print("Slurm has started this job several times; the first copy does the work, this one ends.")
            return
        if self.claim is not None:
            leave_if_superseded(self.claim)
            os.environ |= self.claim.environment
        received: set[int] = set()

        def handle(number: int, frame: FrameType | None) -> None:
            received.add(number)

        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, handle)  # in place of submitit's
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        # On stdin, because one argument holds no more than 128 KiB, and a job may name thousands of files.
        code = subprocess.run(self.command, input=self.data, cwd=self.folder, preexec_fn=_ignore_warning).returncode
        if code:
            self._fail(code, received)
        _make_room_for_result()

    def _fail(self, code: int, received: set[int]) -> NoReturn:
        """End with the command's exit code, or as the signals want it that are `received` by now."""
        if not received:  # Slurm signals one process after the other: the command may have died of what comes here next
            time.sleep(SPREAD)
        if received:
            _wait_for_orphans()
        if signal.SIGUSR2 in received:
            self._at_time_limit()
        elif signal.SIGTERM in received:
            if _own_state() == "RUNNING":  # a preemption's grace time; the queue takes it back by itself after that
                _requeue()
            os._exit(128 + signal.SIGTERM)  # with no result: how it ended is Slurm's to say
        raise SystemExit(code if code > 0 else 128 - code)

    def _at_time_limit(self) -> None:
        counter = time_limits_file(Path(os.environ["SUBMITIT_FOLDER"]), own_id())
        count = read_count(counter) + 1
        with suppress(OSError):  # a full disk: this time does not count
            counter.parent.mkdir(parents=True, exist_ok=True)
            counter.write_text(str(count))
        if count <= self.requeues:
            _requeue()
        print(f"Time limit reached {count} times, {self.requeues} are allowed: giving up.", file=sys.stderr)


def _make_room_for_result() -> None:
    """See that submitit can write its result; where it cannot, end well without: the command has done its work."""
    folder = Path(os.environ.get("SUBMITIT_FOLDER", "."))
    try:
        folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        print(f"Cannot write in {folder} ({error.strerror}); the job has ended well.", file=sys.stderr, flush=True)
        os._exit(0)


def own_id() -> str:
    """This Slurm job's id, as squeue writes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def time_limits_file(folder: Path, slurm_id: str) -> Path:
    """Where a job counts how often it has reached its time limit."""
    return folder / f"{slurm_id}_time_limits"


def read_count(path: Path) -> int:
    """The number in a file, 0 where there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _ignore_warning() -> None:
    """In the child: Snakemake and its shells, which know nothing of USR2, must not die of it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _wait_for_orphans() -> None:
    """Wait until all that the command started has ended: shells die of TERM at once, what they started saves first."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.1)


def _requeue() -> None:
    """Go back into the queue: Slurm ends this process. Returns if it cannot be done."""
    for attempt in range(TRIES):
        done = subprocess.run(["scontrol", "requeue", own_id()], capture_output=True, text=True)
        if done.returncode == 0:
            print("Interrupted: back into the queue.", file=sys.stderr, flush=True)
            time.sleep(120)
            os._exit(128 + signal.SIGTERM)
        time.sleep(2**attempt)
    print(f"Cannot be requeued: {done.stderr.strip()}", file=sys.stderr)


def _own_state() -> str:
    command = ["squeue", "-h", "-j", own_id(), "-o", "%T"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}  # it may filter
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()

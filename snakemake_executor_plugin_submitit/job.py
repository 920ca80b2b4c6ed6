"""The function that runs inside a Slurm job: it runs one Snakemake job's command, and requeues an interrupted job.

Slurm's signals reach every process of the job. USR2 comes before the time limit: a command that can resume (fastscale's
training) saves its state and ends; all other processes ignore it. TERM comes with a preemption, and with scancel.
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
GRACE = 25  # seconds for processes that save their state; Slurm kills 30 s after TERM
SPREAD = 2  # seconds within which one signal reaches every process of a job
TRIES = 5


@dataclass(frozen=True)
class SnakemakeJob:
    """The call that submitit pickles: it runs one Snakemake job's command and ends with the command's exit code.

    The command gets `data` on its standard input and starts in `folder`. An interrupted job goes back into the queue:
    `requeues` times at its time limit, always after a preemption.
    """

    command: Sequence[str]
    data: bytes = b""
    folder: str | None = None
    requeues: int = 0
    claim: Claim | None = None

    def __call__(self) -> None:
        """Run the command; its output is the Slurm job's output.

        Raises:
            SystemExit: the command failed. This is no Exception, so that submitit adds no traceback to the log.
        """
        if os.environ.get("SLURM_PROCID", "0") != "0":
            # Not an error: with KillOnBadExit an error would end the copy that does the work.
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
        # On standard input: an argument holds at most 128 KiB, and a job may name thousands of files.
        code = subprocess.run(self.command, input=self.data, cwd=self.folder, preexec_fn=_ignore_warning).returncode
        if code:
            self._fail(code, received)
        _make_room_for_result()

    def _fail(self, code: int, received: set[int]) -> NoReturn:
        """End with the command's exit code, or as the `received` signals demand."""
        # Slurm signals one process after the other: the command may have died of a signal that is not here yet.
        if not received:
            time.sleep(SPREAD)
        if received:
            _wait_for_orphans()
        if signal.SIGUSR2 in received:
            self._at_time_limit()
        elif signal.SIGTERM in received:
            if _own_state() == "RUNNING":  # within the grace time of a preemption; afterwards Slurm requeues the job
                _requeue()
            os._exit(128 + signal.SIGTERM)  # without a result: Slurm reports how the job ended
        raise SystemExit(code if code > 0 else 128 - code)

    def _at_time_limit(self) -> None:
        counter = time_limits_file(Path(os.environ["SUBMITIT_FOLDER"]), own_id())
        count = read_count(counter) + 1
        with suppress(OSError):  # on a full disk this time limit does not count
            counter.parent.mkdir(parents=True, exist_ok=True)
            counter.write_text(str(count))
        if count <= self.requeues:
            _requeue()
        print(f"Time limit reached {count} times, {self.requeues} are allowed: giving up.", file=sys.stderr)


def _make_room_for_result() -> None:
    """Make sure that submitit can write its result; where it cannot, end with success: the command has succeeded."""
    folder = Path(os.environ.get("SUBMITIT_FOLDER", "."))
    try:
        folder.mkdir(parents=True, exist_ok=True)  # the user may have deleted it
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
            file.flush()
    except OSError as error:
        print(f"Cannot write in {folder} ({error.strerror}); the job has ended well.", file=sys.stderr, flush=True)
        os._exit(0)


def own_id() -> str:
    """Return this Slurm job's id, as squeue writes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def time_limits_file(folder: Path, slurm_id: str) -> Path:
    """Return the path of the file in which a job counts how often it has reached its time limit."""
    return folder / f"{slurm_id}_time_limits"


def read_count(path: Path) -> int:
    """Read the number in a file; 0 where the file is missing or holds no number."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _ignore_warning() -> None:
    """Ignore USR2 in the child: Snakemake and its shells do not handle this signal, and must not die of it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def _wait_for_orphans() -> None:
    """Wait until all processes of the command have ended: shells die of TERM at once, their children save first."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.1)


def _requeue() -> None:
    """Put this job back into the queue: Slurm ends this process. Return where Slurm refuses."""
    for attempt in range(TRIES):
        scontrol = subprocess.run(["scontrol", "requeue", own_id()], capture_output=True, text=True)
        if scontrol.returncode == 0:
            print("Interrupted: back into the queue.", file=sys.stderr, flush=True)
            time.sleep(120)
            os._exit(128 + signal.SIGTERM)
        time.sleep(2**attempt)
    print(f"Cannot be requeued: {scontrol.stderr.strip()}", file=sys.stderr)


def _own_state() -> str:
    command = ["squeue", "-h", "-j", own_id(), "-o", "%T"]
    # The user's SQUEUE_... might hide the job.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()

"""Signals that ask to stop, as flags: a training ends between two steps, and its state is kept."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Slurm sends USR2 before a time limit or a preemption; TERM is the usual request to end in an orderly way.
STOPPING = (signal.SIGUSR2, signal.SIGTERM)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a STOPPING signal has come; outside the main thread none ever comes."""
    came = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        came.set()

    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, handle) for number in STOPPING}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # a rank starts with these signals blocked
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

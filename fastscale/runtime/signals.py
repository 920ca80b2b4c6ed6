"""Signals that ask to stop, as flags: what runs is ended between two steps, with its state kept."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# USR2 comes from Slurm before a time limit or a preemption, TERM from whoever ends a process in an orderly way.
STOPPING = (signal.SIGUSR2, signal.SIGTERM)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A function that says whether one of the STOPPING signals has come; outside the main thread none does."""
    came = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        came.set()

    if threading.current_thread() is not threading.main_thread():
        yield came.is_set
        return
    before = {number: signal.signal(number, handle) for number in STOPPING}
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # a rank starts with these blocked
    try:
        yield came.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

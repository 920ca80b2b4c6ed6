"""Deferral of SIGINT (Ctrl-C) across a critical section."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_deferred() -> Iterator[threading.Event]:
    """Defer SIGINT to the end of this context: no job is interrupted between its submission and its entry in the table.

    Yields an event that is set when a SIGINT has come. Other threads than the main one never get the signal.
    """
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    handler = signal.signal(signal.SIGINT, lambda number, frame: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, handler)
        if interrupted.is_set():
            signal.raise_signal(signal.SIGINT)

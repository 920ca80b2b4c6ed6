"""Reading ahead: the system is asked for what an epoch needs next, so that nobody waits for the disk."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

PIECE = 1 << 17  # bytes: of a larger request the kernel may read the begin alone
Batch = TypeVar("Batch")


def read_ahead(
    batches: Iterable[Batch], path: Path, begins: np.ndarray, sizes: np.ndarray, images: int, ahead: int
) -> Iterator[Batch]:
    """Yield the batches; while one is used, ask for the `images` of a file that are needed `ahead` images later.

    The images begin at `begins` and have `sizes` bytes, in the order in which they are asked for. What lies in memory
    is not read again, and what the system drops before it is used is read when it is.
    """
    begins, ends = begins.astype(np.int64), (begins + sizes).astype(np.int64)

    def ask(first: int) -> None:
        _ask(file.fileno(), begins[first : first + images], ends[first : first + images])

    with path.open("rb") as file, ThreadPoolExecutor(1) as beside:
        try:
            asked = range(0, ahead, images)
            for first in asked:
                beside.submit(ask, first)
            for number, batch in enumerate(batches, start=len(asked)):
                beside.submit(ask, number * images)
                yield batch
        finally:
            beside.shutdown(cancel_futures=True)


def _ask(file: int, begins: np.ndarray, ends: np.ndarray) -> None:
    """Ask for images, for those at once that lie together."""
    breaks = 1 + np.flatnonzero((begins[1:] < ends[:-1]) | (begins[1:] > ends[:-1] + PIECE))
    for some_begin, some_end in zip(np.split(begins, breaks), np.split(ends, breaks), strict=True):
        for piece in range(some_begin[0], some_end[-1], PIECE) if len(some_begin) else ():
            os.posix_fadvise(file, piece, min(PIECE, some_end[-1] - piece), os.POSIX_FADV_WILLNEED)

"""Reading ahead: what an epoch needs next is read in the order of the file, so that it lies in memory when it is used.

Not by asking the system to do so (fadvise), as it may read no more than the begin of what is asked for, or nothing, on
a file server; and not by letting it guess, as it may read megabytes around each image.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np

READERS = 4  # threads: file servers and disks answer several requests at once
PIECE = 1 << 20  # bytes of a request
PART = 4 * PIECE  # bytes that are read by one thread, at least
IN_WORK = 6  # batches that a loader prepares before they are drawn, at most
Batch = TypeVar("Batch")


def read_ahead(
    batches: Iterable[Batch], path: Path, begins: np.ndarray, sizes: np.ndarray, images: int, ahead: int
) -> Iterator[Batch]:
    """Yield the batches, of `images` images each, when as many and `ahead` more images of the file have been read.

    The images begin at `begins` and have `sizes` bytes, in the order in which they are read. What is in memory costs a
    copy; what the system drops before it is used is read when it is.
    """
    begins, ends = begins.astype(np.int64), (begins + sizes).astype(np.int64)
    every = max(1, round(PART * len(sizes) / sizes.sum() / images)) if len(sizes) else 1  # batches of a part
    part = every * images
    needed = 1 + -(-(ahead + IN_WORK * images) // part)  # parts
    with path.open("rb") as file, ThreadPoolExecutor(READERS) as readers:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # what lies behind an image is not asked for
        read, firsts = deque[Future[None]](), count(0, part)

        def begin() -> None:
            first = next(firsts)
            read.append(readers.submit(_read, file.fileno(), begins[first : first + part], ends[first : first + part]))

        try:
            for _ in range(needed + READERS):
                begin()
            while len(read) > READERS:
                read.popleft().result()
            for number, batch in enumerate(batches):
                yield batch
                if number % every == 0:
                    begin()
                    read.popleft().result()
        finally:
            readers.shutdown(cancel_futures=True)


def _read(file: int, begins: np.ndarray, ends: np.ndarray) -> None:
    """Read images, those at once that lie together."""
    breaks = 1 + np.flatnonzero((begins[1:] < ends[:-1]) | (begins[1:] > ends[:-1] + PIECE))
    for some_begin, some_end in zip(np.split(begins, breaks), np.split(ends, breaks), strict=True):
        for place in range(some_begin[0], some_end[-1], PIECE) if len(some_begin) else ():
            os.preadv(file, [NOWHERE[: some_end[-1] - place]], place)


NOWHERE = memoryview(bytearray(PIECE))  # whatever is written there, nobody reads it

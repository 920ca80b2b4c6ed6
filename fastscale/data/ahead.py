"""Reading ahead: what an epoch needs next is read in the order of the file, so that it lies in memory when it is used.

Not by asking the system to do so (fadvise), as it may read no more than the begin of what is asked for, or nothing, on
a file server; and not by letting it guess, as it may read megabytes around each image.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

READERS = 4  # threads: file servers and disks answer several requests at once
PIECE = 1 << 20  # bytes of a request
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
    needed = -(-ahead // images) + IN_WORK
    with path.open("rb") as file, ThreadPoolExecutor(READERS) as readers:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # what lies behind an image is not asked for
        read = deque[Future[None]]()

        def begin(number: int) -> None:
            some = slice(number * images, (number + 1) * images)
            read.append(readers.submit(_read, file.fileno(), begins[some], ends[some]))

        try:
            for number in range(needed + READERS):
                begin(number)
            while len(read) > READERS:
                read.popleft().result()
            for number, batch in enumerate(batches, start=needed + READERS):
                begin(number)
                yield batch
                read.popleft().result()
        finally:
            readers.shutdown(cancel_futures=True)


def _read(file: int, begins: np.ndarray, ends: np.ndarray) -> None:
    """Read images, those at once that lie together."""
    piece = bytearray(PIECE)
    breaks = 1 + np.flatnonzero((begins[1:] < ends[:-1]) | (begins[1:] > ends[:-1] + PIECE))
    for some_begin, some_end in zip(np.split(begins, breaks), np.split(ends, breaks), strict=True):
        for place in range(some_begin[0], some_end[-1], PIECE) if len(some_begin) else ():
            os.preadv(file, [memoryview(piece)[: some_end[-1] - place]], place)

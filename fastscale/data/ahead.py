"""Reading ahead: threads read the images that an epoch needs next, so that each lies in memory when it is decoded.

The images are read, not announced to the system (fadvise): on a file server the system may then read only the beginning
of what was announced, or nothing. The system's own guesses are switched off: it may read megabytes around each image.
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
REQUEST = 1 << 20  # bytes
PART = 4 * REQUEST  # bytes of the images that one thread reads in turn, at least
PREPARED = 6  # batches that a loader decodes before the training takes them, at most
Batch = TypeVar("Batch")


def read_ahead(
    batches: Iterable[Batch], path: Path, begins: np.ndarray, sizes: np.ndarray, images: int, ahead: int
) -> Iterator[Batch]:
    """Yield the batches, of `images` images each, after reading their images and `ahead` more images into memory.

    `begins` and `sizes`, (n,), are the places and sizes of the images in the file, in bytes, in the order in which they
    are to be read. An image that is in memory already costs a copy. An image that the system drops from memory before
    it is decoded is read again then.
    """
    begins, ends = begins.astype(np.int64), (begins + sizes).astype(np.int64)
    part_batches = max(1, round(PART * len(sizes) / sizes.sum() / images)) if len(sizes) else 1
    part_images = part_batches * images
    parts_ahead = 1 + -(-(ahead + PREPARED * images) // part_images)
    with path.open("rb") as file, ThreadPoolExecutor(READERS) as readers:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)  # no guesses by the system
        pending, firsts = deque[Future[None]](), count(0, part_images)

        def begin_part() -> None:
            first = next(firsts)
            part = slice(first, first + part_images)
            pending.append(readers.submit(_read, file.fileno(), begins[part], ends[part]))

        try:
            for _ in range(parts_ahead + READERS):
                begin_part()
            while len(pending) > READERS:
                pending.popleft().result()
            for number, batch in enumerate(batches):
                yield batch
                if number % part_batches == 0:
                    begin_part()
                    pending.popleft().result()
        finally:
            readers.shutdown(cancel_futures=True)


def _read(file: int, begins: np.ndarray, ends: np.ndarray) -> None:
    """Read images, neighbours in the file in one run with the gaps between them."""
    breaks = 1 + np.flatnonzero((begins[1:] < ends[:-1]) | (begins[1:] > ends[:-1] + REQUEST))
    for run_begins, run_ends in zip(np.split(begins, breaks), np.split(ends, breaks), strict=True):
        for place in range(run_begins[0], run_ends[-1], REQUEST) if len(run_begins) else ():
            os.preadv(file, [DISCARDED[: run_ends[-1] - place]], place)


DISCARDED = memoryview(bytearray(REQUEST))  # all threads write to this buffer, and nobody reads it

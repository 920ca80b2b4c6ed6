"""The host's memory: freed memory is kept for the next step of a training."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST_TENSOR = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a tensor frees for the next tensor; without glibc nothing changes.

    Otherwise glibc returns large pieces to the kernel, which clears them anew in each step: up to a third of its time.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_TENSOR)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)

"""The host's memory, kept between the steps of a training."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
LARGEST_TENSOR = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Have glibc keep what a tensor frees for the next one; elsewhere nothing changes.

    It would hand large pieces back to the kernel, which clears them anew in each step: up to a third of a step's time.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_TENSOR)
        mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)

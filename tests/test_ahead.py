"""Reading ahead: the images of the next batches, and no others, lie in memory before they are used."""

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from fastscale.data.ahead import read_ahead

PAGE = mmap.PAGESIZE
IMAGES, SIZE = 300, 50 * PAGE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 300 images on the disk, no page of which is in memory."""
    path = tmp_path / "images"
    path.write_bytes(os.urandom(SIZE) * IMAGES)
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(path).any():
        pytest.skip("this file system keeps its files in memory")
    return path


def in_memory(path: Path) -> np.ndarray:
    """Return the share of each image that lies in memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        pages = np.frombuffer(mapped, np.uint8)
        present = (ctypes.c_ubyte * (len(pages) // PAGE))()
        address = ctypes.c_void_p(pages.ctypes.data)
        del pages
        assert ctypes.CDLL(None).mincore(address, ctypes.c_size_t(len(present) * PAGE), present) == 0
    return (np.frombuffer(present, np.uint8) & 1).reshape(IMAGES, -1).mean(axis=1)


def test_images_are_read_before_they_are_used(file: Path) -> None:
    chosen = np.random.default_rng(0).permutation(IMAGES)[:200]
    begins, sizes = chosen * SIZE, np.full(200, SIZE)
    for number, _ in enumerate(read_ahead(range(9), file, begins.astype(np.uint64), sizes.astype(np.uint64), 20, 60)):
        assert (in_memory(file)[chosen[: 60 + 20 * (number + 1)]] == 1).all()
    others = np.setdiff1d(np.arange(IMAGES), chosen)
    assert in_memory(file)[others].mean() < 0.3, "images that are not needed are read too"


def test_closing_early_ends_the_reading(file: Path) -> None:
    batches = read_ahead(range(100), file, np.arange(100) * SIZE, np.full(100, SIZE), 1, 2)
    assert next(batches) == 0
    batches.close()
    assert in_memory(file)[50 + 64 :].sum() == 0

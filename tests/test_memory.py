"""A file larger than the memory of its job: an epoch reads the file once, and is not killed for want of memory."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastscale.data.dataset import Dataset, fingerprint
from fastscale.data.pictures import MODES, Stored
from fastscale.data.writer import write_beton
from fastscale.records.records import write_record

pytestmark = pytest.mark.slow

IMAGES, SIDE = 40_000, 100  # 1.2 GB
MEMORY = 900 << 20  # of which a process with torch takes half
EPOCH = """
import json, os, sys
from pathlib import Path
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
from fastscale.data import Dataset, order
from fastscale.data.loaders import training_batches
from fastscale.recipe import Recipe

order.SMALLEST_WINDOW = 2048
def read():
    return int(dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())["read_bytes"])

batches = training_batches(Dataset.open(Path(sys.argv[2])), 8, Recipe(batch=64, norm_batch=None, augment=None), 1, 1, 0)
before = read()
print(json.dumps({"images": sum(len(labels) for _, labels, _ in batches), "read": read() - before}))
"""


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A control group with little memory, like that of a Slurm job."""
    root = Path("/sys/fs/cgroup")
    parent, limit = (root / "memory", "memory.limit_in_bytes") if (root / "memory").exists() else (root, "memory.max")
    group = parent / f"fastscale-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(MEMORY))
    except OSError:
        pytest.skip("a control group of our own takes root")
    yield group
    group.rmdir()


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    """A data set of noise on the disk, no page of which is in memory."""
    rng = np.random.default_rng(0)
    noise, size = rng.integers(0, 256, 4 * SIDE**2 * 3, dtype=np.uint8).tobytes(), SIDE**2 * 3
    files = {}
    for split, images in (("train", IMAGES), ("val", 10)):
        path = tmp_path / f"{split}.beton"
        places = rng.integers(len(noise) - size, size=images)
        write_beton(path, ((Stored(MODES["raw"], SIDE, SIDE, noise[i : i + size]), 0) for i in places), images)
        files[split] = {"bytes": path.stat().st_size, "fingerprint": fingerprint(path)}
        with path.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    counts = {"train": IMAGES, "val": 10}
    dataset = Dataset(tmp_path, "noise", ("a", "b"), counts, {}, (0.5,) * 3, (0.5,) * 3, {}, files)
    write_record(tmp_path / "data.json", dataset.to_record())
    return dataset


def test_a_file_larger_than_memory_is_read_once(data: Dataset, cgroup: Path) -> None:
    size = data.files["train"]["bytes"]
    assert size > MEMORY
    ran = subprocess.run([sys.executable, "-c", EPOCH, str(cgroup), str(data.folder)], capture_output=True, text=True)
    assert ran.returncode == 0, f"{ran.returncode}: {ran.stderr}"
    epoch = json.loads(ran.stdout)
    assert epoch["images"] == IMAGES // 64 * 64
    assert epoch["read"] < 1.2 * size

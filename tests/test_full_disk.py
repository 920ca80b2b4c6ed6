"""A real disk that is full: what was there stays whole, and the error names the path."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from fastscale.analysis.rendering import style
from fastscale.data import Dataset, write_betons
from fastscale.errors import UserError
from fastscale.records.records import read_record, write_record
from fastscale.training.checkpoint import Checkpoints


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 KB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of our own takes root")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def fill(disk: Path) -> None:
    """Take the last page too: the kernel counts them by processor, and has some left after the first refusal."""
    for i, size in enumerate((300_000, *[4096] * 16)):
        with suppress(OSError):
            (disk / f"ballast{i}").write_bytes(bytes(size))
    with pytest.raises(OSError, match="No space left"):
        (disk / "ballast").write_bytes(bytes(4096))


def test_record(disk: Path) -> None:
    path = disk / "folder/record.json"
    written = write_record(path, {"kind": "train", "top1_error": 1.5})
    fill(disk)
    with pytest.raises(UserError, match=f"cannot write {path}: No space left on device"):
        write_record(path, {"kind": "train", "top1_error": 2.5, "much": "x" * 100_000})
    assert read_record(path, "train") == written
    assert [found.name for found in path.parent.iterdir()] == ["record.json"]


def test_checkpoint(disk: Path) -> None:
    checkpoints = Checkpoints(disk / "checkpoints", {"seed": 1})
    checkpoints.save(1, {"weights": torch.ones(10_000)})
    for elements in (30_000, 1_000_000):
        with pytest.raises(UserError, match=r"cannot write .*step-000000002\.pt: No space left on device"):
            checkpoints.save(2, {"weights": torch.ones(elements), "more": torch.ones(30_000)})
    assert checkpoints.load()["weights"].sum() == 10_000
    assert len(list(checkpoints.folder.iterdir())) == 1


def test_data(disk: Path) -> None:
    small = {"kind": "fashion-mnist", "classes": 10, "train_images": 20, "val_images": 10, "write_mode": "raw"}
    written = write_betons(small, disk / "data")
    with pytest.raises(UserError, match=rf"cannot write {disk}/data/train\.beton: No space left on device"):
        write_betons({**small, "train_images": 1000}, disk / "data", threads=2)
    assert Dataset.open(disk / "data") == written


def test_figure(disk: Path) -> None:
    figure = Figure()
    figure.subplots().plot(range(10))
    for suffix in (".svg", ".pdf"):
        style.save(figure, disk / f"fig{suffix}")
    before = {path: path.read_bytes() for path in disk.iterdir()}
    fill(disk)
    for path in before:
        with pytest.raises(UserError, match=f"cannot write {path}: No space left on device"):
            style.save(figure, path)
    for path in disk.glob("ballast*"):
        path.unlink()
    assert {path: path.read_bytes() for path in disk.iterdir()} == before

"""Writing .beton files: equal images give equal bytes; an image that cannot be stored is named in an error."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastscale.data import Dataset, write_betons, writer
from fastscale.errors import UserError

FILES = ("train.beton", "val.beton", "data.hash", "data.json")
RAW, JPG = {"write_mode": "raw"}, {"write_mode": "jpg", "jpeg_quality": 95}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of noise and shades, of many sizes: 40 images to train on, 8 to validate."""
    rng = np.random.default_rng(1)
    for split, images in (("train", 20), ("val", 4)):
        for name in ("a", "b"):
            (tmp_path / "in" / split / name).mkdir(parents=True)
            for i in range(images):
                pixels = rng.integers(0, 256, (30 + i, 60 - i, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "in" / split / name / f"{i:03}.png")
    return tmp_path / "in"


def write(folder: Path, out: Path, threads: int = 1, **settings: object) -> Dataset:
    config = {"kind": "imagefolder", "classes": 2, "path": str(folder), **settings}
    return write_betons(config, out, threads)


def pixels(dataset: Dataset, side: int = 40, crop: float = 1.0) -> np.ndarray:
    """Return the pixels of all validation images as the loader yields them."""
    from fastscale.data.loaders import validation_batches

    batches = validation_batches(dataset, side, 128, crop, threads=1)
    return np.concatenate([images.clone().numpy() for images, _ in batches])


@pytest.mark.parametrize("mode", ["raw", "jpg", "proportion"])
def test_the_same_images_give_the_same_bytes(folder: Path, tmp_path: Path, mode: str) -> None:
    """Written again, by 1, 2 and 4 threads, and from a copy in another folder with other times."""
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    first = write(folder, tmp_path / "one", write_mode=mode)
    expected = {name: (first.folder / name).read_bytes() for name in FILES}
    for threads in (1, 2, 4):
        again = write(folder, tmp_path / f"{threads}", threads, write_mode=mode)
        assert {name: (again.folder / name).read_bytes() for name in FILES} == expected
    copied = write(tmp_path / "copy", tmp_path / "of-copy", 2, write_mode=mode)
    assert {name: (copied.folder / name).read_bytes() for name in FILES} == expected


def test_two_processes_write_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    """By `fastscale data`, under different seeds of Python's hashes."""
    config = json.dumps({"kind": "imagefolder", "classes": 2, "path": str(folder), "write_mode": "proportion"})
    for seed in "12":
        command = [sys.executable, "-m", "fastscale.cli.main", "data", str(tmp_path / seed), "--config", config]
        subprocess.run([*command, "--threads", "2"], env={**os.environ, "PYTHONHASHSEED": seed}, check=True)
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in FILES)


def test_the_hash_depends_on_stored_images_and_labels_alone(folder: Path, tmp_path: Path) -> None:
    """Their storage and their labels change it; the data set's name and the format of the original files do not."""
    first = write(folder, tmp_path / "first", **RAW).hash
    for image in (folder / "train/a").iterdir():
        picture = Image.open(image)
        picture.load()
        image.unlink()
        picture.save(image.with_suffix(".tif"))
    assert write(folder, tmp_path / "tif", **RAW).hash == first
    assert write(folder, tmp_path / "named", name="other", **RAW).hash == first
    hashes = {
        first,
        write(folder, tmp_path / "jpg", **JPG).hash,
        write(folder, tmp_path / "mixed", write_mode="proportion").hash,
    }
    hashes.add(write(folder, tmp_path / "better", write_mode="jpg", jpeg_quality=96).hash)
    hashes.add(write(folder, tmp_path / "small", max_resolution=50, **RAW).hash)
    (folder / "train/a/000.tif").rename(folder / "train/b/zzz.tif")
    hashes.add(write(folder, tmp_path / "moved", **RAW).hash)
    assert len(hashes) == 6


def by_ffcv(path: Path) -> Any:
    """Return FFCV's own reader of a file."""
    pytest.importorskip("fastscale.data._ffcv", reason="FFCV is not built here", exc_type=ImportError)
    from ffcv.reader import Reader

    return Reader(str(path))


def test_files_have_ffcvs_format(folder: Path, tmp_path: Path) -> None:
    """FFCV's own reader finds all images and labels, and FFCV's types of headers and tables equal ours."""
    # By itself FFCV compiles for seconds when it is imported.
    pytest.importorskip("fastscale.data._ffcv", reason="FFCV is not built here", exc_type=ImportError)
    from ffcv.fields import IntField, RGBImageField
    from ffcv.types import ALLOC_TABLE_TYPE, FieldDescType, HeaderType, get_metadata_type

    dataset = write(folder, tmp_path / "out", **RAW)
    types = (HeaderType, FieldDescType, ALLOC_TABLE_TYPE, get_metadata_type([RGBImageField(), IntField()]))
    assert types == (writer.HEADER, writer.FIELD, writer.ALLOCATION, writer.SAMPLE)
    reader = by_ffcv(dataset.beton("val"))
    assert list(map(type, reader.handlers.values())) == [RGBImageField, IntField]
    content = np.fromfile(dataset.beton("val"), np.uint8)
    for i, path in enumerate(sorted((folder / "val").rglob("*.png"))):
        picture, (image, label) = np.asarray(Image.open(path)), reader.metadata[i]
        assert (image["height"], image["width"], label) == (*picture.shape[:2], i // 4)
        stored = content[image["data_ptr"] :][: picture.nbytes]
        assert np.array_equal(stored, picture.reshape(-1))
    begins, ends = (reader.alloc_table["ptr"], reader.alloc_table["ptr"] + reader.alloc_table["size"])
    assert (begins // writer.PAGE_BYTES == (ends - 1) // writer.PAGE_BYTES).all()


def test_no_image_crosses_the_border_of_two_pages(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (900, 800 + i, 3), dtype=np.uint8) for i in range(9)]
    for i, image in enumerate(images):
        for split in ("train", "val"):
            (tmp_path / "in" / split / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "in" / split / "ab"[i % 2] / f"{i}.bmp")
    dataset = write(tmp_path / "in", tmp_path / "out", 2, **RAW)
    assert dataset.beton("val").stat().st_size > 2 * writer.PAGE_BYTES
    reader, content = by_ffcv(dataset.beton("val")), np.fromfile(dataset.beton("val"), np.uint8)
    for place, image in zip(reader.metadata["f0"]["data_ptr"], images[::2] + images[1::2], strict=True):
        assert np.array_equal(content[place:][: image.nbytes], image.reshape(-1))
        assert place // writer.PAGE_BYTES == (int(place) + image.nbytes - 1) // writer.PAGE_BYTES


def test_training_images_are_shuffled_and_validation_images_are_not(folder: Path, tmp_path: Path) -> None:
    dataset = write(folder, tmp_path / "out", **RAW)
    train, val = (by_ffcv(dataset.beton(split)).metadata["f1"] for split in ("train", "val"))
    assert sorted(train) == [0] * 20 + [1] * 20 and val.tolist() == [0] * 4 + [1] * 4
    assert 10 < (train[1:] != train[:-1]).sum() < 30, "the images of a class lie together"


def thin(path: Path) -> None:
    Image.new("RGB", (2, 1200), (90, 90, 90)).save(path.with_suffix(".png"))


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((40, 40), 90 * 256, np.uint16)).save(path.with_suffix(".png"))


def one_pixel(path: Path) -> None:
    Image.new("RGB", (1, 1), (90, 90, 90)).save(path.with_suffix(".gif"))


@pytest.mark.parametrize("add", [thin, sixteen_bits, one_pixel])
@pytest.mark.parametrize("how", [RAW, JPG])
def test_images_of_unusual_sizes_and_depths_are_stored(
    folder: Path, tmp_path: Path, add: Callable[[Path], None], how: dict
) -> None:
    add(folder / "val/a/zzz")
    dataset = write(folder, tmp_path / "out", max_resolution=500, **how)
    for crop in (1.0, 0.875, 0.01):
        assert np.abs(pixels(dataset, crop=crop)[4].astype(int) - 90).max() <= 2


def floats(path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.float32)).save(path.with_suffix(".tif"))


def empty(path: Path) -> None:
    path.with_suffix(".png").touch()


def text(path: Path) -> None:
    path.with_suffix(".jpg").write_text("no picture")


def wide(path: Path) -> None:
    Image.new("1", (70_000, 1)).save(path.with_suffix(".png"))


def huge(path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(path.with_suffix(".png"))


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (floats, r"zzz\.tif cannot be read \(its pixels are floats, and .*convert it to 8 bits per channel\)"),
        (empty, r"zzz\.png cannot be read \(the file is empty\)"),
        (text, r"zzz\.jpg cannot be read \(Pillow knows no such format\)"),
        (wide, r"zzz\.png cannot be stored \(a side of 70,000 pixels, more than 65,535; set max_resolution\)"),
        (huge, r"zzz\.png cannot be read \(Image size .* exceeds limit .*\)"),
    ],
)
@pytest.mark.parametrize("threads", [1, 4])
def test_images_that_cannot_be_stored_are_named(
    folder: Path, tmp_path: Path, add: Callable[[Path], None], reason: str, threads: int
) -> None:
    for name in ("a", "b"):
        add(folder / "train" / name / "zzz")
    with pytest.raises(UserError, match=rf"{reason}; 2 of 42 images are like this: replace or remove them") as raised:
        write(folder, tmp_path / "out", threads, **JPG)
    assert "\n" not in str(raised.value) and not list((tmp_path / "out").iterdir())


def test_files_that_are_left_out_are_reported(folder: Path, tmp_path: Path) -> None:
    (folder / "train/a/notes.txt").touch()
    (folder / "train/b/x.heic").touch()
    config = json.dumps({"kind": "imagefolder", "classes": 2, "path": str(folder)})
    command = [sys.executable, "-m", "fastscale.cli.main", "data", str(tmp_path / "out"), "--config", config]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = ran.stderr.splitlines()
    assert "in/train: left out 1 .heic, 1 .txt (what is read: .avif, .bmp," in line
    record = json.loads((tmp_path / "out/data.json").read_text())
    assert record["left_out"] == {"train": {".heic": 1, ".txt": 1}, "val": {}}

"""Writing .beton files with FFCV, once for each data set."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing import RawArray, active_children
from pathlib import Path
from typing import Any

import numpy as np

from fastscale.data.dataset import Dataset, fingerprint
from fastscale.data.sources import Split, open_source
from fastscale.errors import UserError
from fastscale.records import provenance, replacing, write_record

PAGE_BYTES = 1 << 23  # FFCV's default page; an image must fit in one
DIGEST_BYTES = 16


def write_betons(config: Mapping[str, Any], folder: Path, threads: int = 1) -> Dataset:
    """Write train.beton, val.beton and, last, data.json to `folder`: each whole or not at all.

    `config` is the data part of a sweep's configuration: kind, classes, path, train_images, val_images and FFCV's
    max_resolution, write_mode (raw, jpg, smart, proportion: half of the images as JPEG) and jpeg_quality.

    Raises:
        UserError: missing, empty or unreadable images, other classes than configured, or a full disk.
    """
    source = open_source(config, folder)
    settings = {key: config[key] for key in ("max_resolution", "write_mode", "jpeg_quality") if config.get(key)}
    content, files = {}, {}
    for name in ("train", "val"):
        path, split = folder / f"{name}.beton", getattr(source, name)
        content[name] = _write(path, split, settings, threads)
        files[name] = {"bytes": path.stat().st_size, "fingerprint": fingerprint(path)}
    dataset = Dataset(
        folder,
        config.get("name", config["kind"]),
        tuple(source.class_names),
        {"train": len(source.train), "val": len(source.val)},
        content,
        source.mean,
        source.std,
        settings,
        files,
    )
    write_record(folder / "data.json", {**dataset.to_record(), "provenance": provenance("train", ("ffcv", "numpy"))})
    return dataset


class _Samples:
    """A split as FFCV's writer reads it, in several processes: notes each image's digest, and which are unreadable."""

    def __init__(self, split: Split, settings: Mapping[str, Any]):
        self.split, self.max_resolution = split, settings.get("max_resolution")
        self.digests = RawArray("B", len(split) * DIGEST_BYTES)  # shared; all zero: not readable

    def __len__(self) -> int:
        return len(self.split)

    def read(self, index: int) -> tuple[bytes, np.ndarray]:
        stored, pixels = self.split.read(index)
        longest = max(pixels.shape)
        shrink = min(1.0, self.max_resolution / longest) if self.max_resolution else 1.0
        if pixels.nbytes * shrink**2 > PAGE_BYTES:
            raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels do not fit in a page; set max_resolution")
        return stored, pixels

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        label = int(self.split.labels[index])
        try:
            stored, pixels = self.read(index)
        except Exception:  # whatever PIL raises: the writer's processes must go on, it would wait for them for ever
            return np.zeros((1, 1, 3), np.uint8), label
        hashed = hashlib.blake2b(stored, digest_size=DIGEST_BYTES, salt=label.to_bytes(4, "little"))
        start = index * DIGEST_BYTES
        self.digests[start : start + DIGEST_BYTES] = hashed.digest()
        return pixels, label

    def content(self) -> str:
        """SHA-256 over all images and labels, in order, once they are written.

        Raises:
            UserError: an image could not be read.
        """
        digests = np.frombuffer(self.digests, np.uint8).reshape(-1, DIGEST_BYTES)
        unreadable = np.flatnonzero(~digests.any(axis=1))
        if len(unreadable):
            index = int(unreadable[0])
            try:
                self.read(index)
                reason = "readable only now"
            except Exception as error:
                reason = str(error).splitlines()[0]
            raise UserError(
                f"data: {self.split.images[index]} cannot be read ({reason}); {len(unreadable)} of {len(self)} images "
                "are like this: replace or remove them"
            )
        return hashlib.sha256(digests.tobytes()).hexdigest()


def _write(path: Path, split: Split, settings: Mapping[str, Any], threads: int) -> str:
    from fastscale.data.ffcv import DatasetWriter, IntField, RGBImageField

    samples = _Samples(split, settings)
    fields = {"image": RGBImageField(**settings), "label": IntField()}
    with replacing(path) as temporary, _writer_that_ends():
        writer = DatasetWriter(str(temporary), fields, page_size=PAGE_BYTES, num_workers=threads)
        writer.from_indexed_dataset(samples)
        return samples.content()


@contextmanager
def _writer_that_ends() -> Iterator[None]:
    """FFCV's writer with a bar on a terminal only, and an error where it would wait for ever for a dead process."""
    import ffcv.writer

    original = ffcv.writer.tqdm, ffcv.writer.sleep

    def sleep(seconds: float) -> None:
        workers = active_children()
        time.sleep(seconds)
        if any(worker.exitcode for worker in workers):
            for worker in active_children():
                worker.terminate()
            raise OSError("a writing process ended early (disk or memory full?)")

    ffcv.writer.tqdm, ffcv.writer.sleep = partial(original[0], disable=None), sleep
    try:
        yield
    finally:
        ffcv.writer.tqdm, ffcv.writer.sleep = original

"""A data set on disk: train.beton, val.beton and the data.json that describes them."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.records.records import digest, read_record

BLOCK_BYTES = 1 << 16
BLOCKS = 64  # per fingerprint


@dataclass(frozen=True)
class Dataset:
    """A written data set, as data.json describes it.

    By split, `images` is the number of images, `content` the SHA-256 of all images and labels as they are stored, in
    that order, and `files` the size in bytes and the fingerprint of the .beton file. `mean` and `std` are the mean and
    standard deviation of each channel, in units of 0 to 1; `settings` says how images were stored.
    """

    folder: Path
    name: str
    class_names: tuple[str, ...]
    images: Mapping[str, int]
    content: Mapping[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open the data set in `folder` and check its files, as FFCV would crash on a damaged one.

        Raises:
            UserError: data.json or a .beton file is missing, or a .beton file differs from what was written.
        """
        record = read_record(folder / "data.json", "data")
        values = {key: record[key] for key in ("name", "images", "content", "settings", "files")}
        tuples: dict[str, Any] = {key: tuple(record[key]) for key in ("class_names", "mean", "std")}
        dataset = cls(folder, **values, **tuples)
        for split, expected in dataset.files.items():
            path = dataset.beton(split)
            if not path.is_file():
                raise UserError(f"{path} is missing; delete {folder / 'data.json'} and run snakemake again")
            if path.stat().st_size != expected["bytes"]:
                damage = f"has {path.stat().st_size} bytes instead of {expected['bytes']}"
            elif fingerprint(path) != expected["fingerprint"]:
                damage = "has other content"
            else:
                continue
            raise UserError(
                f"{path} is damaged: it {damage} than when it was written; delete {folder / 'data.json'} and run "
                "snakemake again"
            )
        return dataset

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @property
    def hash(self) -> str:
        """Return the SHA-256 of what networks see: stored images and labels in their order, mean and deviation."""
        return digest([self.content, self.mean, self.std])

    def beton(self, split: str) -> Path:
        """Return the path of a split's .beton file."""
        return self.folder / f"{split}.beton"

    def to_record(self) -> dict[str, Any]:
        """Return the content of data.json."""
        values = asdict(self)
        del values["folder"]
        return {"kind": "data", "classes": self.classes, **values, "data_hash": self.hash}


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file's size and of 64 blocks spread evenly over the file: quick even for 300 GB."""
    size = path.stat().st_size
    hashed = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(BLOCKS):
            file.seek(block * max(0, size - BLOCK_BYTES) // (BLOCKS - 1))
            hashed.update(file.read(BLOCK_BYTES))
    return hashed.hexdigest()

"""A data set on disk: train.beton, val.beton and the data.json that describes them."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastscale.errors import UserError
from fastscale.records.records import digest, read_record

SAMPLED = 1 << 16  # bytes of each block that a fingerprint reads
BLOCKS = 64


@dataclass(frozen=True)
class Dataset:
    """What data.json says.

    `images` counts the images of each split, `content` is the SHA-256 of all images and labels in it, as they are
    stored and in that order, `mean` and `std` are those of the channels, in units of 0 to 1. `files` gives size and
    fingerprint of the .betons.
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
        """The data set in `folder`, its files checked: FFCV would crash on a damaged one.

        Raises:
            UserError: data.json or a .beton is missing, or a .beton is not the one that was written.
        """
        record = read_record(folder / "data.json", "data")
        known = {key: record[key] for key in ("name", "images", "content", "settings", "files")}
        as_tuples: dict[str, Any] = {key: tuple(record[key]) for key in ("class_names", "mean", "std")}
        dataset = cls(folder, **known, **as_tuples)
        for split, expected in dataset.files.items():
            path = dataset.beton(split)
            if not path.is_file():
                raise UserError(f"{path} is missing; delete {folder / 'data.json'} and run `fastscale data` again")
            if path.stat().st_size != expected["bytes"]:
                found = f"has {path.stat().st_size} bytes instead of {expected['bytes']}"
            elif fingerprint(path) != expected["fingerprint"]:
                found = "has other content"
            else:
                continue
            raise UserError(
                f"{path} is damaged: it {found} than when it was written; delete it and run snakemake again"
            )
        return dataset

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def hash(self) -> str:
        """SHA-256 of what the networks see: stored images and labels, in their order, mean and deviation."""
        return digest([self.content, self.mean, self.std])

    def beton(self, split: str) -> Path:
        """The .beton file of a split."""
        return self.folder / f"{split}.beton"

    def to_record(self) -> dict[str, Any]:
        """The content of data.json."""
        known = asdict(self)
        del known["folder"]
        return {"kind": "data", "classes": self.classes, **known, "data_hash": self.hash}


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's size and of 64 blocks spread over it, first and last included: quick on 300 GB too."""
    size = path.stat().st_size
    hashed = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for block in range(BLOCKS):
            file.seek(block * max(0, size - SAMPLED) // (BLOCKS - 1))
            hashed.update(file.read(SAMPLED))
    return hashed.hexdigest()

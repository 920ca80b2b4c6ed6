"""The images that a configuration asks for: their number, classes and state, found without reading any image."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastscale.data.folders import SPLITS, find_classes, folder_state, list_images
from fastscale.errors import UserError
from fastscale.records.records import digest

# Folders of Debian's package dataset-fashion-mnist: installed, or unpacked into .venv (requirements/setup.sh).
DEBIAN_FOLDERS = [Path(root, "usr/share/datasets/fashion-mnist") for root in ("/", f"{sys.prefix}/debian")]
DEBIAN_FASHION_MNIST = next((folder for folder in DEBIAN_FOLDERS if folder.exists()), DEBIAN_FOLDERS[0])
FASHION_MNIST_CLASSES = (
    ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
)  # fmt: skip
FASHION_MNIST_IMAGES = {"train": 60_000, "val": 10_000}
KINDS = ("fashion-mnist", "imagefolder")


def check_classes(config: Mapping[str, Any]) -> None:
    """Check the kind, path and number of classes in the data part of a configuration; this lists two folders at most.

    Raises:
        UserError: the kind is unknown, folders are missing, or the number of classes is not the configured number.
    """
    kind = config["kind"]
    if kind not in KINDS:
        raise UserError(f"data: kind is {kind!r}; allowed are {' and '.join(KINDS)}")
    if kind == "imagefolder" and not config.get("path"):
        raise UserError("data: kind imagefolder needs path: a folder that holds train/ and val/")
    names = list(find_classes(Path(config["path"]))["train"]) if kind == "imagefolder" else FASHION_MNIST_CLASSES
    if len(names) != config["classes"]:
        raise UserError(
            f"data: classes is {config['classes']}, but {config.get('path', kind)} holds {len(names)} "
            f"({', '.join(names[:3])} ...); set classes: {len(names)}, or correct the data"
        )


def count_images(config: Mapping[str, Any]) -> dict[str, int]:
    """Count the images of each split that the data part of a configuration asks for, without reading any image.

    Raises:
        UserError: see `check_classes`; folders hold no images, or fewer images than requested.
    """
    check_classes(config)
    if config["kind"] == "imagefolder":
        listings = list_images(Path(config["path"])).items()
        counts = {split: sum(map(len, listing.images.values())) for split, listing in listings}
    else:
        counts = FASHION_MNIST_IMAGES
    return {split: requested_images(config, split, count) for split, count in counts.items()}


def source_state(config: Mapping[str, Any]) -> str | None:
    """Digest the names, sizes and times of the files of images, so as to see changes without reading the files.

    Returns None if this machine does not see the files. If the folders have a mistake, the sentence that reports it is
    returned in place of a digest: it differs from every digest, and reading the images will raise the mistake.
    """
    root = Path(config.get("path") or "")
    try:
        if config["kind"] == "imagefolder":
            return folder_state(root) if any((root / split).exists() for split in SPLITS) else None
        if not DEBIAN_FASHION_MNIST.exists():
            return None
        statuses = [(path.name, path.stat()) for path in sorted(DEBIAN_FASHION_MNIST.iterdir())]
        return digest([(name, status.st_size, status.st_mtime_ns) for name, status in statuses])
    except (UserError, OSError) as error:
        return str(error)


def requested_images(config: Mapping[str, Any], split: str, available: int) -> int:
    """Return how many of the `available` images of a split a configuration asks for.

    Raises:
        UserError: more images are requested than available.
    """
    count = config.get(f"{split}_images") or available
    if count > available:
        raise UserError(
            f"data: {split}_images is {count}, but only {available} are there; leave it out for all of them"
        )
    return count

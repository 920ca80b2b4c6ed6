"""Which images a configuration asks for: how many there are, of which classes, in which state. None is read."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastscale.data.folders import SPLITS, find_classes, folder_state, list_images
from fastscale.errors import UserError
from fastscale.records.records import digest

# Of Debian's package dataset-fashion-mnist: installed, or unpacked into .venv (requirements/setup.sh).
PACKAGED = [Path(root, "usr/share/datasets/fashion-mnist") for root in ("/", f"{sys.prefix}/debian")]
DEBIAN_FASHION_MNIST = next((folder for folder in PACKAGED if folder.exists()), PACKAGED[0])
FASHION_MNIST_CLASSES = (
    ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
)  # fmt: skip
FASHION_MNIST_IMAGES = {"train": 60_000, "val": 10_000}
KINDS = ("fashion-mnist", "imagefolder")


def check_classes(config: Mapping[str, Any]) -> None:
    """Check the kind, path and number of classes in the data part of a configuration: a look into two folders.

    Raises:
        UserError: an unknown kind, folders that are missing, or other classes than configured.
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
    """Count the images of each split that the data part of a configuration asks for; none is read.

    Raises:
        UserError: see `check_classes`; folders without images, or fewer images than asked for.
    """
    check_classes(config)
    if config["kind"] == "imagefolder":
        listings = list_images(Path(config["path"])).items()
        there = {split: sum(map(len, listing.images.values())) for split, listing in listings}
    else:
        there = FASHION_MNIST_IMAGES
    return {split: asked_images(config, split, count) for split, count in there.items()}


def source_state(config: Mapping[str, Any]) -> str | None:
    """Digest the names, sizes and times of the files that hold the images, to know of a change without reading them.

    None where they are gone, or out of this machine's reach. What is wrong with them is a state too: it is told when
    they are read.
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


def asked_images(config: Mapping[str, Any], split: str, there: int) -> int:
    """How many images of a split a configuration asks for."""
    wanted = config.get(f"{split}_images") or there
    if wanted > there:
        raise UserError(f"data: {split}_images is {wanted}, but only {there} are there; leave it out for all of them")
    return wanted

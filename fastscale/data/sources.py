"""Where images come from: Fashion-MNIST, or any folder of class folders."""

import gzip
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastscale.data.folders import SPLITS, find_classes, folder_state, list_images
from fastscale.data.pictures import read_picture
from fastscale.errors import UserError
from fastscale.records import digest

# Of Debian's package dataset-fashion-mnist: installed, or unpacked into .venv (requirements/setup.sh).
PACKAGED = [Path(root, "usr/share/datasets/fashion-mnist") for root in ("/", f"{sys.prefix}/debian")]
DEBIAN_FASHION_MNIST = next((folder for folder in PACKAGED if folder.exists()), PACKAGED[0])
IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FASHION_MNIST_CLASSES = (
    ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
)  # fmt: skip
FASHION_MNIST_IMAGES = {"train": 60_000, "val": 10_000}
FASHION_MNIST_MEAN, FASHION_MNIST_STD = 3 * (0.2860,), 3 * (0.3530,)
KINDS = ("fashion-mnist", "imagefolder")
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """Labelled images: arrays (H, W) of uint8, or paths of files that Pillow reads."""

    images: Sequence[np.ndarray] | Sequence[str]
    labels: Sequence[int]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def read(self, index: int) -> Image.Image:
        """Read an image as RGB.

        Raises:
            Exception: see `fastscale.data.pictures.read_picture`.
        """
        image = self.images[index]
        if isinstance(image, np.ndarray):
            return Image.fromarray(image).convert("RGB")
        return read_picture(Path(image).read_bytes())

    def name(self, index: int) -> str:
        """Tell where an image lies."""
        image = self.images[index]
        return f"image {index}" if isinstance(image, np.ndarray) else str(image)

    def first(self, count: int) -> "Split":
        """Take the first images of each class, in turn, `count` in all; in their old order."""
        if count >= len(self):
            return self
        labels = np.asarray(self.labels)
        rank = np.empty(len(labels), int)  # how many of its class stand before it
        for label in np.unique(labels):
            of_class = np.flatnonzero(labels == label)
            rank[of_class] = np.arange(len(of_class))
        kept = np.sort(np.argsort(rank, kind="stable")[:count]).tolist()
        return Split([self.images[i] for i in kept], [int(labels[i]) for i in kept])


@dataclass(frozen=True)
class Source:
    """A data set before it is written: its splits, class names, and each channel's mean and deviation (0 to 1).

    `left_out` counts, by split and extension, the files beside the images that are none.
    """

    train: Split
    val: Split
    class_names: Sequence[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


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
    return {split: _asked(config, split, count) for split, count in there.items()}


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


def open_source(config: Mapping[str, Any], downloads: Path) -> Source:
    """Open the images that the data part of a sweep's configuration names, cut to its numbers of images.

    Fashion-MNIST is downloaded to `downloads` where Debian's package is not installed.

    Raises:
        UserError: missing, empty or unreadable folders and files, or other classes than configured.
    """
    check_classes(config)
    source = image_folder(Path(config["path"])) if config["kind"] == "imagefolder" else fashion_mnist(downloads)
    splits = {split: getattr(source, split) for split in SPLITS}
    return replace(source, **{name: split.first(_asked(config, name, len(split))) for name, split in splits.items()})


def _asked(config: Mapping[str, Any], split: str, there: int) -> int:
    """How many images of a split a configuration asks for."""
    wanted = config.get(f"{split}_images") or there
    if wanted > there:
        raise UserError(f"data: {split}_images is {wanted}, but only {there} are there; leave it out for all of them")
    return wanted


def fashion_mnist(downloads: Path, installed: Path = DEBIAN_FASHION_MNIST) -> Source:
    """Read Fashion-MNIST, 60,000 + 10,000 grey images of 28 px (Xiao et al. 2017), from `installed` or `downloads`."""
    folder = next((f for f in (installed, downloads / "FashionMNIST/raw") if _is_complete(f)), None)
    if folder is None:
        folder = _download_fashion_mnist(downloads)
    splits = {split: Split(*(_read_idx(folder / name) for name in names)) for split, names in IDX_FILES.items()}
    return Source(splits["train"], splits["val"], FASHION_MNIST_CLASSES, FASHION_MNIST_MEAN, FASHION_MNIST_STD)


def image_folder(root: Path) -> Source:
    """Find `root`/train and `root`/val, each with a folder of images for each class, as torchvision's ImageFolder does.

    Raises:
        UserError: see `fastscale.data.folders.list_images`.
    """
    listings = list_images(root)
    splits = {
        split: Split(
            [file.path for files in listing.images.values() for file in files],
            list(chain.from_iterable(repeat(i, len(files)) for i, files in enumerate(listing.images.values()))),
        )
        for split, listing in listings.items()
    }
    left_out = {split: listing.left_out for split, listing in listings.items()}
    names = list(listings["train"].images)
    return Source(**splits, class_names=names, mean=IMAGENET_MEAN, std=IMAGENET_STD, left_out=left_out)


def _is_complete(folder: Path) -> bool:
    return all((folder / name).is_file() for names in IDX_FILES.values() for name in names)


def _download_fashion_mnist(folder: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    logging.getLogger(__name__).warning("downloading Fashion-MNIST to %s", folder)
    try:
        FashionMNIST(folder, download=True)
    except (OSError, RuntimeError) as error:
        names = ", ".join(name for names in IDX_FILES.values() for name in names)
        raise UserError(
            f"Fashion-MNIST is not here and cannot be downloaded ({str(error).splitlines()[0]}); install Debian's "
            f"package dataset-fashion-mnist, or put {names} into {folder / 'FashionMNIST/raw'}"
        ) from None
    return folder / "FashionMNIST/raw"


def _read_idx(path: Path) -> np.ndarray:
    """The array of uint8 in a gzipped IDX file: 2 bytes 0, type, rank, then the shape as big-endian int32."""
    try:
        with gzip.open(path) as file:
            content = file.read()
        shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a readable IDX file ({error}); replace it by a whole copy") from None

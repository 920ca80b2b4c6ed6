"""The images of a data set before they are written: those of Fashion-MNIST, or of a folder of class folders."""

import gzip
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastscale.data.folders import SPLITS, list_images
from fastscale.data.pictures import read_picture
from fastscale.data.sources import DEBIAN_FASHION_MNIST, FASHION_MNIST_CLASSES, check_classes, requested_images
from fastscale.errors import UserError

IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FASHION_MNIST_MEAN, FASHION_MNIST_STD = 3 * (0.2860,), 3 * (0.3530,)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """Labelled images: arrays (H, W) of uint8, or paths of files that Pillow reads."""

    images: Sequence[np.ndarray] | Sequence[str] | np.ndarray
    labels: Sequence[int] | np.ndarray

    def __len__(self) -> int:
        """Return the number of images."""
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
        """Return the name of an image for messages: its number or its path."""
        image = self.images[index]
        return f"image {index}" if isinstance(image, np.ndarray) else str(image)

    def balanced(self, count: int) -> "Split":
        """Take a class-balanced subset of `count` images: the first of each class, in their original order."""
        if count >= len(self):
            return self
        labels = np.asarray(self.labels)
        earlier = np.empty(len(labels), int)  # images of the same class that stand before each image
        for label in np.unique(labels):
            places = np.flatnonzero(labels == label)
            earlier[places] = np.arange(len(places))
        kept = np.sort(np.argsort(earlier, kind="stable")[:count]).tolist()
        return Split([self.images[i] for i in kept], [int(labels[i]) for i in kept])


@dataclass(frozen=True)
class Source:
    """A data set before it is written: splits, class names, and each channel's mean and standard deviation (0 to 1).

    `left_out` counts, by split and extension, the files in its folders that are not images.
    """

    train: Split
    val: Split
    class_names: Sequence[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def open_source(config: Mapping[str, Any], downloads: Path) -> Source:
    """Open the images that the data part of a sweep's configuration names, cut to the configured numbers of images.

    Fashion-MNIST is downloaded to `downloads` unless Debian's package is installed.

    Raises:
        UserError: folders or files are missing, empty or unreadable, or hold other classes than configured.
    """
    check_classes(config)
    source = image_folder(Path(config["path"])) if config["kind"] == "imagefolder" else fashion_mnist(downloads)
    splits = {split: getattr(source, split) for split in SPLITS}
    return replace(
        source, **{name: split.balanced(requested_images(config, name, len(split))) for name, split in splits.items()}
    )


def fashion_mnist(downloads: Path, installed: Path = DEBIAN_FASHION_MNIST) -> Source:
    """Read Fashion-MNIST, 60,000 + 10,000 grey images of 28 px (Xiao et al. 2017), from `installed` or `downloads`."""
    folder = next((f for f in (installed, downloads / "FashionMNIST/raw") if _is_complete(f)), None)
    if folder is None:
        folder = _download_fashion_mnist(downloads)
    splits = {
        split: Split(_read_idx(folder / images), _read_idx(folder / labels))
        for split, (images, labels) in IDX_FILES.items()
    }
    return Source(splits["train"], splits["val"], FASHION_MNIST_CLASSES, FASHION_MNIST_MEAN, FASHION_MNIST_STD)


def image_folder(root: Path) -> Source:
    """Find the images of `root`/train and `root`/val, a folder per class, as torchvision's ImageFolder does.

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
    """Tell whether a folder holds all files of Fashion-MNIST."""
    return all((folder / name).is_file() for names in IDX_FILES.values() for name in names)


def _download_fashion_mnist(folder: Path) -> Path:
    """Download Fashion-MNIST to `folder`, and return the folder of its files.

    Raises:
        UserError: the download fails.
    """
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
    """Read the array of uint8 in a gzipped IDX file: 2 bytes 0, type, rank, then the shape as big-endian int32.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not a readable IDX file ({error}); replace it by a whole copy") from None

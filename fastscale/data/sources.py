"""Where images come from: Fashion-MNIST, or any folder of class folders."""

import gzip
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fastscale.errors import UserError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
IDX_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "val": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
FASHION_MNIST_CLASSES = (
    ["t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
)  # fmt: skip
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Split:
    """Labelled images: arrays (H, W) of uint8, or paths of files that PIL reads."""

    images: Sequence[np.ndarray] | Sequence[Path]
    labels: Sequence[int]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def read(self, index: int) -> tuple[bytes, np.ndarray]:
        """The stored bytes and the pixels (H, W, 3; uint8) of an image.

        Raises:
            Exception: whatever PIL raises for a file that it cannot read.
        """
        image = self.images[index]
        if isinstance(image, np.ndarray):
            return image.tobytes(), np.repeat(image[..., None], 3, axis=-1)
        from PIL import Image

        stored = image.read_bytes()
        with Image.open(BytesIO(stored)) as opened:
            return stored, np.array(opened.convert("RGB"))

    def first(self, count: int | None) -> "Split":
        """The first images of each class, in turn, `count` in all; in their old order."""
        if count is None or count >= len(self):
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
    """A data set before it is written: its splits, class names, and each channel's mean and deviation (0 to 1)."""

    train: Split
    val: Split
    class_names: Sequence[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def open_source(config: Mapping[str, Any], downloads: Path) -> Source:
    """The images that the data part of a sweep's configuration names, cut to its numbers of images.

    Fashion-MNIST is downloaded to `downloads` where Debian's package is not installed.

    Raises:
        UserError: missing, empty or unreadable folders and files, or other classes than configured.
    """
    kind = config["kind"]
    if kind == "imagefolder":
        if not config.get("path"):
            raise UserError("data: kind imagefolder needs path: a folder that holds train/ and val/")
        source = image_folder(Path(config["path"]))
    elif kind == "fashion-mnist":
        source = fashion_mnist(downloads)
    else:
        raise UserError(f"data: kind is {kind!r}; allowed are fashion-mnist and imagefolder")
    found = len(source.class_names)
    if found != config["classes"]:
        raise UserError(
            f"data: classes is {config['classes']}, but {config.get('path', kind)} holds {found} "
            f"({', '.join(source.class_names[:3])} ...); set classes: {found}, or correct the data"
        )
    for split in ("train", "val"):
        wanted, there = config.get(f"{split}_images"), len(getattr(source, split))
        if wanted and wanted > there:
            raise UserError(
                f"data: {split}_images is {wanted}, but only {there} are there; leave it out for all of them"
            )
    train, val = source.train.first(config.get("train_images")), source.val.first(config.get("val_images"))
    return replace(source, train=train, val=val)


def fashion_mnist(downloads: Path, installed: Path = DEBIAN_FASHION_MNIST) -> Source:
    """Fashion-MNIST: 60,000 + 10,000 grey images of 28 px (Xiao et al. 2017); from `installed`, else `downloads`."""
    folder = next((f for f in (installed, downloads / "FashionMNIST/raw") if _is_complete(f)), None)
    if folder is None:
        folder = _download_fashion_mnist(downloads)
    splits = {split: Split(*(_read_idx(folder / name) for name in names)) for split, names in IDX_FILES.items()}
    pixels = splits["train"].images
    mean, std = (3 * (round(float(value) / 255, 4),) for value in (np.mean(pixels), np.std(pixels)))
    return Source(splits["train"], splits["val"], FASHION_MNIST_CLASSES, mean, std)


def image_folder(root: Path) -> Source:
    """`root`/train and `root`/val, each with a folder of images for each class (torchvision's ImageFolder layout)."""
    from torchvision.datasets import ImageFolder

    folders = {}
    for split in ("train", "val"):
        path = root / split
        if not path.is_dir() or not any(child.is_dir() for child in path.iterdir()):
            what = "holds no class folders" if path.is_dir() else "is missing"
            raise UserError(
                f"data: {path} {what}; path must hold train/ and val/, each with a folder of images a class"
            )
        folders[split] = ImageFolder(path, allow_empty=True)
    train, val = folders["train"], folders["val"]
    if different := sorted(set(train.classes) ^ set(val.classes)):
        lacking = "val" if different[0] in train.classes else "train"
        raise UserError(
            f"data: {root / lacking} lacks the class folder {different[0]!r} that its sibling has; "
            "train/ and val/ must hold the same classes"
        )
    for split, folder in folders.items():
        counts = Counter(folder.targets)
        if empty := [name for name, index in folder.class_to_idx.items() if not counts[index]]:
            raise UserError(f"data: {root / split / empty[0]} holds no image; add images or remove the class")
    splits = [Split([Path(path) for path, _ in folder.samples], folder.targets) for folder in (train, val)]
    return Source(*splits, train.classes, IMAGENET_MEAN, IMAGENET_STD)


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

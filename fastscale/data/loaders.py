"""Batches of an epoch: which images, in which order, crops and changes. They are read by FFCV, or without it."""

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fastscale.data.ahead import read_ahead
from fastscale.data.autoaugment import draw_augmentations
from fastscale.data.crops import CROP, center_crops, draw_crops
from fastscale.data.dataset import Dataset
from fastscale.data.order import WHOLE, Share, draw_order, window
from fastscale.errors import UserError
from fastscale.recipe import Recipe

log = logging.getLogger(__name__)


def training_batches(
    dataset: Dataset,
    resolution: int,
    recipe: Recipe,
    threads: int,
    seed: int,
    epoch: int,
    first: int = 0,
    share: Share = WHOLE,
) -> Iterator[tuple[Tensor, Tensor, np.ndarray | None]]:
    """One epoch of random resized crops, from its batch `first` on; a last, smaller batch is dropped.

    Order, crops, flips and augmentations depend on seed and epoch alone, whatever the memory, threads and ranks; they
    are drawn at once; images are read, and the loader changed, as batches are drawn. Yields (batch, 3, resolution,
    resolution) uint8 in channels_last and (batch,) int64 labels, on the host and valid until the next batch is drawn,
    and what AutoAugment is to do with them; of each batch, only this rank's share.
    """
    images_each, mixed = recipe.batch // share.ranks, window(recipe.batch)
    path, written = _file(dataset, "train")
    reader = _reader(path, written, images_each, threads)
    samples = reader.samples.copy()
    _set_crops(samples, draw_crops(*_sizes(samples), recipe.crop_scale, recipe.flip, seed, epoch))
    order = draw_order(len(samples), mixed, seed, epoch)
    order = order[first * recipe.batch : steps_per_epoch(dataset, recipe.batch) * recipe.batch]
    ours = share.take(order, recipe.batch)
    pairs = reader.pairs(ours, samples, resolution)
    # Each window is read in the order of the file, by each rank a part of all that is needed.
    read = np.concatenate([np.sort(order[begin : begin + mixed]) for begin in range(0, len(order), mixed)])
    read = samples["f0"][share.take(read, recipe.batch)]
    pairs = read_ahead(pairs, path, read["data_ptr"], read["size"], images_each, mixed // share.ranks)
    if recipe.augment is None:
        return ((*pair, None) for pair in pairs)
    drawn = draw_augmentations(recipe.augment, len(samples), seed, epoch)[ours].reshape(-1, images_each, 2)
    return ((*pair, changes) for pair, changes in zip(pairs, drawn, strict=True))


def validation_batches(
    dataset: Dataset, resolution: int, batch: int, crop: float, threads: int, share: Share = WHOLE
) -> Iterator[tuple[Tensor, Tensor]]:
    """All validation images once, in their order: a centre crop of `crop` times the shorter side. As above, but the
    last batch may be smaller, and a rank's share is every so manieth batch.
    """
    path, written = _file(dataset, "val")
    reader = _reader(path, written, batch, threads)
    samples, all_of_them = reader.samples.copy(), np.arange(len(reader.samples))
    _set_crops(samples, center_crops(*_sizes(samples), crop))
    ours = all_of_them[all_of_them // batch % share.ranks == share.index]
    read = samples["f0"][ours]
    pairs = reader.pairs(ours, samples, resolution)
    return read_ahead(pairs, path, read["data_ptr"], read["size"], batch, 0)


def compile_loaders(dataset: Dataset, recipe: Recipe, threads: int) -> None:
    """Make the readers that a training by `recipe` uses, where this process has not done so yet."""
    _reader(*_file(dataset, "train"), recipe.batch, threads).compile()
    _reader(*_file(dataset, "val"), recipe.validation_batch(), threads).compile()


def steps_per_epoch(dataset: Dataset, batch: int) -> int:
    """Training batches of an epoch.

    Raises:
        UserError: fewer images than a batch.
    """
    images = dataset.images["train"]
    if images < batch:
        raise UserError(
            f"recipe: batch is {batch}, but {dataset.name} has {images} training images; use a smaller batch"
        )
    return images // batch


def _file(dataset: Dataset, split: str) -> tuple[Path, int]:
    """A .beton file and when it was written: a loader of an older file of that name is not taken for its."""
    path = dataset.beton(split).absolute()
    return path, path.stat().st_mtime_ns


@cache
def reading() -> tuple[str, Any]:
    """Choose what reads images: "ffcv", or "plain" where FFCV is not built or its libraries are missing; and its class.

    Both give the same order, crops, flips and augmentations, and the same pixels where libturbojpeg is found,
    without which JPEGs are decoded by Pillow, at half the speed.
    """
    try:
        from fastscale.data.operations import Reader

        return "ffcv", Reader
    except (ImportError, OSError) as error:
        log.warning("without FFCV (%s): a plain loader reads the same images", error)
        from fastscale.data.plain import Reader as PlainReader

        return "plain", PlainReader


@cache
def _reader(path: Path, written: int, batch: int, threads: int) -> Any:
    _, reader = reading()
    return reader(path, batch, threads)


def _sizes(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths of all images, in pixels."""
    return samples["f0"]["height"].astype(float), samples["f0"]["width"].astype(float)


def _set_crops(samples: np.ndarray, crops: np.ndarray) -> None:
    for name, _ in CROP:
        samples["f0"][name] = crops[name]

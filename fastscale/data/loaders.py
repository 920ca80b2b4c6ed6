"""Loaders: the batches of an epoch, their order, crops and augmentations; FFCV or the plain reader reads them."""

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
    """Return the batches of random resized crops of an epoch, from batch `first` on; a last, smaller batch is dropped.

    Each batch holds this rank's share of n = batch / ranks images: images (n, 3, resolution, resolution) of uint8 in
    channels_last and labels (n,) of int64, on the host and valid until the next batch is taken, and augmentations,
    (n, 2) of dtype `fastscale.data.autoaugment.AUGMENTATION`, or None. Order, crops, flips and augmentations depend on
    seed and epoch alone, not on memory, threads and ranks. This call draws them; images are read as batches are taken.

    Raises:
        UserError: see `steps_per_epoch`.
    """
    rank_batch, mixed = recipe.batch // share.ranks, window(recipe.batch)
    path, written = _beton(dataset, "train")
    reader = _reader(path, written, rank_batch, threads)
    samples = reader.samples.copy()
    _set_crops(samples, draw_crops(*_sizes(samples), recipe.crop_scale, recipe.flip, seed, epoch))
    order = draw_order(len(samples), mixed, seed, epoch)
    order = order[first * recipe.batch : steps_per_epoch(dataset, recipe.batch) * recipe.batch]
    rank_order = share.take(order, recipe.batch)
    pairs = reader.pairs(rank_order, samples, resolution)
    # Each window is read ahead in the order of the file; each rank reads a part of it for all ranks on the machine.
    read_order = np.concatenate([np.sort(order[begin : begin + mixed]) for begin in range(0, len(order), mixed)])
    read = samples["f0"][share.take(read_order, recipe.batch)]
    pairs = read_ahead(pairs, path, read["data_ptr"], read["size"], rank_batch, mixed // share.ranks)
    if recipe.augment is None:
        return ((*pair, None) for pair in pairs)
    drawn = draw_augmentations(recipe.augment, len(samples), seed, epoch)[rank_order].reshape(-1, rank_batch, 2)
    return ((*pair, augmentations) for pair, augmentations in zip(pairs, drawn, strict=True))


def validation_batches(
    dataset: Dataset, resolution: int, batch: int, crop: float, threads: int, share: Share = WHOLE
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of all validation images, each once, in their order; the last batch may be smaller.

    Images are centre crops of `crop` times the shorter side. Rank k gets every `ranks`-th batch, from batch k on.
    Images (batch, 3, resolution, resolution) and labels (batch,) are as in `training_batches`.
    """
    path, written = _beton(dataset, "val")
    reader = _reader(path, written, batch, threads)
    samples, indices = reader.samples.copy(), np.arange(len(reader.samples))
    _set_crops(samples, center_crops(*_sizes(samples), crop))
    rank_order = indices[indices // batch % share.ranks == share.index]
    read = samples["f0"][rank_order]
    pairs = reader.pairs(rank_order, samples, resolution)
    return read_ahead(pairs, path, read["data_ptr"], read["size"], batch, 0)


def compile_loaders(dataset: Dataset, recipe: Recipe, threads: int) -> None:
    """Make the readers that a training by `recipe` uses, and compile them, unless this process has done so before."""
    _reader(*_beton(dataset, "train"), recipe.batch, threads).compile()
    _reader(*_beton(dataset, "val"), recipe.validation_batch(), threads).compile()


def steps_per_epoch(dataset: Dataset, batch: int) -> int:
    """Return the number of training batches of an epoch.

    Raises:
        UserError: the data set has fewer training images than a batch.
    """
    images = dataset.images["train"]
    if images < batch:
        raise UserError(
            f"recipe: batch is {batch}, but {dataset.name} has {images} training images; use a smaller batch"
        )
    return images // batch


def _beton(dataset: Dataset, split: str) -> tuple[Path, int]:
    """Return a split's .beton file and when it was written, so that no cached reader of an older file is taken."""
    path = dataset.beton(split).absolute()
    return path, path.stat().st_mtime_ns


@cache
def choose_reader() -> tuple[str, Any]:
    """Return "ffcv", or "plain" where FFCV or one of its libraries is missing, and the class of this reader.

    Both readers give the same order, crops, flips and augmentations. They give the same pixels if libturbojpeg is
    found; without libturbojpeg the plain reader decodes JPEGs by Pillow, at half the speed.
    """
    try:
        from fastscale.data.ffcv_reader import Reader

        return "ffcv", Reader
    except (ImportError, OSError) as error:
        log.warning("without FFCV (%s): a plain loader reads the same images", error)
        from fastscale.data.plain import Reader as PlainReader

        return "plain", PlainReader


@cache
def _reader(path: Path, written: int, batch: int, threads: int) -> Any:
    """Return the reader of a file, the same in all epochs of a process."""
    _, reader = choose_reader()
    return reader(path, batch, threads)


def _sizes(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the heights and widths of all images, in pixels."""
    return samples["f0"]["height"].astype(float), samples["f0"]["width"].astype(float)


def _set_crops(samples: np.ndarray, crops: np.ndarray) -> None:
    for name, _ in CROP:
        samples["f0"][name] = crops[name]

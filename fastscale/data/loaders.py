"""FFCV loaders. One serves every resolution, epoch and trial of a process."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from torch import Tensor

from fastscale.data.ahead import read_ahead
from fastscale.data.augment import draw_augmentations
from fastscale.data.crops import CROP, center_crops, draw_crops
from fastscale.data.dataset import Dataset
from fastscale.data.ffcv import EpochIterator, Loader, ToTensor, ToTorchImage
from fastscale.data.operations import UNUSED, ImageDecoder, LabelDecoder
from fastscale.data.order import WHOLE, Share, draw_order, window
from fastscale.errors import UserError
from fastscale.recipe import Recipe

PLACE = [("size", "<u8")]  # of an image in the file, in bytes
BATCHES_AHEAD = 8  # that the disk is asked for in a validation


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

    Order, crops, flips and augmentations depend on seed and epoch alone, whatever the memory, threads and ranks.
    Yields (batch, 3, resolution, resolution) uint8 in channels_last and (batch,) int64 labels, on the host and valid
    until the next batch is drawn, and what AutoAugment is to do with them; of each batch, only this rank's share.
    """
    images_each, mixed = recipe.batch // share.ranks, window(recipe.batch)
    path, written = _file(dataset, "train")
    loader, decoder = _loader(path, written, images_each, threads)
    metadata = loader.reader.metadata.copy()
    _set_crops(metadata, draw_crops(*_sizes(metadata), recipe.crop_scale, recipe.flip, seed, epoch))
    order = draw_order(len(metadata), mixed, seed, epoch)
    order = order[first * recipe.batch : steps_per_epoch(dataset, recipe.batch) * recipe.batch]
    ours = share.of(order, recipe.batch)
    pairs = _pairs(loader, decoder, resolution, ours, metadata)
    # The disk is asked for each window in the order of the file, by each rank for its part of all that is needed.
    asked = metadata["f0"][share.of(order[np.lexsort((order, np.arange(len(order)) // mixed))], recipe.batch)]
    pairs = read_ahead(pairs, path, asked["data_ptr"], asked["size"], images_each, mixed // share.ranks)
    if recipe.augment is None:
        return ((*pair, None) for pair in pairs)
    drawn = draw_augmentations(recipe.augment, len(metadata), seed, epoch)[ours].reshape(-1, images_each, 2)
    return ((*pair, changes) for pair, changes in zip(pairs, drawn, strict=True))


def validation_batches(
    dataset: Dataset, resolution: int, batch: int, crop: float, threads: int, share: Share = WHOLE
) -> Iterator[tuple[Tensor, Tensor]]:
    """All validation images once, in their order: a centre crop of `crop` times the shorter side. As above, but the
    last batch may be smaller, and a rank's share is every so manieth batch.
    """
    path, written = _file(dataset, "val")
    loader, decoder = _loader(path, written, batch, threads)
    metadata = loader.reader.metadata.copy()
    _set_crops(metadata, center_crops(*_sizes(metadata), crop))
    ours = loader.indices[loader.indices // batch % share.ranks == share.index]
    asked = metadata["f0"][ours]
    pairs = _pairs(loader, decoder, resolution, ours, metadata)
    return read_ahead(pairs, path, asked["data_ptr"], asked["size"], batch, BATCHES_AHEAD * batch)


def compile_loaders(dataset: Dataset, recipe: Recipe, threads: int) -> None:
    """Make the loaders that a training by `recipe` uses, where this process has not done so yet."""
    training = _loader(*_file(dataset, "train"), recipe.batch, threads)
    validation = _loader(*_file(dataset, "val"), recipe.validation_batch(), threads)
    for loader, decoder in (training, validation):
        if decoder.output_size == UNUSED:
            list(_pairs(loader, decoder, 8, loader.indices[:1], loader.reader.metadata))  # compiled at the first call


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


def _pairs(
    loader: Loader, decoder: ImageDecoder, resolution: int, order: np.ndarray, metadata: np.ndarray
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels in that order; all that FFCV keeps between epochs is set when the first pair is drawn."""
    decoder.output_size = resolution, resolution
    loader.reader.metadata = metadata
    batches = EpochIterator(loader, order)
    try:
        for images, labels in batches:
            yield images, labels[:, 0]
    finally:
        batches.close()


def _file(dataset: Dataset, split: str) -> tuple[Path, int]:
    """A .beton file and when it was written: a loader of an older file of that name is not taken for its."""
    path = dataset.beton(split).absolute()
    return path, path.stat().st_mtime_ns


@cache
def _loader(path: Path, written: int, batch: int, threads: int) -> tuple[Loader, ImageDecoder]:
    """A loader of all images whole, unless its metadata are told crops.

    It maps the file into memory, of which the system keeps what is used, once for all ranks.
    """
    threads = min(threads, len(os.sched_getaffinity(0)))  # numba refuses more
    decoder = ImageDecoder(threads)
    loader = Loader(
        str(path),
        batch_size=batch,
        num_workers=threads,
        os_cache=True,
        seed=0,
        pipelines={"image": [decoder, ToTensor(), ToTorchImage()], "label": [LabelDecoder(), ToTensor()]},
    )
    loader.reader.metadata = _widened(loader)
    return loader, decoder


def _widened(loader: Loader) -> np.ndarray:
    """FFCV's metadata of all samples, with what the decoder needs to know of its first field, the image."""
    metadata, files = loader.reader.metadata, loader.memory_manager
    (image, *_), *others = [(name, metadata.dtype[name]) for name in metadata.dtype.names]
    dtype = np.dtype([(image, [*metadata.dtype[image].descr, *PLACE, *CROP]), *others])
    wider = np.zeros(len(metadata), dtype)
    for name, _ in others:
        wider[name] = metadata[name]
    images, known = wider[image], metadata[image]
    for name in known.dtype.names:
        images[name] = known[name]
    images["size"] = files.sizes[np.searchsorted(files.ptrs, known["data_ptr"])]
    images["crop_height"], images["crop_width"] = known["height"], known["width"]
    return wider


def _sizes(metadata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights and widths of all images, in pixels."""
    return metadata["f0"]["height"].astype(float), metadata["f0"]["width"].astype(float)


def _set_crops(metadata: np.ndarray, crops: np.ndarray) -> None:
    for name, _ in CROP:
        metadata["f0"][name] = crops[name]

"""FFCV loaders. Compiling one takes seconds: it then serves every resolution, epoch and trial of a process."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from fastscale.data.crops import CROP, CropDecoder, draw_crops
from fastscale.data.dataset import Dataset
from fastscale.data.ffcv import (
    CenterCropRGBImageDecoder,
    EpochIterator,
    IntDecoder,
    Loader,
    OrderOption,
    QuasiRandom,
    ResizedCropRGBImageDecoder,
    ToTensor,
    ToTorchImage,
)
from fastscale.errors import UserError
from fastscale.recipe import Recipe

UNUSED = (1, 1)  # the resolution of a decoder that has not been told one
SEEDS_APART = 100_000  # FFCV adds the epoch to the seed: the next trial's orders must not be this one's


class Share(NamedTuple):
    """The part of all images that is one rank's."""

    index: int
    ranks: int


WHOLE = Share(0, 1)


def training_batches(
    dataset: Dataset,
    resolution: int,
    recipe: Recipe,
    threads: int,
    seed: int,
    epoch: int,
    first: int = 0,
    share: Share = WHOLE,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of random resized crops, from its batch `first` on; a last, smaller batch is dropped.

    Order, crops and flips depend on seed and epoch alone. Yields (batch, 3, resolution, resolution) uint8 in
    channels_last and (batch,) int64 labels, on the host and valid until the next pair is drawn; of each batch, only
    this rank's share.
    """
    images_each = recipe.batch // share.ranks
    loader, decoder = _training_loader(*_file(dataset, "train"), images_each, threads)
    metadata = loader.reader.metadata.copy()
    images = metadata["f0"]
    sizes = (images[side].astype(float) for side in ("height", "width"))
    crops = draw_crops(*sizes, recipe.crop_scale, recipe.flip, seed, epoch)
    for name, _ in CROP:
        images[name] = crops[name]
    order = _order(loader, seed, epoch)[first * recipe.batch : steps_per_epoch(dataset, recipe.batch) * recipe.batch]
    ours = order.reshape(-1, share.ranks, images_each)[:, share.index].reshape(-1)
    return _pairs(loader, decoder, resolution, ours, metadata)


def validation_batches(
    dataset: Dataset, resolution: int, batch: int, crop: float, threads: int, share: Share = WHOLE
) -> Iterator[tuple[Tensor, Tensor]]:
    """All validation images once, in their order: a centre crop of `crop` times the shorter side. As above, but the
    last batch may be smaller, and a rank's share is every so manieth batch.
    """
    loader, decoder = _validation_loader(*_file(dataset, "val"), batch, crop, threads)
    ours = loader.indices[loader.indices // batch % share.ranks == share.index]
    return _pairs(loader, decoder, resolution, ours, loader.reader.metadata)


def compile_loaders(dataset: Dataset, recipe: Recipe, threads: int) -> None:
    """Compile the loaders that a training by `recipe` uses, where this process has not done so yet."""
    training = _training_loader(*_file(dataset, "train"), recipe.batch, threads)
    part = recipe.batch // recipe.parts()
    validation = _validation_loader(*_file(dataset, "val"), part, recipe.eval_crop, threads)
    for loader, decoder in (training, validation):
        if decoder.output_size != UNUSED:
            continue
        first = _pairs(loader, decoder, 8, loader.indices[:1], loader.reader.metadata)
        list(first)  # numba compiles at the first call


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
    loader: Loader, decoder: ResizedCropRGBImageDecoder, resolution: int, order: np.ndarray, metadata: np.ndarray
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


def _order(loader: Loader, seed: int, epoch: int) -> np.ndarray:
    """All images in random order."""
    order = loader.traversal_order
    order.seed = seed * SEEDS_APART
    if isinstance(order, QuasiRandom):  # which shuffles its pages in place: each epoch would depend on those before
        pages = order.page_to_samples_array
        order.page_to_samples_array = pages.copy()
        shuffled = order.sample_order(epoch)
        order.page_to_samples_array = pages
        return shuffled
    return order.sample_order(epoch)


def _file(dataset: Dataset, split: str) -> tuple[Path, int]:
    """A .beton file and when it was written: a loader of an older file of that name is not taken for its."""
    path = dataset.beton(split).absolute()
    return path, path.stat().st_mtime_ns


@cache
def _training_loader(path: Path, written: int, batch: int, threads: int) -> tuple[Loader, CropDecoder]:
    decoder = CropDecoder(UNUSED)
    order = OrderOption.RANDOM if _fits_in_memory(path) else OrderOption.QUASI_RANDOM
    loader = _loader(path, decoder, batch, threads, order=order, drop_last=True)
    loader.reader.metadata = _with_crops(loader.reader.metadata)
    return loader, decoder


def _with_crops(metadata: np.ndarray) -> np.ndarray:
    """FFCV's metadata of all samples, with room for the crops of its first field, the image."""
    (image, *_), *others = [(name, metadata.dtype[name]) for name in metadata.dtype.names]
    dtype = np.dtype([(image, [*metadata.dtype[image].descr, *CROP]), *others])
    wider = np.zeros(len(metadata), dtype)
    for name, _ in others:
        wider[name] = metadata[name]
    for name in metadata.dtype[image].names:
        wider[image][name] = metadata[image][name]
    wider[image]["crop_height"], wider[image]["crop_width"] = metadata[image]["height"], metadata[image]["width"]
    return wider


@cache
def _validation_loader(
    path: Path, written: int, batch: int, crop: float, threads: int
) -> tuple[Loader, CenterCropRGBImageDecoder]:
    decoder = CenterCropRGBImageDecoder(UNUSED, ratio=crop)
    return _loader(path, decoder, batch, threads, order=OrderOption.SEQUENTIAL, drop_last=False), decoder


def _loader(path: Path, decoder, batch: int, threads: int, *, order: OrderOption, drop_last: bool) -> Loader:
    return Loader(
        str(path),
        batch_size=batch,
        num_workers=min(threads, len(os.sched_getaffinity(0))),  # numba refuses more
        os_cache=_fits_in_memory(path),
        order=order,
        seed=0,
        drop_last=drop_last,
        pipelines={"image": [decoder, ToTensor(), ToTorchImage()], "label": [IntDecoder(), ToTensor()]},
    )


def _fits_in_memory(path: Path) -> bool:
    return path.stat().st_size < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.8

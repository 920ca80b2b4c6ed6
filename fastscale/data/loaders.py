"""FFCV loaders. Compiling one takes seconds: it then serves every resolution, epoch and trial of a process."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from torch import Tensor

from fastscale.data.dataset import Dataset
from fastscale.data.ffcv import (
    CenterCropRGBImageDecoder,
    EpochIterator,
    IntDecoder,
    Loader,
    OrderOption,
    RandomResizedCropRGBImageDecoder,
    ToTensor,
    ToTorchImage,
)
from fastscale.errors import UserError
from fastscale.recipe import Recipe

UNUSED = (1, 1)  # the resolution of a decoder that has not been told one
SEEDS_APART = 100_000  # FFCV adds the epoch to the seed: the next trial's orders must not be this one's


def training_batches(
    dataset: Dataset, resolution: int, batch: int, crop_scale: tuple[float, float], threads: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of random resized crops, in an order that depends on seed and epoch; a last, smaller batch is dropped.

    Yields (batch, 3, resolution, resolution) uint8 in channels_last and (batch,) int64 labels, on the host and valid
    until the next pair is drawn.
    """
    loader, decoder = _training_loader(*_file(dataset, "train"), batch, crop_scale, threads)
    loader.traversal_order.seed, loader.next_epoch = seed * SEEDS_APART, epoch
    decoder.output_size = resolution, resolution
    return _pairs(loader)


def validation_batches(
    dataset: Dataset, resolution: int, batch: int, crop: float, threads: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """All validation images once, in their order: a centre crop of `crop` times the shorter side. As above, but the
    last batch may be smaller.
    """
    loader, decoder = _validation_loader(*_file(dataset, "val"), batch, crop, threads)
    decoder.output_size = resolution, resolution
    return _pairs(loader)


def compile_loaders(dataset: Dataset, recipe: Recipe, threads: int) -> None:
    """Compile the loaders that a training by `recipe` uses, where this process has not done so yet."""
    training = _training_loader(*_file(dataset, "train"), recipe.batch, recipe.crop_scale, threads)
    validation = _validation_loader(*_file(dataset, "val"), recipe.batch, recipe.eval_crop, threads)
    for loader, decoder in (training, validation):
        if decoder.output_size != UNUSED:
            continue
        decoder.output_size = 8, 8
        for _ in EpochIterator(loader, loader.indices[:1]):  # an epoch of one image: numba compiles at the first call
            pass


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


def _pairs(loader: Loader) -> Iterator[tuple[Tensor, Tensor]]:
    return ((images, labels[:, 0]) for images, labels in loader)


def _file(dataset: Dataset, split: str) -> tuple[Path, int]:
    """A .beton file and when it was written: a loader of an older file of that name is not taken for its."""
    path = dataset.beton(split).absolute()
    return path, path.stat().st_mtime_ns


@cache
def _training_loader(
    path: Path, written: int, batch: int, crop_scale: tuple[float, float], threads: int
) -> tuple[Loader, RandomResizedCropRGBImageDecoder]:
    decoder = RandomResizedCropRGBImageDecoder(UNUSED, scale=crop_scale)
    order = OrderOption.RANDOM if _fits_in_memory(path) else OrderOption.QUASI_RANDOM
    return _loader(path, decoder, batch, threads, order=order, drop_last=True), decoder


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

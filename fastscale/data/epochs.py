"""An epoch of training: its batches and random numbers, drawn by a thread while the epoch before is trained."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from fastscale.data.dataset import Dataset
from fastscale.data.lighting import draw_lighting
from fastscale.data.loaders import Share, steps_per_epoch, training_batches
from fastscale.data.streams import stream
from fastscale.recipe import Recipe

T = TypeVar("T")


class Epoch(NamedTuple):
    """The batches of an epoch, and random numbers for all of its steps, on the host.

    `batches` are as `training_batches` returns them, and may begin within the epoch. `mixing`, (steps,), is the weight
    of the other image in mixup. `lighting`, (steps, images, 3), is the colour to add to each image of this rank's
    share, or None.
    """

    batches: Iterator[tuple[Tensor, Tensor, np.ndarray | None]]
    mixing: np.ndarray
    lighting: np.ndarray | None


def draw_epoch(
    dataset: Dataset,
    resolution: int,
    recipe: Recipe,
    threads: int,
    seed: int,
    share: Share,
    epoch: int,
    first: int,
) -> Epoch:
    """Draw all random numbers of an epoch; its images are read as its batches are taken, from batch `first` on.

    The random numbers depend on seed and epoch alone. For ImageNet, drawing takes a core more than a second.
    """
    batches = training_batches(dataset, resolution, recipe, threads, seed, epoch, first, share)
    steps, alpha, lighting = steps_per_epoch(dataset, recipe.batch), recipe.mixup, None
    mixing = 1 - stream("mixup", seed, epoch).beta(alpha, alpha, steps) if alpha else np.zeros(steps)
    if recipe.lighting:
        lights = draw_lighting(recipe.lighting, steps * recipe.batch, seed, epoch)
        lighting = lights.reshape(steps, share.ranks, -1, 3)[:, share.index]
    return Epoch(batches, mixing, lighting)


class Prefetcher(Generic[T]):
    """A function that a separate thread calls, one call at a time; calls may begin before their results are needed."""

    def __init__(self, function: Callable[..., T]):
        self.function, self.thread = function, ThreadPoolExecutor(1)
        self.begun: dict[tuple[Any, ...], Future[T]] = {}

    def begin(self, *arguments: Any) -> None:
        """Begin the call with these arguments, unless it has begun."""
        if arguments not in self.begun:
            self.begun[arguments] = self.thread.submit(self.function, *arguments)

    def __call__(self, *arguments: Any) -> T:
        """Return the result for these arguments, and forget it."""
        self.begin(*arguments)
        return self.begun.pop(arguments).result()

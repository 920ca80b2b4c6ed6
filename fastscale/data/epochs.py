"""An epoch of training: its batches and all that is drawn for them, by a thread while the epoch before is trained."""

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
    """Batches from one of them on, as `training_batches` yields them; and for all steps of the epoch, on the host:

    `mixing`, (steps,), is the part that another image has in mixup, `lighting`, (steps, batch, 3), what is added to the
    colours of each image, of which only this rank's share is there, or None.
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
    """Draw all that is random in an epoch; its images are read when the batches are, from batch `first` on.

    All depends on seed and epoch alone. On ImageNet this takes a core more than a second.
    """
    batches = training_batches(dataset, resolution, recipe, threads, seed, epoch, first, share)
    steps, alpha, lighting = steps_per_epoch(dataset, recipe.batch), recipe.mixup, None
    mixing = 1 - stream("mixup", seed, epoch).beta(alpha, alpha, steps) if alpha else np.zeros(steps)
    if recipe.lighting:
        lights = draw_lighting(recipe.lighting, steps * recipe.batch, seed, epoch)
        lighting = lights.reshape(steps, share.ranks, -1, 3)[:, share.index]
    return Epoch(batches, mixing, lighting)


class Ahead(Generic[T]):
    """A function that a thread of its own calls, one call at a time, some before their results are asked for."""

    def __init__(self, function: Callable[..., T]):
        self.function, self.thread = function, ThreadPoolExecutor(1)
        self.begun: dict[tuple[Any, ...], Future[T]] = {}

    def begin(self, *arguments: Any) -> None:
        """Have the result for these arguments made."""
        if arguments not in self.begun:
            self.begun[arguments] = self.thread.submit(self.function, *arguments)

    def __call__(self, *arguments: Any) -> T:
        """The result for these arguments; it is handed out once."""
        self.begin(*arguments)
        return self.begun.pop(arguments).result()

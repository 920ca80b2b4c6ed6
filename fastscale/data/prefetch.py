"""Batches on the training device: copied while it computes, and augmented there."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from fastscale.data.autoaugment import augment_in_groups

Batches = Iterable[tuple[Tensor, Tensor, *tuple[Any, ...]]]


def augmented(batches: Batches, done: int, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels on the device, `size` batches augmented together (0: none is), without the first `done`.

    Who goes on within a group of batches gives all of it: the same groups are made, and the same bits.
    """
    batches = on_device(batches, device)
    changed = augment_in_groups(batches, size) if size else ((images, labels) for images, labels, *_ in batches)
    return islice(changed, done, None)


def on_device(batches: Batches, device: torch.device) -> Iterator[tuple[Any, ...]]:
    """The batches, their images and labels on the device; each is copied while the step before it is computed."""
    if device.type == "cpu":
        yield from batches
        return
    beside = _stream(device)
    for images, labels, *others in batches:
        with torch.cuda.stream(beside):
            moved = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        beside.synchronize()  # the loader may write the next pair where this one lies; steps run on meanwhile
        for tensor in moved:
            tensor.record_stream(torch.cuda.current_stream(device))
        yield *moved, *others


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One for all epochs: torch keeps the memory of each."""
    return torch.cuda.Stream(device)

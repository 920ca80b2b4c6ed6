"""Batches on the training device: copied while the device computes, and augmented on the device."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from fastscale.data.autoaugment import augment_in_groups

Batches = Iterable[tuple[Tensor, Tensor, *tuple[Any, ...]]]


def augmented(batches: Batches, done: int, size: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield images and labels on the device, augmented in groups of `size` batches (0: not augmented).

    The first `done` batches are left out. A training that goes on within a group passes the whole group and the number
    of its batches that are done, so that the groups, and with them the bits, are the same.
    """
    batches = on_device(batches, device)
    changed = augment_in_groups(batches, size) if size else ((images, labels) for images, labels, *_ in batches)
    return islice(changed, done, None)


def on_device(batches: Batches, device: torch.device) -> Iterator[tuple[Any, ...]]:
    """Yield the batches with images and labels on the device, each copied while the step before it is computed."""
    if device.type == "cpu":
        yield from batches
        return
    copying = _copy_stream(device)
    for images, labels, *others in batches:
        with torch.cuda.stream(copying):
            moved = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        copying.synchronize()  # the loader may overwrite this batch with the next one; steps run on meanwhile
        for tensor in moved:
            tensor.record_stream(torch.cuda.current_stream(device))
        yield *moved, *others


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream for copies, the same in all epochs: torch keeps memory apart for each stream."""
    return torch.cuda.Stream(device)

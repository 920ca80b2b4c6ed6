"""Batches on the training device: copied while it computes, and augmented there."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from fastscale.data.augment import augment_in_groups

Batches = Iterable[tuple[Tensor, Tensor, *tuple[Any, ...]]]


def augmented(
    batches_from: Callable[[int], Batches], first: int, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels on the device from batch `first` on, `size` batches augmented together; 0: none is."""
    if not size:
        return ((images, labels) for images, labels, *_ in on_device(batches_from(first), device))
    done = first % size  # of a group: whoever resumes within one makes the same groups, and the same bits
    return islice(augment_in_groups(on_device(batches_from(first - done), device), size), done, None)


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

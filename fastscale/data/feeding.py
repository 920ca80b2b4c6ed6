"""Batches on the training device: copied while it computes, and augmented there."""

from collections.abc import Callable, Iterable, Iterator
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
    """The batches, their images and labels on the device."""
    if device.type == "cpu":
        yield from batches
        return
    for images, labels, *others in batches:
        moved = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        copied = torch.cuda.current_stream(device).record_event()
        yield *moved, *others
        # The next pair may be written where this one lies: its copy must be over. The step runs on meanwhile.
        copied.synchronize()

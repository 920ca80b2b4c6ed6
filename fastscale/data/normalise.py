"""Normalised images: the floats that a network takes, from 8-bit pixels."""

from collections.abc import Sequence

import torch
from torch import Tensor

CACHED_VALUES = 1 << 18  # values that a CPU normalises at a time: they stay in its cache between the operations


class Normalise:
    """A function from images (N, 3, r, r) of 8-bit pixels to floats: (pixel - mean) / standard deviation by channel.

    `mean` and `std` are in units of 0 to 1. The class holds both as tensors as large as an image: a CPU takes four
    times as long to broadcast one number per channel.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        resolution: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.channels_last,
    ):
        self.memory_format = memory_format
        self.mean, self.inverse_std = (
            (255 * values).view(1, 3, 1, 1).expand(1, 3, resolution, resolution).contiguous(memory_format=memory_format)
            for values in (torch.tensor(mean, device=device), torch.tensor(std, device=device))
        )
        self.inverse_std.reciprocal_()

    def __call__(self, images: Tensor) -> Tensor:
        """Return the normalised images as new floats in `memory_format`."""
        floats = torch.empty(images.shape, device=images.device, memory_format=self.memory_format)
        pieces = -(-images.numel() // CACHED_VALUES) if images.is_cpu else 1
        for pixels, values in zip(images.chunk(pieces), floats.chunk(pieces), strict=True):
            values.copy_(pixels).sub_(self.mean).mul_(self.inverse_std)
        return floats

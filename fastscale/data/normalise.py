"""Pixels to what a network is fed."""

from collections.abc import Sequence

import torch
from torch import Tensor

CACHED_VALUES = 1 << 18  # that a CPU computes with at once: what its cache holds needs not go to memory and back


class Normalise:
    """Images (N, 3, r, r) of 8-bit pixels to floats: minus the mean, over the standard deviation, of each channel.

    Its constants are as large as an image: to broadcast one number a channel takes a CPU four times as long.
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
        """New floats in its memory format."""
        floats = torch.empty(images.shape, device=images.device, memory_format=self.memory_format)
        pieces = -(-images.numel() // CACHED_VALUES) if images.is_cpu else 1
        for pixels, values in zip(images.chunk(pieces), floats.chunk(pieces), strict=True):
            values.copy_(pixels).sub_(self.mean).mul_(self.inverse_std)
        return floats

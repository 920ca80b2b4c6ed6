"""Convolutions that lose no time on a CPU, where those of small tensors cost mostly their preparation.

The weights, their names and, to rounding, the results are those of torch's. On a GPU they are torch's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Values in and out, in all, up to which a matrix product beats oneDNN's 1x1 convolution, of which the forward and the
# backward pass take half a millisecond whatever they are given (measured on one core, forward and backward, batch 64).
FEW_VALUES = 150_000


class Conv2d(nn.Conv2d):
    """A convolution of square images, padded by half its kernel: (N, C, r, r) to (N, D, ceil(r / stride), same)."""

    def forward(self, images: Tensor) -> Tensor:
        """As torch's."""
        if not images.is_cpu or not images.is_contiguous(memory_format=torch.channels_last):
            return super().forward(images)
        kernel, stride, side = self.kernel_size[0], self.stride[0], images.shape[-1]
        if kernel == 1 and self._is_small(images):
            return self._as_product(images[:, :, ::stride, ::stride])
        if self.groups > 1 and side < kernel:
            # Where the kernel is larger than the images, oneDNN has only its reference for the weights' gradient: it is
            # slower than larger images are. They may as well be given some of the zeros with which they are padded.
            padded = super().forward(F.pad(images, (0, kernel - side) * 2))
            side = -(-side // stride)
            return padded[:, :, :side, :side].contiguous(memory_format=torch.channels_last)
        return super().forward(images)

    def _is_small(self, images: Tensor) -> bool:
        values_out = images.numel() // self.in_channels // self.stride[0] ** 2 * self.out_channels
        return self.groups == 1 and images.numel() + values_out <= FEW_VALUES

    def _as_product(self, images: Tensor) -> Tensor:
        return F.linear(images.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)

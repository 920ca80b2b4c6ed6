"""Convolutions that are faster than torch's where that is known or measured.

The weights, their names and, to rounding, the results are those of torch's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastscale.ways import PACKED_WIDTH, Convolutions

PACKED_MULTIPLE = 8  # of which cuDNN's kernels for these want a multiple

# Values in and out, in all, up to which a matrix product beats oneDNN's 1x1 convolution, of which the forward and the
# backward pass take half a millisecond whatever they are given (measured on one core, forward and backward, batch 64).
FEW_VALUES = 150_000


class Conv2d(nn.Conv2d):
    """A convolution of square images, padded by half its kernel: (N, C, r, r) to (N, D, ceil(r / stride), same).

    `kind` says how it is computed, if it is grouped and its input lies on a GPU.
    """

    kind: Convolutions = "plain"

    def forward(self, images: Tensor) -> Tensor:
        """As torch's."""
        if self.kind == "packed" and self.packed > 1:
            return self._packed(images)
        if self.kind == "shifted" and self.groups == self.in_channels == self.out_channels:
            return self._shifted(images)
        if images.is_cpu and images.is_contiguous(memory_format=torch.channels_last):
            return self._on_cpu(images)
        return super().forward(images)

    @property
    def packed(self) -> int:
        """How many groups make one of at most `PACKED_WIDTH` channels; 1 where they do not."""
        width = self.in_channels // self.groups
        if self.in_channels != self.out_channels or self.groups == 1:
            return 1
        fitting = [
            count
            for count in range(2, PACKED_WIDTH // width + 1)
            if self.groups % count == 0 and count * width % PACKED_MULTIPLE == 0
        ]
        return max(fitting, default=1)

    def _packed(self, images: Tensor) -> Tensor:
        """Several groups as one, with weights of zero between them.

        That takes `packed` times the arithmetic, of which a GPU has plenty, and no more traffic: the networks' grouped
        convolutions have few flops and many activations.
        """
        count, (channels, width, *kernel) = self.packed, self.weight.shape
        weight = self.weight.view(-1, count, width, 1, width, *kernel)
        apart = torch.eye(count, dtype=weight.dtype, device=weight.device).view(1, count, 1, count, 1, 1, 1)
        weight = (weight * apart).reshape(channels, count * width, *kernel)
        return F.conv2d(images, weight, self.bias, self.stride, self.padding, groups=self.groups // count)

    def _shifted(self, images: Tensor) -> Tensor:
        """A depthwise one as a sum of shifted images: torch's compiler fuses all of it with what stands beside it."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        last = (images.shape[-1] - 1) // stride * stride
        padded = F.pad(images, (kernel // 2,) * 4)
        places = [slice(k, k + last + 1, stride) for k in range(kernel)]
        weight = self.weight[:, 0, :, :, None, None]
        terms = [padded[:, :, y, x] * weight[:, i, j] for i, y in enumerate(places) for j, x in enumerate(places)]
        total = sum(terms) if self.bias is None else sum(terms, self.bias[:, None, None])
        return total.to(images.dtype)  # weights have the full precision, and so have the products

    def _on_cpu(self, images: Tensor) -> Tensor:
        """In channels_last, where convolutions of small tensors cost mostly their preparation."""
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

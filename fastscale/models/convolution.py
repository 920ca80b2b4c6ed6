"""Convolutions with torch's weights and names whose results are computed in one of several ways.

`plain` ones are torch's own. `packed` and `shifted` grouped convolutions give the same results to rounding, and are
faster on some GPUs.

On a CPU all are torch's own. Kernels of our own (1x1 convolutions of small tensors as matrix products, the gradient of
5x5 depthwise weights in pieces) brought the default sweep less than a tenth, too little to keep: benchmarks/README.md.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastscale.execution import PACKED_WIDTH, Convolutions

PACKED_MULTIPLE = 8  # cuDNN's fast kernels want a multiple of so many channels per group


class Conv2d(nn.Conv2d):
    """A convolution of square images, padded by half its kernel: (N, C, r, r) to (N, D, ceil(r / stride), same).

    `kind` says how the convolution is computed. Where a kind has no faster way for this layer, torch's is taken.
    """

    kind: Convolutions = "plain"

    def forward(self, images: Tensor) -> Tensor:
        """Return what torch's convolution does, computed by `kind`."""
        if self.kind == "packed" and self.packed > 1:
            return self._packed(images)
        if self.kind == "shifted" and self.groups == self.in_channels == self.out_channels:
            return self._shifted(images)
        return super().forward(images)

    @property
    def packed(self) -> int:
        """Count the groups that make one of at most `PACKED_WIDTH` channels; 1 where groups cannot be packed."""
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
        """Compute several groups as one, with weights of zero between them.

        Packing takes `packed` times the arithmetic, of which a GPU has plenty, and no more traffic: the networks'
        grouped convolutions have few flops and many activations.
        """
        count, (channels, width, *kernel) = self.packed, self.weight.shape
        weight = self.weight.view(-1, count, width, 1, width, *kernel)
        apart = torch.eye(count, dtype=weight.dtype, device=weight.device).view(1, count, 1, count, 1, 1, 1)
        weight = (weight * apart).reshape(channels, count * width, *kernel)
        return F.conv2d(images, weight, self.bias, self.stride, self.padding, groups=self.groups // count)

    def _shifted(self, images: Tensor) -> Tensor:
        """Compute a depthwise convolution as a sum of shifted images.

        torch's compiler fuses the whole sum with the layers before and after it.
        """
        kernel, stride = self.kernel_size[0], self.stride[0]
        last = (images.shape[-1] - 1) // stride * stride
        padded = F.pad(images, (kernel // 2,) * 4)
        places = [slice(k, k + last + 1, stride) for k in range(kernel)]
        weight = self.weight[:, 0, :, :, None, None]
        terms = [padded[:, :, y, x] * weight[:, i, j] for i, y in enumerate(places) for j, x in enumerate(places)]
        total: Any = sum(terms) if self.bias is None else sum(terms, self.bias[:, None, None])
        return total.to(images.dtype)  # weights have full precision, and so have the products

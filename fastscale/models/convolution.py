"""Convolutions with torch's weights and names whose results are computed in one of several ways.

`plain` ones are computed by torch itself. All other kinds give the same results to rounding, and are faster where that
was measured: `packed` and `shifted` grouped convolutions on a GPU, `tuned` ones of any groups on a CPU.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastscale.execution import PACKED_WIDTH, Convolutions

PACKED_MULTIPLE = 8  # cuDNN's fast kernels want a multiple of so many channels per group

# Side of the pieces of a kernel, in pixels. oneDNN has a kernel of its own for the gradient of depthwise weights of at
# most 3 x 3, for images that are no smaller. Other gradients oneDNN computes 16 times over, or by its reference, which
# takes 3 to 5 times as long as `_InPieces`.
PIECE = 3
# Values in the images above which pieces are no faster: they have to be copied from memory.
MANY_VALUES = 500_000

# Values in and out, in all, up to which a matrix product beats oneDNN's 1x1 convolution, whose forward and backward
# pass take half a millisecond however few values there are (measured on one core, batch 64).
FEW_VALUES = 150_000


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
        if self.kind == "tuned" and _is_tunable(images):
            return self._tuned(images)
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

    def _tuned(self, images: Tensor) -> Tensor:
        """Compute a convolution on a CPU; for small tensors oneDNN spends most of the time on preparation."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1 and self._is_small(images):
            return self._as_product(images[:, :, ::stride, ::stride])
        if self.groups > 1 and self._has_slow_gradient(images):
            return _InPieces.apply(images, self.weight, self.bias, self.stride, self.padding, self.groups)
        return super().forward(images)

    def _has_slow_gradient(self, images: Tensor) -> bool:
        """Tell whether oneDNN has no kernel of its own for the gradient of the weights."""
        kernel, stride, side = self.kernel_size[0], self.stride[0], images.shape[-1]
        is_depthwise = self.groups == self.in_channels == self.out_channels
        is_large = is_depthwise and kernel > PIECE and stride == 1
        return side < kernel or (is_large and images.numel() <= MANY_VALUES)

    def _is_small(self, images: Tensor) -> bool:
        values_out = images.numel() // self.in_channels // self.stride[0] ** 2 * self.out_channels
        return self.groups == 1 and images.numel() + values_out <= FEW_VALUES

    def _as_product(self, images: Tensor) -> Tensor:
        return F.linear(images.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def _is_tunable(images: Tensor) -> bool:
    """Tell whether the tuned kernels were measured for such images: in channels_last and full precision, on a CPU."""
    is_full = images.is_cpu and not torch.is_autocast_enabled("cpu")
    return is_full and images.is_contiguous(memory_format=torch.channels_last)


class _InPieces(torch.autograd.Function):
    """A grouped convolution; the gradient of its weights is computed in pieces of at most 3 x 3 weights."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.geometry, ctx.biases = (stride, padding, groups), None if bias is None else list(bias.shape)
        return F.conv2d(images, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (images, weight), (stride, padding, groups) = ctx.saved_tensors, ctx.geometry
        by_images, by_weight, by_bias = ctx.needs_input_grad[:3]

        def gradients(images: Tensor, weight: Tensor, padding: tuple[int, ...], wanted: list[bool]) -> tuple:
            common = stride, padding, (1, 1), False, (0, 0), groups
            return torch.ops.aten.convolution_backward(gradient, images, weight, ctx.biases, *common, wanted)

        of_images, _, of_bias = gradients(images, weight, padding, [by_images, False, by_bias])
        of_weight = torch.empty_like(weight) if by_weight else None
        if of_weight is not None:
            padded, last = F.pad(images, (padding[0],) * 4), (gradient.shape[-1] - 1) * stride[0]
            for corner in itertools.product(range(0, weight.shape[-1], PIECE), repeat=2):
                piece: Any = ..., *[slice(first, first + PIECE) for first in corner]
                lengths = weight[piece].shape[2:]
                window: list[Any] = []  # the pixels that the weights of this piece are multiplied with
                for first, length in zip(corner, lengths, strict=True):
                    window.append(slice(first, first + last + length))
                part = padded[..., *window].contiguous(memory_format=torch.channels_last)
                of_weight[piece] = gradients(part, weight[piece], (0, 0), [False, True, False])[1]
        return of_images, of_weight, of_bias, None, None, None

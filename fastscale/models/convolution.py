"""Convolutions that are faster than torch's where that is known or measured.

The weights, their names and, to rounding, the results are those of torch's.
"""

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastscale.execution import PACKED_WIDTH, Convolutions

PACKED_MULTIPLE = 8  # of which cuDNN's kernels for these want a multiple

# oneDNN has a kernel of its own for the gradient of depthwise weights of at most 3 x 3, for images that are no smaller.
# Others it computes 16 times over, or by its reference, which takes 3 to 5 times as long as what is done here. Of large
# images the pieces have to be copied from memory: no faster.
PIECE = 3
MANY_VALUES = 500_000

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
        is_full = images.is_cpu and not torch.is_autocast_enabled("cpu")  # nothing is measured of half the precision
        if is_full and images.is_contiguous(memory_format=torch.channels_last):
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
        total: Any = sum(terms) if self.bias is None else sum(terms, self.bias[:, None, None])
        return total.to(images.dtype)  # weights have the full precision, and so have the products

    def _on_cpu(self, images: Tensor) -> Tensor:
        """In channels_last, where convolutions of small tensors cost mostly their preparation."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if kernel == 1 and self._is_small(images):
            return self._as_product(images[:, :, ::stride, ::stride])
        if self.groups > 1 and self._is_slow_to_learn(images):
            return _InPieces.apply(images, self.weight, self.bias, self.stride, self.padding, self.groups)
        return super().forward(images)

    def _is_slow_to_learn(self, images: Tensor) -> bool:
        """Whether oneDNN has no kernel of its own for the weights' gradient."""
        kernel, stride, side = self.kernel_size[0], self.stride[0], images.shape[-1]
        is_depthwise = self.groups == self.in_channels == self.out_channels
        is_large = is_depthwise and kernel > PIECE and stride == 1
        return side < kernel or (is_large and images.numel() <= MANY_VALUES)

    def _is_small(self, images: Tensor) -> bool:
        values_out = images.numel() // self.in_channels // self.stride[0] ** 2 * self.out_channels
        return self.groups == 1 and images.numel() + values_out <= FEW_VALUES

    def _as_product(self, images: Tensor) -> Tensor:
        return F.linear(images.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class _InPieces(torch.autograd.Function):
    """A grouped convolution whose weights have their gradient in pieces of at most 3 x 3, from padded images."""

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
        ctx.place, ctx.biases = (stride, padding, groups), None if bias is None else list(bias.shape)
        return F.conv2d(images, weight, bias, stride, padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (images, weight), (stride, padding, groups) = ctx.saved_tensors, ctx.place
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
                seen: list[Any] = []
                for first, length in zip(corner, lengths, strict=True):
                    seen.append(slice(first, first + last + length))
                part = padded[..., *seen].contiguous(memory_format=torch.channels_last)
                of_weight[piece] = gradients(part, weight[piece], (0, 0), [False, True, False])[1]
        return of_images, of_weight, of_bias, None, None, None

"""Our convolution on a CPU against torch's: values, gradients and names, for every kind that a network has."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastscale.execution import CONVOLUTIONS, PACKED_WIDTH, Convolutions
from fastscale.models.convolution import FEW_VALUES, Conv2d


@settings(deadline=None)
@given(
    kernel=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    groups=st.sampled_from([1, 2, 16]),
    side=st.integers(1, 16),
    bias=st.booleans(),
    memory_format=st.sampled_from([torch.channels_last, torch.contiguous_format]),
    kind=st.sampled_from(CONVOLUTIONS),
    width_out=st.sampled_from([16, 32]),
)
def test_it_is_torchs(
    kernel: int,
    stride: int,
    groups: int,
    side: int,
    bias: bool,
    memory_format: torch.memory_format,
    kind: Convolutions,
    width_out: int,
) -> None:
    theirs = nn.Conv2d(16, width_out, kernel, stride, kernel // 2, groups=groups, bias=bias).double()
    ours = Conv2d(16, width_out, kernel, stride, kernel // 2, groups=groups, bias=bias).double()
    ours.kind = kind
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 16, side, side, dtype=torch.double).to(memory_format=memory_format).requires_grad_()
    outcomes = []
    for conv in (theirs, ours):
        result = conv(images)
        outcomes.append((result, *torch.autograd.grad(result.sin().sum(), (images, *conv.parameters()))))
    for expected, found in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_small_ones_are_products_and_large_ones_are_not() -> None:
    few, many = (torch.randn(n, 8, 16, 16).to(memory_format=torch.channels_last) for n in (1, 64))
    assert 2 * few.numel() < FEW_VALUES < 2 * many.numel()
    conv = Conv2d(8, 8, 1)
    names = [conv(images).grad_fn.name() for images in (few, many)]
    assert names == ["PermuteBackward0", "ConvolutionBackward0"]


def test_groups_are_packed_into_as_few_as_matrix_units_take() -> None:
    def packed(channels: int, group_width: int) -> int:
        return Conv2d(channels, channels, 3, padding=1, groups=channels // group_width).packed

    assert [packed(96, 1), packed(144, 1), packed(240, 1), packed(960, 8), packed(88, 4)] == [48, 48, 48, 8, 2]
    assert packed(512, PACKED_WIDTH) == packed(64, 64) == packed(520, 40) == packed(7, 1) == 1

"""Our convolutions on a CPU beside torch's: plain ones are torch's own, all kinds have its values and gradients."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fastscale.execution import CONVOLUTIONS, FORMATS, PACKED_WIDTH, Convolutions, Execution, MemoryFormat
from fastscale.models.build import build
from fastscale.models.convolution import Conv2d
from fastscale.models.placement import MEMORY_FORMATS, place
from fastscale.networks import base_network


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


def operations(function: Any) -> Iterator[str]:
    """Name what autograd calls for a result, from the last operation to the first; a name for each operation."""
    seen, waiting = set(), [function]
    while waiting:
        if (function := waiting.pop()) is not None and function not in seen:
            seen.add(function)
            yield function.name()
            waiting += [before for before, _ in function.next_functions]


@pytest.mark.parametrize("base", ["EN-tiny", "RegNetY-tiny", "RegNetZ-tiny"])
@pytest.mark.parametrize("memory_format", FORMATS)
def test_plain_convolutions_are_torchs_own(base: str, memory_format: MemoryFormat) -> None:
    """The same operations and bits, forward and backward."""
    torch.manual_seed(0)
    network = base_network(base).with_classes(10)
    model = build(network).train()
    images = torch.randn(4, 3, network.resolution, network.resolution)
    images = images.contiguous(memory_format=MEMORY_FORMATS[memory_format])
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d)]

    def results() -> tuple[Counter[str], torch.Tensor, torch.Tensor]:
        model.zero_grad()
        logits = place(model, Execution(memory_format), torch.device("cpu"))(images)
        logits.sin().sum().backward()
        gradients = torch.cat(
            [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        )
        return Counter(operations(logits.grad_fn)), logits, gradients

    plain = results()
    for layer in layers:
        layer.__class__ = nn.Conv2d
    operations_of_torch, *values_of_torch = results()
    assert plain[0] == operations_of_torch and plain[0]["ConvolutionBackward0"] == len(layers)
    assert all(map(torch.equal, plain[1:], values_of_torch))


def test_groups_are_packed_into_as_few_as_matrix_units_take() -> None:
    def packed(channels: int, group_width: int) -> int:
        return Conv2d(channels, channels, 3, padding=1, groups=channels // group_width).packed

    assert [packed(96, 1), packed(144, 1), packed(240, 1), packed(960, 8), packed(88, 4)] == [48, 48, 48, 8, 2]
    assert packed(512, PACKED_WIDTH) == packed(64, 64) == packed(520, 40) == packed(7, 1) == 1

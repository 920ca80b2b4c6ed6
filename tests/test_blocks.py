"""Figure 3 shows what is built."""

import pytest
from torch import nn

from fastscale.analysis.figures import blocks
from fastscale.models.build import ConvNorm, build
from fastscale.networks import base_network


@pytest.mark.parametrize(("base", "stride"), blocks.PANELS)
def test_drawn_blocks_are_those_of_the_torch_module(base: str, stride: int) -> None:
    network = base_network(base)
    module = build(network).stages[-1][0 if stride == 2 else 1]
    drawn = blocks.block(network, network.stages[-1], stride)
    convs = [layer for layer in module.residual if isinstance(layer, ConvNorm)]
    assert len(convs) == len(drawn.residual)
    for layer, shown in zip(convs, drawn.residual, strict=True):
        conv = layer[0]
        assert conv.kernel_size == (shown.kernel,) * 2 and conv.stride == (shown.stride,) * 2
        assert conv.out_channels == shown.ratio * network.widths[-1] and (conv.groups > 1) == shown.grouped
        assert isinstance(layer[1], nn.BatchNorm2d)
        activations = [blocks.ACTIVATIONS[shown.activation]] if shown.activation else []
        assert [type(act).__name__ for act in list(layer)[2:]] == activations
    assert (len(module.residual) > len(convs)) == drawn.squeezes
    assert module.has_shortcut == bool(drawn.shortcut)
    assert (module.projection is not None) == (drawn.shortcut == "projection")
    final = {"": "Identity", "relu": "ReLU", "silu": "SiLU"}[drawn.activation]
    assert type(module.activation).__name__ == final

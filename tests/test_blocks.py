"""Figure 3 shows the blocks that are built."""

from fractions import Fraction

import pytest

from fastscale.analysis.figures import blocks
from fastscale.analysis.rendering import style
from fastscale.models.build import BlockModule, ConvNorm, build
from fastscale.networks import base_network


def texts(module: BlockModule, width: int, b: Fraction) -> list[str]:
    """List the texts that the figure must show for the residual branch of a torch module, layer by layer."""
    lines = []
    for layer in module.residual:
        if not isinstance(layer, ConvNorm):
            lines.append("SE")
            continue
        conv, is_last = layer[0], layer is module.residual[-1]
        assert conv.out_channels == (width if is_last else width / b)
        name = f"{conv.kernel_size[0]} × {conv.kernel_size[0]} {'group ' if conv.groups > 1 else ''}conv"
        channels = ", w" if is_last else ", w/b"
        stride = f", stride {conv.stride[0]}" if conv.stride[0] > 1 else ""
        lines.append(name + channels + (", g" if conv.groups > 1 else "") + stride)
        lines.append(", ".join(["BN", *(type(activation).__name__ for activation in list(layer)[2:])]))
    return lines


@pytest.mark.parametrize(("base", "stride"), blocks.PANELS)
def test_drawn_blocks_are_those_of_the_torch_module(base: str, stride: int) -> None:
    network = base_network(base)
    module = build(network).stages[-1][0 if stride == 2 else 1]
    with style.styled():
        axes = blocks.fig3(None, "fig3", None).axes[blocks.PANELS.index((base, stride))]
    shown = [text.get_text() for text in axes.texts]
    inside = shown[1 : shown.index("+") if module.has_shortcut else -2]
    assert inside == texts(module, network.widths[-1], Fraction(axes.get_title().partition("b = ")[2]))
    assert ("+" in shown) == module.has_shortcut
    assert any("1 × 1 conv, stride 2" in text and "→" in text for text in shown) == (module.projection is not None)
    final = {"Identity": "", "ReLU": "ReLU", "SiLU": "SiLU"}[type(module.activation).__name__]
    assert shown[-2:] == [final, "r × r × w"]

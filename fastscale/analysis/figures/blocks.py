"""Figure 3: the blocks of RegNets, drawn from the definitions by which they are counted and built."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from fastscale.analysis.rendering import style
from fastscale.analysis.results.results import Results
from fastscale.networks import base_network
from fastscale.networks.layers import BlockLayers, Conv, SqueezeExcitation, block_layers
from fastscale.sweep.sweep import Sweep

PANELS = (("RegNetY-500MF", 1), ("RegNetY-500MF", 2), ("RegNetZ-500MF", 1), ("RegNetZ-500MF", 2))
ACTIVATIONS = {"relu": "ReLU", "silu": "SiLU"}
STEP, WIDTH, HEIGHT = 1.0, 3.2, 0.5  # from layer to layer, and of a layer's box, in the axes' units
SIZE = (2.9, 4.1)  # of a panel, in inches
FILL = {"1x1": "#DCE9F5", "3x3": "#FBE3D0", "SE": "#FFFFFF"}


def fig3(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a RegNetY and a RegNetZ block, each at stride 1 and 2."""
    figure, panels = style.panels(1, len(PANELS), SIZE)
    for letter, axes, (base, stride) in zip("abcd", panels, PANELS, strict=True):
        network = base_network(base)
        stage = network.stages[-1]
        width_in = stage.width if stride == 1 else network.stage_inputs()[-1]
        draw(axes, block_layers(network, stage, width_in, stride))
        bottleneck = Fraction(stage.width, network.inner_width(stage, width_in))
        middle = axes.transData.transform((0, 0))[0] - axes.bbox.x0  # of the residual branch: the shortcut is beside it
        title = f"({letter}) {network.family[-1]} block, stride {stride}\nb = {bottleneck}"
        axes.set_title(title, x=middle / axes.bbox.width, y=0.93)  # within the axes, whose height the aspect changes
    return figure


def draw(axes: Axes, block: BlockLayers) -> None:
    """Draw a block from top to bottom: its residual branch, its shortcut, their sum."""
    stride = max(layer.stride for layer in block.residual if isinstance(layer, Conv))
    tops = [-STEP * (i + 1) for i in range(len(block.residual))]
    end = tops[-1] - STEP
    entering = "w" if stride == 1 else "w′"
    side = "r × r" if stride == 1 else "2r × 2r"
    _text(axes, 0, 0, f"{side} × {entering}", weight="bold")
    for previous, (layer, y) in zip([0.0, *tops], zip(block.residual, tops, strict=True), strict=False):
        _arrow(axes, [(0, previous - HEIGHT / 2), (0, y + HEIGHT / 2)])
        _layer(axes, layer, y, is_last=layer is block.residual[-1])
    left = -WIDTH / 2 - 0.5
    leaving = tops[-1] - HEIGHT / 2
    if block.has_shortcut:
        _arrow(axes, [(0, leaving), (0, end + 0.17)])
        leaving = end - 0.17
        _arrow(axes, [(0, -0.36), (left, -0.36), (left, end), (-0.17, end)])
        axes.add_patch(Circle((0, end), 0.16, facecolor="white", edgecolor="black", zorder=3))
        _text(axes, 0, end, "+")
        if block.projection:
            middle = (tops[0] + tops[-1]) / 2
            _box(axes, left, middle, 0.62, 2.0, FILL["1x1"])
            axes.text(left, middle, f"1 × 1 conv, stride {stride}\n{entering} → w, BN", rotation=90, **_CENTRED)
    last = ACTIVATIONS[block.activation] if block.activation else ""
    _arrow(axes, [(0, leaving), (0, end - STEP + HEIGHT / 2)])
    _text(axes, 0.12, end - STEP / 2, last, ha="left")
    _text(axes, 0, end - STEP, "r × r × w", weight="bold")
    axes.set(xlim=(left - 0.5, WIDTH / 2 + 0.25), ylim=(end - STEP - 0.4, 1.2), aspect="equal")
    axes.axis("off")


def _layer(axes: Axes, layer: Conv | SqueezeExcitation, y: float, is_last: bool) -> None:
    """Draw a layer; before the last one, all have the paper's w / b channels."""
    if isinstance(layer, SqueezeExcitation):
        _box(axes, 0, y, WIDTH * 0.7, HEIGHT, FILL["SE"], linestyle="--")
        _text(axes, 0, y, "SE")
        return
    is_grouped = layer.groups > 1
    channels = "w" if is_last else "w/b"
    group = ", g" if is_grouped else ""
    stride = f", stride {layer.stride}" if layer.stride != 1 else ""
    name = f"{layer.kernel} × {layer.kernel} {'group ' if is_grouped else ''}conv"
    _box(axes, 0, y, WIDTH, HEIGHT, FILL["3x3" if layer.kernel > 1 else "1x1"])
    _text(axes, 0, y + 0.1, f"{name}, {channels}{group}{stride}")
    _text(axes, 0, y - 0.12, "BN" + (f", {ACTIVATIONS[layer.activation]}" if layer.activation else ""), color="0.3")


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 7, "zorder": 4}


def _text(axes: Axes, x: float, y: float, text: str, **changes: Any) -> None:
    axes.text(x, y, text, **{**_CENTRED, **changes})


def _box(axes: Axes, x: float, y: float, width: float, height: float, color: str, linestyle: str = "-") -> None:
    corner = (x - width / 2, y - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.07",
            facecolor=color,
            edgecolor="black",
            linewidth=0.8,
            linestyle=linestyle,
            zorder=2,
        )
    )


def _arrow(axes: Axes, path: Sequence[tuple[float, float]], head: bool = True) -> None:
    """Draw a line through the points of `path`, with a head at its end."""
    line = path[:-1] if head else path  # the arrow itself draws the last part
    axes.plot(*zip(*line, strict=True), color="black", linewidth=0.9, marker="", zorder=1)
    if head:
        form = "-|>,head_width=2.2,head_length=4"
        arrow = FancyArrowPatch(
            *path[-2:], arrowstyle=form, color="black", linewidth=0.9, shrinkA=0, shrinkB=0, zorder=1
        )
        axes.add_patch(arrow)

"""Figure 3: the blocks of RegNets, drawn from the definitions by which they are counted and built."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from fastscale.analysis.rendering import style
from fastscale.analysis.results.results import Results
from fastscale.networks import BLOCKS, Network, Stage, base_network
from fastscale.sweep.sweep import Sweep

PANELS = (("RegNetY-500MF", 1), ("RegNetY-500MF", 2), ("RegNetZ-500MF", 1), ("RegNetZ-500MF", 2))
ACTIVATIONS = {"relu": "ReLU", "silu": "SiLU"}
STEP, WIDTH, HEIGHT = 1.0, 2.75, 0.5  # of a layer, in the axes' units
FILL = {"1x1": "#DCE9F5", "3x3": "#FBE3D0", "SE": "#FFFFFF"}


class Conv(NamedTuple):
    """A convolution and the batch norm behind it; `ratio` is its width over the block's (the paper's 1/b)."""

    kernel: int
    ratio: float
    stride: int
    grouped: bool
    activation: str  # "" where none follows


class Block(NamedTuple):
    """What a block consists of, first layer first; `shortcut` is "identity", "projection" or "" where there is none."""

    residual: tuple[Conv, ...]
    squeezes: bool  # squeeze-excitation before the last convolution
    shortcut: str
    activation: str  # after the sum


def block(network: Network, stage: Stage, stride: int) -> Block:
    """The block of a stage at stride 1, where it keeps its width, or 2, where it changes it."""
    kind, act = BLOCKS[network.block], network.activation
    expands = [Conv(1, stage.ratio, 1, False, act)] if kind.always_expands or stage.ratio != 1 else []
    middle = Conv(stage.kernel, stage.ratio, stride, stage.group_width > 0, act)
    shortcut = "identity" if stride == 1 else "projection" if kind.projects else ""
    final = act if kind.final_activation else ""
    return Block((*expands, middle, Conv(1, 1.0, 1, False, "")), network.se_ratio > 0, shortcut, final)


def fig3(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Y and Z blocks, each at stride 1 and 2."""
    figure, panels = style.panels(1, 4)
    figure.set_size_inches(11, 4.6)
    for letter, axes, (base, stride) in zip("abcd", panels, PANELS, strict=True):
        network = base_network(base)
        draw(axes, block(network, network.stages[-1], stride), stride)
        axes.set_title(f"({letter}) {network.family[-1]} block, stride {stride}")
    return figure


def draw(axes: Axes, shown: Block, stride: int) -> None:
    """One block from top to bottom: its residual branch, its shortcut, their sum."""
    rows: list[Conv | None] = [*shown.residual[:-1], *([None] if shown.squeezes else []), shown.residual[-1]]
    tops = [-STEP * (i + 1) for i in range(len(rows))]
    end = tops[-1] - STEP
    entering = "w" if stride == 1 else "w′"
    side = "r × r" if stride == 1 else "2r × 2r"
    _text(axes, 0, 0, f"{side} × {entering}", weight="bold")
    for before, (row, y) in zip([0.0, *tops], zip(rows, tops, strict=True), strict=False):
        _arrow(axes, [(0, before - HEIGHT / 2), (0, y + HEIGHT / 2)])
        _layer(axes, row, y)
    _arrow(axes, [(0, tops[-1] - HEIGHT / 2), (0, end + 0.17)], head=bool(shown.shortcut))
    left = -WIDTH / 2 - 0.5
    if shown.shortcut:
        _arrow(axes, [(0, -0.36), (left, -0.36), (left, end), (-0.17, end)])
        axes.add_patch(Circle((0, end), 0.16, facecolor="white", edgecolor="black", zorder=3))
        _text(axes, 0, end, "+")
        if shown.shortcut == "projection":
            middle = (tops[0] + tops[-1]) / 2
            _box(axes, left, middle, 0.62, 1.5, FILL["1x1"])
            axes.text(left, middle, f"1 × 1 conv, s = {stride}\n{entering} → w, BN", rotation=90, **_CENTRED)
    else:
        _arrow(axes, [(0, end + 0.17), (0, end - 0.17)], head=False)
    last = ACTIVATIONS[shown.activation] if shown.activation else ""
    _arrow(axes, [(0, end - 0.17), (0, end - STEP + HEIGHT / 2)])
    _text(axes, 0.12, end - STEP / 2, last, ha="left")
    _text(axes, 0, end - STEP, "r × r × w", weight="bold")
    axes.set(xlim=(left - 0.5, WIDTH / 2 + 0.25), ylim=(end - STEP - 0.4, 0.4), aspect="equal")
    axes.axis("off")


def _layer(axes: Axes, conv: Conv | None, y: float) -> None:
    if conv is None:
        _box(axes, 0, y, WIDTH * 0.7, HEIGHT * 0.8, FILL["SE"], linestyle="--")
        _text(axes, 0, y, "SE")
        return
    width = "w" if conv.ratio == 1 else f"{conv.ratio:g}w"
    group = ", g" if conv.grouped else ""
    stride = f", s = {conv.stride}" if conv.stride != 1 else ""
    name = f"{conv.kernel} × {conv.kernel} {'group ' if conv.grouped else ''}conv"
    _box(axes, 0, y, WIDTH, HEIGHT, FILL["3x3" if conv.kernel > 1 else "1x1"])
    _text(axes, 0, y + 0.1, f"{name}, {width}{group}{stride}")
    _text(axes, 0, y - 0.12, "BN" + (f", {ACTIVATIONS[conv.activation]}" if conv.activation else ""), color="0.3")


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
    """A line through the points of `path`, with a head at its end."""
    axes.plot(*zip(*path, strict=True), color="black", linewidth=0.9, marker="", zorder=1)
    if head:
        form = "-|>,head_width=2.2,head_length=4"
        arrow = FancyArrowPatch(
            *path[-2:], arrowstyle=form, color="black", linewidth=0.9, shrinkA=0, shrinkB=0, zorder=1
        )
        axes.add_patch(arrow)

"""Network families: functions from the few parameters of a base to a whole network.

Sources: RegNet, Radosavovic et al. 2020 (the quantised linear function of widths); RegNetZ and the block types,
section 6.1 and Figure 3 of the paper; EfficientNet, Tan and Le 2019; ResNet, He et al. 2016; ResNeXt, Xie et al. 2017.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from fastscale.errors import UserError
from fastscale.networks.network import Activation, Network, Stage, Stem, group_compatible


def regnet_stages(depth: int, w0: int, wa: float, wm: float) -> tuple[list[int], list[int]]:
    """Return the stage depths and stage widths of a RegNet (Radosavovic et al. 2020, section 3.3).

    The width of block j is w0 + wa j, quantised to w0 wm^k for whole k, and then to a multiple of 8. Consecutive blocks
    of one width are a stage.

    Raises:
        UserError: the parameters are outside the space (wa >= 0, w0 > 0 and a multiple of 8, wm > 1).
    """
    if not (depth >= 1 and depth == int(depth) and w0 > 0 and w0 % 8 == 0 and wa >= 0 and wm > 1):
        raise UserError(
            f"a RegNet of depth={depth}, w0={w0}, wa={wa}, wm={wm} is outside the design space: depth must be 1 or "
            "more, w0 a positive multiple of 8, wa at least 0 and wm above 1"
        )
    linear = [w0 + wa * block for block in range(depth)]
    steps = [round(math.log(width / w0) / math.log(wm)) for width in linear]
    blocks = Counter(round(w0 * wm**step / 8) * 8 for step in steps)
    widths = sorted(blocks)
    return [blocks[width] for width in widths], widths


def _regnet(family: str, block: str, activation: Activation, ratio: float) -> Callable[..., Network]:
    """Return the function that builds a network of this RegNet family from the family's parameters."""

    def build(
        *,
        depth: int,
        w0: int,
        wa: float,
        wm: float,
        group_width: int,
        resolution: int,
        stem_width: int = 32,
        head_width: int = 0,
    ) -> Network:
        depths, widths = regnet_stages(depth, w0, wa, wm)
        compatible = [group_compatible(width, ratio, group_width) for width in widths]
        stages = tuple(
            Stage(depth=depth, width=width, ratio=ratio, group_width=group)
            for depth, (width, group) in zip(depths, compatible, strict=True)
        )
        return Network(family, block, activation, 0.25, Stem(stem_width), stages, head_width, resolution)

    return build


def efficientnet(
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    resolution: int,
    stem: int = 32,
    head: int = 1280,
    kernels: Sequence[int] = (3, 3, 5, 3, 5, 5, 3),
    expansions: Sequence[float] = (1, 6, 6, 6, 6, 6, 6),
    strides: Sequence[int] = (1, 2, 2, 2, 1, 2, 1),
) -> Network:
    """Build an EfficientNet: MBConv stages (depthwise convs), SiLU, SE 1/4, a 1x1 conv head."""
    _require_same_length(
        "EfficientNet", depths=depths, widths=widths, kernels=kernels, expansions=expansions, strides=strides
    )
    stages = tuple(
        Stage(depth, width, stride, kernel, float(expansion), group_width=1)
        for depth, width, stride, kernel, expansion in zip(depths, widths, strides, kernels, expansions, strict=True)
    )
    return Network("EfficientNet", "mbconv", "silu", 0.25, Stem(stem), stages, head, resolution)


def resnet(
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    resolution: int,
    ratio: float = 0.25,
    groups: int = 1,
    stem: int = 64,
) -> Network:
    """Build a ResNet (groups 1, ratio 1/4) or ResNeXt (groups 32, ratio 1/2) of bottleneck blocks."""
    _require_same_length("ResNet", depths=depths, widths=widths)
    if indivisible := [width for width in widths if round(width * ratio) % groups or width * ratio < 1]:
        raise UserError(f"ResNet: {ratio} of the width {indivisible[0]} cannot be divided into {groups} groups")
    stages = tuple(
        Stage(depth, width, stride=1 if i == 0 else 2, ratio=ratio, group_width=round(width * ratio) // groups)
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True))
    )
    stem_conv = Stem(stem, kernel=7, pool=True)
    return Network("ResNet", "bottleneck", "relu", 0.0, stem_conv, stages, 0, resolution)


FAMILIES: dict[str, Callable[..., Network]] = {
    "RegNetY": _regnet("RegNetY", "bottleneck", "relu", ratio=1.0),
    "RegNetZ": _regnet("RegNetZ", "inverted", "silu", ratio=4.0),
    "EfficientNet": efficientnet,
    "ResNet": resnet,
}


def _require_same_length(family: str, **lists: Sequence[float]) -> None:
    """Raise where the lists, of one value per stage each, differ in length."""
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        raise UserError(f"{family}: one value per stage is needed in each list, but their lengths differ: {lengths}")

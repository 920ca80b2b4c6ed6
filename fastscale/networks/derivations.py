"""How a base is derived from another one, and what no device could hold."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from fastscale.errors import UserError
from fastscale.networks.network import Network, is_consistent

# What no device could train: terabytes of weights, or of one image's activations, or minutes for an image.
MOST = {"params": 10**12, "acts": 10**12, "blocks": 10**5}


def refuse_impossible(network: Network, place: str) -> Network:
    """Return the network, if it can be built and a device could hold it.

    Raises:
        UserError: its widths are no whole numbers of groups, or it is larger than any device.
    """
    from fastscale.networks.complexity import count  # which is built on networks

    widths = zip(network.stages, network.stage_inputs(), network.widths, strict=True)
    inner = (network.inner_width(stage, width) for stage, *both in widths for width in both)
    if not (all(inner) and is_consistent(network)):
        raise UserError(
            f"{place}: its widths {network.widths} are not whole numbers of groups of {network.group_widths}; "
            "choose widths that are multiples of the group width"
        )
    counts = {**count(network)._asdict(), "blocks": sum(network.depths)}
    if beyond := next((what for what, most in MOST.items() if counts[what] > most), None):
        raise UserError(f"{place}: {counts[beyond]:.3g} {beyond} are more than any device holds ({MOST[beyond]:.0e})")
    return network


def grown(base: Network, strategy: str, s: float) -> Network:
    """Scale a base by a strategy, within what a device could hold.

    Raises:
        UserError: an unknown strategy, or a scale that is too small or too large.
    """
    from fastscale.networks.scaling import (  # which is built on networks
        LARGEST_SCALE,
        parse_strategy,
        scale,
    )

    if not 1 / LARGEST_SCALE <= s <= LARGEST_SCALE:
        allowed = f"a number from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:,.0f}"
        raise UserError(f"scale {s:g}: allowed is {allowed}, 1 being the base")
    return refuse_impossible(scale(base, parse_strategy(strategy), s), f"scale {s:g} by {strategy}")


def multiply(base: Network, *, width: float, depth: float, resolution: int) -> Network:
    """Enlarge an EfficientNet as its authors do: widths times `width` to multiples of 8, depths times `depth`, up."""
    if base.block != "mbconv":
        raise UserError(f"multiply takes an EfficientNet, but its base is of the family {base.family}")

    def widen(channels: int) -> int:
        # Its authors' guard: rounding may not take more than a tenth away (B3's first stage is 24 wide, not 16).
        nearest = max(8, round(channels * width / 8) * 8)
        return nearest if nearest >= 0.9 * channels * width else nearest + 8

    # Rounded first: 3 * 1.4 is 4.2, but 5 * 2.2 is 11.000000000000002 and must stay 11.
    stages = tuple(
        replace(stage, depth=math.ceil(round(stage.depth * depth, 9)), width=widen(stage.width))
        for stage in base.stages
    )
    stem = replace(base.stem, width=widen(base.stem.width))
    return replace(base, stem=stem, stages=stages, head_width=widen(base.head_width), resolution=resolution)


def depthwise(base: Network) -> Network:
    """Make the convolutions of a network depthwise: group width 1 in every stage (Figure 10)."""
    return replace(base, stages=tuple(replace(stage, group_width=1) for stage in base.stages))


def scaled(base: Network, *, strategy: str, factor: float) -> Network:
    """Scale a base to another base, such as RegNetY-4GF->16GF."""
    return grown(base, strategy, factor)


# What a base may be derived by: the key that names the other base, and the function that takes the keys beside it.
DERIVATIONS: Mapping[str, Callable[..., Network]] = {"multiply": multiply, "depthwise": depthwise, "scale": scaled}

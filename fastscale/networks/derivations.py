"""Derivations of a base from another base, and limits above which no device could hold a network."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from fastscale.errors import UserError
from fastscale.networks.network import Network, is_consistent

# Limits above which no device could train a network: terabytes of weights or of one image's activations, or minutes
# per image.
MOST = {"params": 10**12, "acts": 10**12, "blocks": 10**5}


def refuse_impossible(network: Network, place: str) -> Network:
    """Return the network, if it can be built and a device could hold it.

    Raises:
        UserError: a width is no whole number of groups, or no device could hold the network.
    """
    from fastscale.networks.complexity import count

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
    """Return a base scaled by a strategy to about `s` times its flops, if a device could hold the network.

    Raises:
        UserError: the strategy is unknown, or the scale is too small or too large.
    """
    from fastscale.networks.scaling import (  # imported late, because it imports this package
        LARGEST_SCALE,
        parse_strategy,
        scale,
    )

    if not 1 / LARGEST_SCALE <= s <= LARGEST_SCALE:
        allowed = f"a number from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:,.0f}"
        raise UserError(f"scale {s:g}: allowed is {allowed}, 1 being the base")
    return refuse_impossible(scale(base, parse_strategy(strategy), s), f"scale {s:g} by {strategy}")


def multiply(base: Network, *, width: float, depth: float, resolution: int) -> Network:
    """Enlarge an EfficientNet: multiply widths (to multiples of 8) and depths (rounded up), and set the resolution.

    This is the rule of EfficientNet's authors. The resolution is in pixels.

    Raises:
        UserError: the base is no EfficientNet.
    """
    if base.block != "mbconv":
        raise UserError(f"multiply takes an EfficientNet, but its base is of the family {base.family}")

    def widen(channels: int) -> int:
        # The authors' guard: rounding must not take away more than a tenth (B3's first stage is 24 wide, not 16).
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
    """Return the network with group width 1 in every stage: its convolutions become depthwise (Figure 10)."""
    return replace(base, stages=tuple(replace(stage, group_width=1) for stage in base.stages))


def scaled(base: Network, *, strategy: str, factor: float) -> Network:
    """Scale a base by a strategy to about `factor` times its flops, as in RegNetY-500MF->4GF."""
    return grown(base, strategy, factor)


# The kinds of derivation: the key that names the other base, and the function that takes that base and the other keys.
DERIVATIONS: Mapping[str, Callable[..., Network]] = {"multiply": multiply, "depthwise": depthwise, "scale": scaled}

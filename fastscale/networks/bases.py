"""Base networks by name: the paper's and the tiny ones from bases.yaml, and a user's own."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from fastscale.errors import UserError
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import Network, is_consistent


@cache
def known_bases() -> Mapping[str, Mapping[str, Any]]:
    """The parameters of every built-in base, by name (bases.yaml)."""
    text = files("fastscale.networks").joinpath("bases.yaml").read_text()
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def base_network(name: str, own: Mapping[str, Mapping[str, Any]] | None = None) -> Network:
    """The base network of that name, from a user's `own` definitions or the built-in ones.

    Raises:
        UserError: an unknown name, an unknown family, or parameters that the family does not take.
    """
    definitions = {**known_bases(), **(own or {})}
    if name not in definitions:
        close = get_close_matches(name, definitions, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise UserError(
            f"unknown base {name!r}: {hint}known are {', '.join(sorted(definitions))}; "
            "a base of your own goes into config.yaml under define:"
        )
    parameters = dict(definitions[name])
    for key, derive in DERIVATIONS.items():
        if key in parameters:
            return derive(base_network(parameters.pop(key), own), name, **_checked(name, derive, parameters, 2))
    family = parameters.pop("family", None)
    if family not in FAMILIES:
        raise UserError(f"base {name!r}: its family is {family!r}; allowed are {', '.join(FAMILIES)}")
    network = FAMILIES[family](**_checked(name, FAMILIES[family], parameters))
    if not is_consistent(network):
        raise UserError(
            f"base {name!r}: its widths {network.widths} are not whole numbers of groups of {network.group_widths}; "
            "choose widths that are multiples of the group width"
        )
    return network


def multiply(base: Network, name: str, *, width: float, depth: float, resolution: int) -> Network:
    """EfficientNet's own way to make a larger one: widths times `width` to multiples of 8, depths times `depth`, up."""
    if base.block != "mbconv":
        raise UserError(f"base {name!r}: multiply: takes an EfficientNet, but found a {base.family}")

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


def depthwise(base: Network, name: str) -> Network:
    """The same network with depthwise convolutions: group width 1 in every stage (Figure 10)."""
    return replace(base, stages=tuple(replace(stage, group_width=1) for stage in base.stages))


def scaled(base: Network, name: str, *, strategy: str, factor: float) -> Network:
    """A base that is itself a scaled network, such as RegNetY-4GF->16GF."""
    from fastscale.scaling import parse_strategy, scale  # which is built on networks, as this data file's reader is

    return scale(base, parse_strategy(strategy), factor)


# What a base may be derived by: the key that names the other base, and the function that takes the keys beside it.
DERIVATIONS: Mapping[str, Callable[..., Network]] = {"multiply": multiply, "depthwise": depthwise, "scale": scaled}


def _checked(name: str, build: Any, parameters: dict[str, Any], skip: int = 0) -> dict[str, Any]:
    """`parameters`, if they are those that `build` takes (its first `skip` arguments are not the user's)."""
    takes = list(inspect.signature(build).parameters.values())[skip:]
    unknown = sorted(parameters.keys() - {p.name for p in takes})
    missing = [p.name for p in takes if p.default is p.empty and p.name not in parameters]
    if unknown or missing:
        found = f"has the unknown key {unknown[0]!r}" if unknown else f"lacks the key {missing[0]!r}"
        raise UserError(f"base {name!r} {found}; its keys are {', '.join(p.name for p in takes)}")
    return parameters

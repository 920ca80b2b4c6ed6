"""Base networks by name: the paper's and the tiny ones from bases.yaml, and a user's own."""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml

from fastscale.errors import UserError, within
from fastscale.networks.definitions import described, refuse_impossible
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import Network
from fastscale.validation.checks import checked

Definitions = Mapping[str, Mapping[str, Any]]

LONGEST_LINE = 20  # of bases of which each is derived from the next
NAME = {  # what file names, Snakemake's wildcards, and the tables' and figures' markup would take for something else
    "type": "string",
    "pattern": r"^(?![-\s])[^{}/\\$|<`\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}(?<!\s)\Z",
    "form": "text of 1 to 100 characters but { } / \\ $ | < ` and line breaks, that begins with no dash",
}


@cache
def known_bases() -> Mapping[str, Mapping[str, Any]]:
    """The parameters of every built-in base, by name (bases.yaml)."""
    text = files("fastscale.networks").joinpath("bases.yaml").read_text()
    bases: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return bases


def base_network(name: str, own: Definitions | None = None) -> Network:
    """Build the base network of that name, from a user's `own` definitions or the built-in ones.

    Raises:
        UserError: an unknown name, an unknown family, parameters that the family does not take, a base that is derived
            from itself, or one that no device could hold.
    """
    return _base_network(name, own or {}, ())


def _base_network(name: str, own: Definitions, line: tuple[str, ...]) -> Network:
    """The base, from which those in `line` are derived, each the one before."""
    refuse_circle(name, line)
    if name not in own and name not in known_bases():
        raise UserError(f"define.{line[-1]}: {unknown_base(name, own)}" if line else unknown_base(name, own))
    place = f"define.{name}"
    parameters = checked_definition(own[name], place) if name in own else dict(known_bases()[name])
    for key, derive in DERIVATIONS.items():
        if key in parameters:
            derived_from = _base_network(parameters.pop(key), own, (*line, name))
            build: Callable[..., Network] = partial(derive, derived_from)
            break
    else:
        build = FAMILIES[parameters.pop("family")]
    with within(place):
        network = build(**parameters)
    return refuse_impossible(network, place) if name in own else network


def refuse_circle(name: str, line: Sequence[str]) -> None:
    """Raise where a base would be derived from itself, by way of those in `line`.

    Raises:
        UserError: with the whole circle, or a line that is too long to be meant.
    """
    if name in line or len(line) > LONGEST_LINE:
        told = " -> ".join([*line, name])
        what = "be derived from itself" if name in line else f"stand at the end of more than {LONGEST_LINE} others"
        raise UserError(f"define: {told}: a base cannot {what}")


def checked_definitions(own: Any, place: str, taken: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Check a user's definitions, which stand at `place`; names that are `taken`, or built in, cannot be defined anew.

    The paper's numbers stand beside a base of the paper's name: another network must not take it.

    Raises:
        UserError: which definition is not as it must be, and how.
    """
    checked(own, {"type": "object", "propertyNames": NAME, "additionalProperties": {"type": "object"}}, place)
    for name in own:
        if name in known_bases() or name in taken:
            where = "in fastscale/networks/bases.yaml already" if name in known_bases() else "under search too"
            raise UserError(f"{place}: {name!r} stands {where}; give your base another name")
    return {name: checked_definition(definition, f"{place}.{name}") for name, definition in own.items()}


def checked_definition(definition: Any, place: str) -> dict[str, Any]:
    """Check one definition: a family with its parameters, or another base and how this one is derived from it.

    Raises:
        UserError: an unknown family, a key that is unknown or missing, or a value out of range.
    """
    from fastscale.networks.scaling import parse_strategy  # which is built on networks

    keys = (*DERIVATIONS, "family")
    found: dict[str, Any] = checked(definition, {"type": "object"}, place)
    if (key := next((key for key in keys if key in found), None)) is None:
        families, derived = ", ".join(FAMILIES), ", ".join(DERIVATIONS)
        raise UserError(f"{place} has no family ({families}), nor a base that it is derived from ({derived})")
    head = {key: {"type": "string"} if key in DERIVATIONS else {"enum": list(FAMILIES)}}
    checked(definition, {"type": "object", "properties": head}, place)
    schema = described(DERIVATIONS[key], skip=1) if key in DERIVATIONS else described(FAMILIES[found[key]])
    schema |= {"properties": head | schema["properties"], "required": [key, *schema["required"]]}
    found = checked(definition, schema, place)
    if "strategy" in found:
        with within(f"{place}.strategy"):
            parse_strategy(found["strategy"])
    return found


def described_network(description: Any, place: str) -> Network:
    """Build the network of a whole description, as networks records hold them and `Network.to_dict` gives them.

    Raises:
        UserError: a key that is unknown or missing, a value out of range, or what cannot be built.
    """
    return refuse_impossible(Network.from_dict(checked(description, described(Network), place)), place)


def grown(base: Network, strategy: str, s: float) -> Network:
    """Scale a base by a strategy, within what a device could hold.

    Raises:
        UserError: an unknown strategy, or a scale that is too small or too large.
    """
    from fastscale.networks.scaling import (  # built on networks, as this data's reader is
        LARGEST_SCALE,
        parse_strategy,
        scale,
    )

    if not 1 / LARGEST_SCALE <= s <= LARGEST_SCALE:
        allowed = f"a number from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:,.0f}"
        raise UserError(f"scale {s:g}: allowed is {allowed}, 1 being the base")
    return refuse_impossible(scale(base, parse_strategy(strategy), s), f"scale {s:g} by {strategy}")


def unknown_base(name: str, own: Collection[str]) -> str:
    """Say that a base is unknown: which ones are close, and where all are."""
    folded = _folded(name)
    names = {_folded(known): known for known in (*known_bases(), *own) if ">" in name or ">" not in known}
    close = [names[one] for one in get_close_matches(folded, names, n=3, cutoff=0.5)]
    hint = f"did you mean {close[0]}? " if close else ""
    others = f"close to it are {' and '.join(close[1:])} too; " if close[1:] else ""
    return (
        f"unknown base {name!r}: {hint}{others}fastscale/networks/bases.yaml has all that are built in, and one of "
        "your own goes into the sweep's configuration under define: (--define on the command line)"
    )


def _folded(name: str) -> str:
    """A name as others write it, too: efficientnet_b0 is EN-B0."""
    return re.sub("[^a-z0-9>]", "", name.lower()).replace("efficientnet", "en")


def multiply(base: Network, *, width: float, depth: float, resolution: int) -> Network:
    """EfficientNet's own way to make a larger one: widths times `width` to multiples of 8, depths times `depth`, up."""
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
    """The same network with depthwise convolutions: group width 1 in every stage (Figure 10)."""
    return replace(base, stages=tuple(replace(stage, group_width=1) for stage in base.stages))


def scaled(base: Network, *, strategy: str, factor: float) -> Network:
    """A base that is itself a scaled network, such as RegNetY-4GF->16GF."""
    return grown(base, strategy, factor)


# What a base may be derived by: the key that names the other base, and the function that takes the keys beside it.
DERIVATIONS: Mapping[str, Callable[..., Network]] = {"multiply": multiply, "depthwise": depthwise, "scale": scaled}

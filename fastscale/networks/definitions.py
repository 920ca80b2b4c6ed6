"""What the definition of a base may say, and the description of a network: read off the code that takes it."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from fastscale.errors import UserError
from fastscale.networks.network import BLOCKS, Network, is_consistent

FROM_ZERO = ("wa", "head", "head_width", "se_ratio")  # 0 says that there is none; all others are above it
ODD = ("kernel", "kernels")  # an even one gives an output that its shortcut does not fit
LARGEST = 1_000_000  # of any one number: more is a slip, and would take all memory before it is told

# What no device could train: terabytes of weights, or of one image's activations, or minutes for an image.
MOST = {"params": 10**12, "acts": 10**12, "blocks": 10**5}


def described(build: Callable[..., Any], skip: int = 0) -> dict[str, Any]:
    """Describe the keywords of a function, or the fields of a dataclass, by their annotations, as a JSON schema.

    The first `skip` arguments are left out: they are not the user's.
    """
    hints, takes = get_type_hints(build), list(inspect.signature(build).parameters.values())[skip:]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {one.name: _schema(one.name, hints[one.name]) for one in takes},
        "required": [one.name for one in takes if one.default is one.empty],
    }


def _schema(name: str, annotation: Any) -> dict[str, Any]:
    """The schema of one value, by its name and annotation."""
    if name == "block":
        return {"enum": list(BLOCKS)}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return described(annotation)
    if get_origin(annotation) is Literal:
        return {"enum": list(get_args(annotation))}
    if get_origin(annotation) in (Sequence, tuple):
        return {"type": "array", "minItems": 1, "items": _schema(name, get_args(annotation)[0])}
    if annotation in (int, float):
        low = (
            {"minimum": int(name not in FROM_ZERO)}
            if annotation is int or name in FROM_ZERO
            else {"exclusiveMinimum": 0}
        )
        odd = {"not": {"multipleOf": 2}} if name in ODD else {}
        return {"type": "integer" if annotation is int else "number", **low, "maximum": LARGEST, **odd}
    if annotation is bool:
        return {"type": "boolean"}
    return {"type": "string", "pattern": r"^[A-Za-z]+\Z", "form": "a word"} if name == "family" else {"type": "string"}


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
    found = {**count(network)._asdict(), "blocks": sum(network.depths)}
    if beyond := next((what for what, most in MOST.items() if found[what] > most), None):
        raise UserError(f"{place}: {found[beyond]:.3g} {beyond} are more than any device holds ({MOST[beyond]:.0e})")
    return network

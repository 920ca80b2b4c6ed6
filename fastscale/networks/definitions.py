"""What the definition of a base may say, and the description of a network: forms of the code that takes them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import Field, create_model

from fastscale.errors import UserError, within
from fastscale.networks.derivations import DERIVATIONS
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import BLOCKS, Network
from fastscale.validation.checks import checked, filled
from fastscale.validation.forms import ODD, Flag, Number, Sparse, text

FROM_ZERO = ("wa", "head", "head_width", "se_ratio")  # 0 says that there is none; all others are above it
UNEVEN = ("kernel", "kernels")  # an even one gives an output that its shortcut does not fit
LARGEST = 1_000_000  # of any one number: more is a slip, and would take all memory before it is told

Name = Annotated[  # what file names, wildcards, and the tables' and figures' markup would take for something else
    str,
    text(
        r"(?![-\s])[^{}/\\$|<`\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}(?<!\s)",
        "text of 1 to 100 characters but { } / \\ $ | < ` and line breaks, that begins with no dash",
    ),
]


@cache
def form(build: Callable[..., Any], skip: int = 0, **head: Any) -> type[Sparse]:
    """Return the form of a function's keywords, or a dataclass's fields, by their annotations, behind those of `head`.

    The first `skip` arguments are left out: they are not the user's.
    """
    hints, takes = get_type_hints(build), list(inspect.signature(build).parameters.values())[skip:]
    keys: dict[str, Any] = {key: (type_, ...) for key, type_ in head.items()}
    for key in takes:
        keys[key.name] = (_type(key.name, hints[key.name]), ... if key.default is key.empty else key.default)
    return create_model(build.__name__, __base__=Sparse, **keys)


def _type(name: str, annotation: Any) -> Any:
    """Return the type of one value, by its name and annotation."""
    if name == "block":
        return Literal[tuple(BLOCKS)]
    if name == "family":
        return Annotated[str, text("[A-Za-z]+", "a word")]
    if isinstance(annotation, type) and is_dataclass(annotation):
        return form(annotation)
    if get_origin(annotation) in (Sequence, tuple):
        return Annotated[tuple[_type(name, get_args(annotation)[0]), ...], Field(min_length=1)]  # type: ignore[misc]
    if annotation in (int, float):
        low = {"low": int(name not in FROM_ZERO)} if annotation is int or name in FROM_ZERO else {"above": 0}
        number = Annotated[annotation, Number(high=LARGEST, **low)]
        return Annotated[number, ODD] if name in UNEVEN else number
    return Flag if annotation is bool else annotation


@cache
def forms() -> dict[str, type[Sparse]]:
    """Return the form of each kind of definition, by its family or by the key of the base that it is derived from."""
    families = {name: form(build, family=Literal[name]) for name, build in FAMILIES.items()}
    return {**families, **{key: form(derive, skip=1, **{key: str}) for key, derive in DERIVATIONS.items()}}


def refuse_names(defined: Any, place: str) -> None:
    """Raise where definitions are no mapping, or have a name that no base can have.

    Raises:
        UserError: the name, and what is allowed.
    """
    checked(defined, dict[Name, dict[str, Any]], place)


def checked_definition(definition: Any, place: str) -> dict[str, Any]:
    """Check one definition: a family with its parameters, or another base and how this one is derived from it.

    Raises:
        UserError: an unknown family, a key that is unknown or missing, or a value out of range.
    """
    from fastscale.networks.scaling import parse_strategy  # which is built on networks

    checked(definition, dict[str, Any], place)
    kind = next((key for key in DERIVATIONS if key in definition), None)
    if kind is None:
        if "family" not in definition:
            families, derived = ", ".join(FAMILIES), ", ".join(DERIVATIONS)
            raise UserError(f"{place} has no family ({families}), nor a base that it is derived from ({derived})")
        kind = checked(definition["family"], Literal[tuple(FAMILIES)], f"{place}.family")
    parameters = filled(definition, forms()[kind], place)
    if "strategy" in parameters:
        with within(f"{place}.strategy"):
            parse_strategy(parameters["strategy"])
    return parameters


def checked_description(description: Any, place: str) -> dict[str, Any]:
    """Check the description of a whole network, as `Network.to_dict` gives it.

    Raises:
        UserError: a key that is unknown or missing, or a value out of range.
    """
    return filled(description, form(Network), place)

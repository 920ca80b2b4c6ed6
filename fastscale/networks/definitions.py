"""Forms of a base's definition and of a network's description, derived from the code that takes them."""

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

FROM_ZERO = ("wa", "head", "head_width", "se_ratio")  # 0: no such layer, or (wa) no growth; others are above 0
UNEVEN = ("kernel", "kernels")  # the output of an even kernel would not have the size of its shortcut
LARGEST = 1_000_000  # of each number: more is a slip, and would fill the memory before the mistake could be reported

Name = Annotated[  # without characters that mean something in file names, wildcards, or markup of tables and figures
    str,
    text(
        r"(?![-\s])[^{}/\\$|<`\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}(?<!\s)",
        "text of 1 to 100 characters but { } / \\ $ | < ` and line breaks, that begins with no dash",
    ),
]


@cache
def form(build: Callable[..., Any], skip: int = 0, **head: Any) -> type[Sparse]:
    """Return a form with the fields of `head`, then those of a function's keywords or a dataclass, by annotation.

    The first `skip` arguments of a function are left out: users do not give them.
    """
    hints, takes = get_type_hints(build), list(inspect.signature(build).parameters.values())[skip:]
    keys: dict[str, Any] = {key: (type_, ...) for key, type_ in head.items()}
    for key in takes:
        keys[key.name] = (_type(key.name, hints[key.name]), ... if key.default is key.empty else key.default)
    return create_model(build.__name__, __base__=Sparse, **keys)


def _type(name: str, annotation: Any) -> Any:
    """Return the type of a field, by its name and annotation."""
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
    """Return the form of each kind of definition, by its family or by the key that names the base to derive from."""
    families = {name: form(build, family=Literal[name]) for name, build in FAMILIES.items()}
    return {**families, **{key: form(derive, skip=1, **{key: str}) for key, derive in DERIVATIONS.items()}}


def refuse_names(defined: Any, place: str) -> None:
    """Raise if the definitions are no mapping of names to mappings, or a name cannot be a base's.

    Raises:
        UserError: the sentence says which name or definition is wrong, and what is allowed.
    """
    checked(defined, dict[Name, dict[str, Any]], place)


def checked_definition(definition: Any, place: str) -> dict[str, Any]:
    """Check a definition: a family with its parameters, or another base and how the new base is derived from it.

    Raises:
        UserError: the family is unknown, a key is unknown or missing, or a value is out of range.
    """
    from fastscale.networks.scaling import parse_strategy  # imported late, because it imports this package

    checked(definition, dict[str, Any], place)
    kind = next((key for key in DERIVATIONS if key in definition), None)
    if kind is None:
        if "family" not in definition:
            families, derived = ", ".join(FAMILIES), ", ".join(DERIVATIONS)
            raise UserError(
                f"{place} has no family ({families}), nor a base that it is derived from ({derived}); give one of them"
            )
        kind = checked(definition["family"], Literal[tuple(FAMILIES)], f"{place}.family")
    parameters = filled(definition, forms()[kind], place)
    if "strategy" in parameters:
        with within(f"{place}.strategy"):
            parse_strategy(parameters["strategy"])
    return parameters


def checked_description(description: Any, place: str) -> dict[str, Any]:
    """Check the description of a whole network, as `Network.to_dict` returns it.

    Raises:
        UserError: a key is unknown or missing, or a value is out of range.
    """
    return filled(description, form(Network), place)

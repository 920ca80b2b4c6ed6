"""Base networks by name: the built-in ones of bases.yaml (the paper's, and tiny ones), and those that users define."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, partial
from importlib.resources import files
from typing import Any

import yaml

from fastscale.errors import UserError, within
from fastscale.networks.derivations import DERIVATIONS, refuse_impossible
from fastscale.networks.families import FAMILIES
from fastscale.networks.network import Network

Definitions = Mapping[str, Mapping[str, Any]]

LONGEST_LINE = 20  # of bases, each derived from the next


@cache
def known_bases() -> Mapping[str, Mapping[str, Any]]:
    """Return the definition of each built-in base (bases.yaml), by name."""
    text = files("fastscale.networks").joinpath("bases.yaml").read_text()
    bases: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return bases


def base_network(name: str, defined: Definitions | None = None) -> Network:
    """Build the base network `name` from a user's definitions, `defined`, or from the built-in ones.

    Raises:
        UserError: the name or the family is unknown, the family does not take the parameters, the base is derived from
            itself, or no device could hold the base.
    """
    return _base_network(name, defined or {}, ())


def _base_network(name: str, defined: Definitions, line: tuple[str, ...]) -> Network:
    """Build a base; `line` names the bases that are derived from it, to find circles."""
    refuse_circle(name, line)
    if name not in defined and name not in known_bases():
        raise UserError(f"define.{line[-1]}: {unknown_base(name, defined)}" if line else unknown_base(name, defined))
    place = f"define.{name}"
    parameters = _parameters(defined[name], place) if name in defined else dict(known_bases()[name])
    for key, derive in DERIVATIONS.items():
        if key in parameters:
            derived_from = _base_network(parameters.pop(key), defined, (*line, name))
            build: Callable[..., Network] = partial(derive, derived_from)
            break
    else:
        build = FAMILIES[parameters.pop("family")]
    with within(place):
        network = build(**parameters)
    return refuse_impossible(network, place) if name in defined else network


def refuse_circle(name: str, line: Sequence[str]) -> None:
    """Raise if `name` is in `line`, the chain of bases that are derived from it, each from the next.

    Raises:
        UserError: there is a circle, which the sentence shows, or the chain is too long.
    """
    if name in line or len(line) > LONGEST_LINE:
        circle = " -> ".join([*line, name])
        what = "be derived from itself" if name in line else f"stand at the end of more than {LONGEST_LINE} others"
        raise UserError(f"define: {circle}: a base cannot {what}")


def checked_definitions(defined: Any, place: str, taken: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Check a user's definitions, which stand at `place`; names that are built in, or in `taken`, are refused.

    The paper's names stay reserved, because the paper's numbers are shown beside them.

    Raises:
        UserError: a definition is wrong; the sentence says which, and how.
    """
    if defined == {}:
        return {}
    from fastscale.networks import definitions

    definitions.refuse_names(defined, place)
    for name in defined:
        if name in known_bases() or name in taken:
            where = "in fastscale/networks/bases.yaml already" if name in known_bases() else "under search too"
            raise UserError(f"{place}: {name!r} stands {where}; give your base another name")
    return {name: definitions.checked_definition(definition, f"{place}.{name}") for name, definition in defined.items()}


def _parameters(definition: Any, place: str) -> dict[str, Any]:
    """Check a user's definition; pydantic is imported only for this, because its import is slow."""
    from fastscale.networks.definitions import checked_definition

    return checked_definition(definition, place)


def described_network(description: Any, place: str) -> Network:
    """Build the network of a whole description, as `Network.to_dict` returns it and networks records hold it.

    Raises:
        UserError: a key is unknown or missing, a value is out of range, or the network cannot be built.
    """
    from fastscale.networks import definitions

    return refuse_impossible(Network.from_dict(definitions.checked_description(description, place)), place)


def unknown_base(name: str, defined: Collection[str]) -> str:
    """Write the sentence for an unknown base: similar names, and the file that lists all names."""
    folded = _folded(name)
    names = {_folded(known): known for known in (*known_bases(), *defined) if ">" in name or ">" not in known}
    close = [names[match] for match in get_close_matches(folded, names, n=3, cutoff=0.5)]
    hint = f"did you mean {close[0]}? " if close else ""
    others = f"close to it are {' and '.join(close[1:])} too; " if close[1:] else ""
    return (
        f"unknown base {name!r}: {hint}{others}fastscale/networks/bases.yaml has all that are built in, and one of "
        "your own goes into the sweep's configuration under define: (--define on the command line)"
    )


def _folded(name: str) -> str:
    """Reduce a name to a form that does not depend on its spelling: efficientnet_b0 equals EN-B0."""
    return re.sub("[^a-z0-9>]", "", name.lower()).replace("efficientnet", "en")

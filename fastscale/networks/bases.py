"""Base networks by name: the paper's and the tiny ones from bases.yaml, and a user's own."""

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

LONGEST_LINE = 20  # bases, each derived from the next


@cache
def known_bases() -> Mapping[str, Mapping[str, Any]]:
    """Read the parameters of every built-in base, by name (bases.yaml)."""
    text = files("fastscale.networks").joinpath("bases.yaml").read_text()
    bases: Mapping[str, Mapping[str, Any]] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return bases


def base_network(name: str, defined: Definitions | None = None) -> Network:
    """Build the base network of that name, from a user's definitions, `defined`, or the built-in ones.

    Raises:
        UserError: an unknown name, an unknown family, parameters that the family does not take, a base that is derived
            from itself, or one that no device could hold.
    """
    return _base_network(name, defined or {}, ())


def _base_network(name: str, defined: Definitions, line: tuple[str, ...]) -> Network:
    """Build a base; `line` has the names of the bases that led to it, each derived from the next."""
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
    """Raise where a base would be derived from itself, by way of the bases in `line`.

    Raises:
        UserError: with the whole circle, or a line that is too long to be meant.
    """
    if name in line or len(line) > LONGEST_LINE:
        circle = " -> ".join([*line, name])
        what = "be derived from itself" if name in line else f"stand at the end of more than {LONGEST_LINE} others"
        raise UserError(f"define: {circle}: a base cannot {what}")


def checked_definitions(defined: Any, place: str, taken: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Check a user's definitions, which stand at `place`; names that are `taken`, or built in, cannot be defined anew.

    The paper's numbers stand beside a base of the paper's name: another network must not take it.

    Raises:
        UserError: which definition is not as it must be, and how.
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
    """Check a user's definition; what checks is imported where there is one, as it takes longer than all else."""
    from fastscale.networks.definitions import checked_definition

    return checked_definition(definition, place)


def described_network(description: Any, place: str) -> Network:
    """Build the network of a whole description, as networks records hold them and `Network.to_dict` gives them.

    Raises:
        UserError: a key that is unknown or missing, a value out of range, or what cannot be built.
    """
    from fastscale.networks import definitions

    return refuse_impossible(Network.from_dict(definitions.checked_description(description, place)), place)


def unknown_base(name: str, defined: Collection[str]) -> str:
    """Return the sentence for an unknown base: which names are close to its name, and where all names stand."""
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
    """Return a name without what others write differently: efficientnet_b0 and EN-B0 are the same."""
    return re.sub("[^a-z0-9>]", "", name.lower()).replace("efficientnet", "en")

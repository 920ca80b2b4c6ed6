"""The expansion of a sweep's configuration: selections, points, distinct networks, and where networks come from."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any

from fastscale.errors import within
from fastscale.networks import Definitions, Network, grown
from fastscale.networks.scaling import parse_strategy
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.schema import selections
from fastscale.sweep.search import Candidate, Search
from fastscale.sweep.selection import Bases, Curve, Point, Selection, points

FIXED = "fixed"  # the source of networks that are known without a search


@dataclass(frozen=True)
class Expansion:
    """What a configuration expands to; make one with `expand`.

    `searches` are named by the base that each one finds, `selections` by the artefact that shows them, or "grid", in
    the order of the configuration. `points` holds every point once, in the order in which they are asked for;
    `networks` the distinct networks of all points, by id: each one is counted, timed and trained once. `sources` says
    where each network comes from, by its id: the search that it rests on, or FIXED.
    """

    bases: Bases
    searches: Mapping[str, Search]
    selections: Mapping[str, tuple[Selection, ...]]
    points: tuple[Point, ...]
    networks: Mapping[str, Network]
    sources: Mapping[str, str]

    @property
    def everything(self) -> tuple[Selection, ...]:
        """List all that the grid and the artefacts ask for, in the order of the configuration."""
        return tuple(chain.from_iterable(self.selections.values()))

    @property
    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """Draw the candidates of each search.

        Raises:
            UserError: too few networks of a search's space lie in its regime.
        """
        return {name: _drawn(search, self.bases.classes) for name, search in self.searches.items()}

    @property
    def trained(self) -> dict[str, Network]:
        """List all networks that may be trained, by id: candidates of searches, and those of all points."""
        candidates = (candidate.network for drawn in self.candidates.values() for candidate in drawn)
        return {network.id: network for network in candidates} | {**self.networks}

    def refuse_impossible(self) -> None:
        """Draw the searches and build each base of the user's own, though no point has asked for it yet.

        Raises:
            UserError: a search without enough candidates, or a definition that cannot be built.
        """
        for search in self.searches.values():
            _drawn(search, self.bases.classes)
        for name in self.bases.own:
            if not self.bases.is_unknown(name):
                self.bases.network(name)


@cache
def _drawn(search: Search, classes: int) -> tuple[Candidate, ...]:
    """Draw a search's candidates, once in a process: a large space takes a second."""
    return search.candidates(classes)


def expand(config: Mapping[str, Any], found: Definitions) -> Expansion:
    """Expand a sweep's whole configuration; `found` are the bases that its searches found so far.

    Raises:
        UserError: an unknown base or strategy, a search or a scale that cannot be, and where in the configuration.
    """
    searches = {name: Search.from_dict(name, search) for name, search in config["search"].items()}
    bases = Bases(config["define"], frozenset(searches), found, config["data"]["classes"])
    builder = _Builder(bases)
    chosen: dict[str, list[Selection]] = {}
    for name, place, entry in selections(config):
        curves = tuple(builder.curves(entry, config["scales"], place))
        asked = (*entry.get("bases", []), *entry.get("networks", []))
        selection = Selection(curves, _schedules(config, name, entry), entry.get("label", ""), asked)
        chosen.setdefault(name, []).append(selection)
    every = points(chain.from_iterable(chosen.values()))
    return Expansion(
        bases,
        searches,
        {name: tuple(listed) for name, listed in chosen.items()},
        every,
        {point.network.id: point.network for point in every},
        _sources(bases, every),
    )


class _Builder:
    """Builds each base and each scaled network once, however many artefacts ask for it."""

    def __init__(self, bases: Bases):
        self.bases = bases
        self.base = cache(bases.network)
        self.scaled = cache(self._scaled)

    def curves(self, entry: Mapping[str, Any], scales: Iterable[float], place: str) -> Iterator[Curve]:
        """Yield the curves that a selection of the configuration asks for; what waits for a search is left out.

        Raises:
            UserError: an unknown base or strategy, or a scale that cannot be, and where in the configuration.
        """
        part = "bases" if "bases" in entry else "networks"
        with within(f"{place}.{part}"):
            known = (name for name in entry[part] if not self.bases.is_unknown(name))
            bases = {name: Point(name, "base", 1, self.base(name)) for name in known}
        if "curve" in entry:
            if bases:
                yield Curve(next(iter(bases)), entry["curve"], tuple(bases.values()))
        elif part == "networks":
            yield from (Curve(name, "base", (point,)) for name, point in bases.items())
        else:
            larger = [s for s in entry.get("scales", scales) if s != 1]
            with within(f"{place}.strategies"):
                strategies = [parse_strategy(name).name for name in entry["strategies"]]
            for base in bases.values():
                for strategy in strategies:
                    with within(f"{place}: {base.base}"):
                        networks = [self.scaled(base.base, strategy, s) for s in larger]
                    scaled = map(partial(Point, base.base, strategy), larger, networks)
                    yield Curve(base.base, strategy, (base, *scaled))

    def _scaled(self, base: str, strategy: str, s: float) -> Network:
        return grown(self.base(base), strategy, s)


def _schedules(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """List the schedules by which a selection's networks are trained: what shows no error needs no training."""
    if not config["train"]:
        return ()
    shows_errors = name == "grid" or "error" in ARTEFACTS[name].reads
    return tuple(entry.get("schedules", [config["schedule"]] if shows_errors else []))


def _sources(bases: Bases, every: Iterable[Point]) -> dict[str, str]:
    """Find the source of each network, by its id; of a network with two sources, the one that needs no search."""
    searches = {base: bases.search_of(base) or FIXED for base in dict.fromkeys(point.base for point in every)}
    sources: dict[str, str] = {}
    for point in every:
        if sources.get(point.network.id) != FIXED:
            sources[point.network.id] = searches[point.base]
    return sources

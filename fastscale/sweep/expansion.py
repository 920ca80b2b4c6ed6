"""The expansion of a sweep's configuration: selections, points, distinct networks, and the sources of networks."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from typing import Any

from fastscale.cost.budget import scale_to_flops
from fastscale.errors import within
from fastscale.networks import Definitions, Network, grown
from fastscale.networks.scaling import parse_strategy
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.schema import selections
from fastscale.sweep.search import Candidate, Search
from fastscale.sweep.selection import Bases, Curve, Point, Selection, points

FIXED = "fixed"  # the source of networks that need no search


@dataclass(frozen=True)
class Expansion:
    """The points and networks of a configuration; `expand` makes them.

    `searches` are keyed by the base that each search finds; `selections` by the artefact that shows them, or "grid", in
    the order of the configuration. `points` holds every point once, in that order. `networks` holds the distinct
    networks of all points, by id: each network is counted, timed and trained once. `sources` gives the source of each
    network, by its id: the name of the search that it depends on, or FIXED.
    """

    bases: Bases
    searches: Mapping[str, Search]
    selections: Mapping[str, tuple[Selection, ...]]
    points: tuple[Point, ...]
    networks: Mapping[str, Network]
    sources: Mapping[str, str]

    @property
    def everything(self) -> tuple[Selection, ...]:
        """List the selections of the grid and of all artefacts, in the order of the configuration."""
        return tuple(chain.from_iterable(self.selections.values()))

    @property
    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """Draw the candidates of each search.

        Raises:
            UserError: too few networks of a search's space lie within its range of flops.
        """
        return {name: _drawn(search, self.bases.classes) for name, search in self.searches.items()}

    @property
    def trained(self) -> dict[str, Network]:
        """Return all networks that may be trained, by id: candidates of searches, and the networks of all points."""
        candidates = (candidate.network for drawn in self.candidates.values() for candidate in drawn)
        return {network.id: network for network in candidates} | {**self.networks}

    def refuse_impossible(self) -> None:
        """Check that each search has its candidates, and that each base under `define` can be built, used or not.

        Raises:
            UserError: a search has too few candidates, or a base cannot be built.
        """
        for search in self.searches.values():
            _drawn(search, self.bases.classes)
        for name in self.bases.defined:
            if not self.bases.awaits_search(name):
                self.bases.network(name)


@cache
def _drawn(search: Search, classes: int) -> tuple[Candidate, ...]:
    """Draw a search's candidates, once per process: a large space takes a second."""
    return search.candidates(classes)


def expand(config: Mapping[str, Any], outcomes: Definitions) -> Expansion:
    """Expand a sweep's checked configuration; `outcomes` are the bases that its searches have found so far.

    Raises:
        UserError: a base or strategy is unknown, or a search or scale impossible; with the place in the configuration.
    """
    searches = {name: Search.from_dict(name, search) for name, search in config["search"].items()}
    bases = Bases(config["define"], frozenset(searches), outcomes, config["data"]["classes"])
    builder = _Builder(bases)
    selections_of: dict[str, list[Selection]] = {}
    for name, place, entry in selections(config):
        curves = tuple(builder.curves(entry, config["scales"], place))
        requested = (*entry.get("bases", []), *entry.get("networks", []))
        budgets = tuple(entry.get("flops", ()))
        selection = Selection(curves, _schedules(config, name, entry), entry.get("label", ""), requested, budgets)
        selections_of.setdefault(name, []).append(selection)
    all_points = points(chain.from_iterable(selections_of.values()))
    return Expansion(
        bases,
        searches,
        {name: tuple(listed) for name, listed in selections_of.items()},
        all_points,
        {point.network.id: point.network for point in all_points},
        _sources(bases, all_points),
    )


class _Builder:
    """A builder of curves that makes each base and each scaled network once, however many artefacts show it."""

    def __init__(self, bases: Bases):
        self.bases = bases
        self.base = cache(bases.network)
        self.scaled = cache(self._scaled)
        self.nearest = cache(self._nearest)

    def curves(self, entry: Mapping[str, Any], scales: Iterable[float], place: str) -> Iterator[Curve]:
        """Yield the curves of a selection in the configuration, without the bases that await a search.

        Raises:
            UserError: a base or strategy is unknown, or a scale impossible; with the place in the configuration.
        """
        part = "bases" if "bases" in entry else "networks"
        with within(f"{place}.{part}"):
            names = (name for name in entry[part] if not self.bases.awaits_search(name))
            bases = {name: Point(name, "base", 1, self.base(name)) for name in names}
        if "curve" in entry:
            if bases:
                yield Curve(next(iter(bases)), entry["curve"], tuple(bases.values()))
        elif part == "networks":
            yield from (Curve(name, "base", (point,)) for name, point in bases.items())
        else:
            with within(f"{place}.strategies"):
                strategies = [parse_strategy(name).name for name in entry["strategies"]]
            for base in bases.values():
                for strategy in strategies:
                    with within(f"{place}: {base.base}"):
                        budgets = [self.nearest(base.base, strategy, flops) for flops in entry.get("flops", ())]
                        larger = [s for s in budgets or entry.get("scales", scales) if s != 1]
                        networks = [self.scaled(base.base, strategy, s) for s in larger]
                    scaled = map(partial(Point, base.base, strategy), larger, networks)
                    yield Curve(base.base, strategy, tuple(dict.fromkeys((base, *scaled))))

    def _scaled(self, base: str, strategy: str, s: float) -> Network:
        """Scale the base of that name."""
        return grown(self.base(base), strategy, s)

    def _nearest(self, base: str, strategy: str, flops: float) -> float:
        """Find the scale that brings the base of that name nearest to these flops."""
        return scale_to_flops(self.base(base), parse_strategy(strategy), flops)


def _schedules(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """List the schedules by which a selection's networks are trained; an artefact that shows no error needs none."""
    if not config["train"]:
        return ()
    shows_errors = name == "grid" or "error" in ARTEFACTS[name].reads
    return tuple(entry.get("schedules", [config["schedule"]] if shows_errors else []))


def _sources(bases: Bases, all_points: Iterable[Point]) -> dict[str, str]:
    """Return the source of each network, by its id: FIXED for a network that any point has without a search."""
    source_of = {base: bases.search_of(base) or FIXED for base in dict.fromkeys(point.base for point in all_points)}
    sources: dict[str, str] = {}
    for point in all_points:
        if sources.get(point.network.id) != FIXED:
            sources[point.network.id] = source_of[point.base]
    return sources

"""Selections: curves of points that an artefact shows together, and the bases where curves start. No torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastscale.networks import DERIVATIONS, Definitions, Network, base_network, known_bases, refuse_circle


@dataclass(frozen=True)
class Point:
    """One point of a curve: a base, scaled by a strategy to a nominal scale. At scale 1 the strategy is `base`."""

    base: str
    strategy: str
    scale: float
    network: Network = field(compare=False)


@dataclass(frozen=True)
class Curve:
    """The points of one base by one strategy, the base first; a row of a table of networks is a curve of one point."""

    base: str
    strategy: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Selection:
    """Curves that are shown together, the schedules by which their networks are trained, and their label.

    `requested` are the names of all bases or networks in the configuration; `curves` lacks those that await a search.
    `budgets` are the flops that the configuration asks for in place of scales.
    """

    curves: tuple[Curve, ...]
    schedules: tuple[str, ...]
    label: str
    requested: tuple[str, ...]
    budgets: tuple[float, ...] = ()


@dataclass(frozen=True)
class Bases:
    """The bases of a sweep: built-in ones, those `defined` in its configuration, and the `outcomes` of its searches.

    `searches` are the names of all searches, `outcomes` the bases that searches have found so far.
    """

    defined: Definitions
    searches: frozenset[str]
    outcomes: Definitions
    classes: int

    @property
    def definitions(self) -> dict[str, Mapping[str, Any]]:
        """Return the definitions of all bases that are not built in."""
        return {**self.defined, **self.outcomes}

    def search_of(self, base: str) -> str | None:
        """Return the name of the search that finds this base or a base that it is derived from; None without a search.

        Raises:
            UserError: the base is derived from itself.
        """
        line: list[str] = []
        while base not in self.searches:
            refuse_circle(base, line)
            line.append(base)
            definition = self.defined.get(base, known_bases().get(base, {}))
            if not (parents := [definition[key] for key in DERIVATIONS if key in definition]):
                return None
            base = parents[0]
        return base

    def awaits_search(self, base: str) -> bool:
        """Tell whether this base depends on a search that has found no base yet."""
        search = self.search_of(base)
        return search is not None and search not in self.outcomes

    def network(self, base: str) -> Network:
        """Build the base of that name, with the classes of the data.

        Raises:
            UserError: the name is unknown, or no device could hold the network.
        """
        if base not in self._built:
            self._built[base] = base_network(base, self.definitions).with_classes(self.classes)
        return self._built[base]

    @cached_property
    def _built(self) -> dict[str, Network]:
        """Keep the bases that were built: pages ask for each many times."""
        return {}


def points(selections: Iterable[Selection]) -> tuple[Point, ...]:
    """List the distinct points of selections, in order."""
    return tuple(dict.fromkeys(p for selection in selections for curve in selection.curves for p in curve.points))


def trainings(selections: Iterable[Selection]) -> list[tuple[str, str]]:
    """List the trainings that selections need: pairs of a network's id and a schedule, each once, in order."""
    pairs = (
        (point.network.id, schedule)
        for selection in selections
        for schedule in selection.schedules
        for point in points([selection])
    )
    return list(dict.fromkeys(pairs))

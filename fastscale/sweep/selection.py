"""Selections: curves of points that are asked for together, and the bases from which they start. No torch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastscale.networks import DERIVATIONS, Definitions, Network, base_network, known_bases, refuse_circle


@dataclass(frozen=True)
class Point:
    """A base, scaled by a strategy to a nominal scale: one point of a curve. At scale 1 the strategy is `base`."""

    base: str
    strategy: str
    scale: float
    network: Network = field(compare=False)


@dataclass(frozen=True)
class Curve:
    """Points of one base under one strategy, the base first; a table's row is a curve of one point."""

    base: str
    strategy: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Selection:
    """Curves that are asked for together, the schedules by which their networks are trained, and their label.

    `asked` are the names of all bases or networks that the configuration asks for: curves of a base that waits for a
    search are left out.
    """

    curves: tuple[Curve, ...]
    schedules: tuple[str, ...]
    label: str
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Bases:
    """The bases that a sweep knows: those built in, its `own`, and those that its `searches` `found` so far."""

    own: Definitions
    searches: frozenset[str]
    found: Definitions
    classes: int

    @property
    def definitions(self) -> dict[str, Mapping[str, Any]]:
        """Return the definitions of all bases that are not built in."""
        return {**self.own, **self.found}

    def search_of(self, base: str) -> str | None:
        """Return the search that finds this base or the one that it is derived from; None if there is none.

        Raises:
            UserError: the base is derived from itself.
        """
        line: list[str] = []
        while base not in self.searches:
            refuse_circle(base, line)
            line.append(base)
            definition = self.own.get(base, known_bases().get(base, {}))
            if not (derived := [definition[key] for key in DERIVATIONS if key in definition]):
                return None
            base = derived[0]
        return base

    def is_unknown(self, base: str) -> bool:
        """Tell whether this base waits for a search."""
        search = self.search_of(base)
        return search is not None and search not in self.found

    def network(self, base: str) -> Network:
        """Build the base of that name, with the classes of the data.

        Raises:
            UserError: an unknown name, or a definition that no device could hold.
        """
        return base_network(base, self.definitions).with_classes(self.classes)


def points(selections: Iterable[Selection]) -> tuple[Point, ...]:
    """List the distinct points of selections, in order."""
    return tuple(dict.fromkeys(p for chosen in selections for curve in chosen.curves for p in curve.points))


def trainings(selections: Iterable[Selection]) -> list[tuple[str, str]]:
    """List the networks that selections have trained, by id, with the schedule: each pair once, in order."""
    asked = ((p.network.id, s) for chosen in selections for s in chosen.schedules for p in points([chosen]))
    return list(dict.fromkeys(asked))

"""Selections: what a sweep's configuration asks for, expanded to curves of points. Pure Python, no torch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fastscale.errors import within
from fastscale.networks import DERIVATIONS, Definitions, Network, base_network, grown, known_bases, refuse_circle
from fastscale.networks.scaling import parse_strategy


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
    """Curves that are asked for together, the schedules by which their networks are trained, and their label."""

    curves: tuple[Curve, ...]
    schedules: tuple[str, ...]
    label: str = ""


@dataclass(frozen=True)
class Bases:
    """The bases that a sweep knows: those built in, its `own`, and those that its `searches` `found` so far."""

    own: Definitions
    searches: frozenset[str]
    found: Definitions
    classes: int

    @cached_property
    def definitions(self) -> dict[str, Mapping[str, Any]]:
        """All that are not built in."""
        return {**self.own, **self.found}

    def search_of(self, base: str) -> str | None:
        """The search that finds this base or the one that it is derived from.

        Raises:
            UserError: it is derived from itself.
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
        """Whether this base waits for a search."""
        search = self.search_of(base)
        return search is not None and search not in self.found

    def network(self, base: str) -> Network:
        """The base of that name, with the classes of the data, built once however many artefacts ask for it."""
        if base not in self._bases:
            self._bases[base] = base_network(base, self.definitions).with_classes(self.classes)
        return self._bases[base]

    def curves(self, entry: Mapping[str, Any], scales: Iterable[float], place: str) -> Iterator[Curve]:
        """The curves that a selection of the configuration asks for; what waits for a search is left out.

        Raises:
            UserError: an unknown base or strategy, or a scale that cannot be, and where in the configuration.
        """
        with within(f"{place}.{'bases' if 'bases' in entry else 'networks'}"):
            known = (name for name in names(entry) if not self.is_unknown(name))
            bases = {name: Point(name, "base", 1, self.network(name)) for name in known}
        if "curve" in entry:
            if bases:
                yield Curve(next(iter(bases)), entry["curve"], tuple(bases.values()))
        elif "networks" in entry:
            yield from (Curve(name, "base", (point,)) for name, point in bases.items())
        else:
            larger = [s for s in entry.get("scales", scales) if s != 1]
            with within(f"{place}.strategies"):
                strategies = [parse_strategy(name).name for name in entry["strategies"]]
            for base in bases.values():
                for strategy in strategies:
                    with within(f"{place}: {base.base}"):
                        scaled = tuple(Point(base.base, strategy, s, self._scaled(base, strategy, s)) for s in larger)
                    yield Curve(base.base, strategy, (base, *scaled))

    def _scaled(self, base: Point, strategy: str, s: float) -> Network:
        """The scaled network, built once however many artefacts ask for it."""
        key = base.base, strategy, s
        if key not in self._built:
            self._built[key] = grown(base.network, strategy, s)
        return self._built[key]

    @cached_property
    def _bases(self) -> dict[str, Network]:
        return {}

    @cached_property
    def _built(self) -> dict[tuple[str, str, float], Network]:
        return {}


def names(entry: Mapping[str, Any]) -> list[str]:
    """The bases or networks that a selection of the configuration names."""
    return [*entry.get("bases", []), *entry.get("networks", [])]


def points(selections: Iterable[Selection]) -> tuple[Point, ...]:
    """The distinct points of selections, in order."""
    return tuple(dict.fromkeys(p for chosen in selections for curve in chosen.curves for p in curve.points))

"""What records say of a claim: cases, each one number of a base, a curve or a pair of networks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from fastscale.analysis.results.fits import fit_line
from fastscale.analysis.results.published import published
from fastscale.analysis.results.results import Results, Row
from fastscale.networks import Network, known_bases
from fastscale.networks.derivations import depthwise
from fastscale.sweep.selection import Point
from fastscale.sweep.sweep import Sweep

Key = tuple[str, str]  # of a curve: its base and its strategy

OPTIMISED = ("RegNetY-4GF", "RegNetZ-4GF")  # what the paper's own random searches found (Table 7)
REGIME = 1.5  # networks whose flops differ by less than this factor are of one flop regime (our choice)
NOISE = 2  # standard errors below which a difference is called noise


class Reading(NamedTuple):
    """A measured or counted value, its standard error over trials (None: unknown), and of how many trials or steps."""

    value: float
    se: float | None = None
    n: int = 1


@dataclass(frozen=True)
class Case:
    """A number by which a claim is judged, and how people read it; None where it was asked for but not measured.

    `n` is of how many trials, timed steps or points (`of`) it was measured.
    """

    name: str
    number: float | None = None
    words: str = ""
    n: int = 0
    of: str = ""

    @property
    def value(self) -> float:
        """The number of what was measured."""
        if self.number is None:
            raise ValueError(f"{self.name} was not measured")
        return self.number


def label(row: Row) -> str:
    """A network by its base, and how it was scaled."""
    point = row.point
    return point.base if row.is_base else f"{point.base} {point.strategy} {point.scale:g}"


def combine(*terms: tuple[float, Reading]) -> Reading:
    """The weighted sum of independent readings, with its standard error."""
    ses = [weight * reading.se for weight, reading in terms if reading.se is not None]
    se = math.hypot(*ses) if len(ses) == len(terms) else None
    return Reading(sum(weight * r.value for weight, r in terms), se, min(r.n for _, r in terms))


def compare(name: str, y: str, a: Reading | None, b: Reading | None) -> Case:
    """`a` against `b`: the difference of errors in percentage points, or the ratio of all else."""
    if a is None or b is None:
        return Case(name)
    if y == "error":
        return difference(name, combine((1, a), (-1, b)))
    ratio = a.value / b.value
    of = "timed steps" if y in ("time", "memory") else ""
    return Case(name, ratio, f"{ratio:.2f}", min(a.n, b.n), of)


def difference(name: str, gap: Reading, words: str = "") -> Case:
    """A difference of errors; one that is less than twice its standard error is called noise."""
    words = words or f"{gap.value:+.2f}"
    if gap.se is not None:
        words += f" ± {gap.se:.2f}" + (" (within noise)" if abs(gap.value) < NOISE * gap.se else "")
    return Case(name, gap.value, words, gap.n, "trials")


def interpolate(track: Sequence[tuple[float, Reading]], x: float, linear: bool) -> Reading:
    """The reading at `x`, which lies within the track: on a line over log x, of the value or of its logarithm."""
    (x0, a), (x1, b) = next(pair for pair in pairwise(track) if x <= pair[1][0])
    share = math.log(x / x0) / math.log(x1 / x0) if x1 > x0 else 0.0
    between = combine((1 - share, a), (share, b))
    return between if linear else between._replace(value=a.value ** (1 - share) * b.value**share)


@dataclass(frozen=True)
class Evidence:
    """The results of a sweep, asked by claims."""

    sweep: Sweep
    results: Results

    def reading(self, row: Row, y: str, schedule: str = "") -> Reading | None:
        """What was measured of a row: `y` is error, time, memory, or a count."""
        if y == "error":
            error = row.errors.get(schedule or self.results.schedule)
            se = None if error is None or error.std is None else error.std / error.n**0.5
            return Reading(error.mean, se, error.n) if error else None
        if y == "time":
            return Reading(row.time.median, n=row.time.n) if row.time else None
        if y == "memory":
            return Reading(row.time.memory, n=row.time.n) if row.time and row.time.memory else None
        return Reading(getattr(row, y))

    # Curves.

    def curves(self, y: str = "time") -> list[Key]:
        """The curves that the sweep asks `y` of: base and strategy of each."""
        return list(self._points(y))

    def rows(self, key: Key, y: str = "time") -> list[Row]:
        """The rows of a curve of which the sweep asks `y`: not all that is timed is trained."""
        return [self.results.row(point) for point in self._points(y).get(key, ())]

    def levels(self, y: str, keys: Sequence[Key], x: str = "flops", share: float = 1) -> list[Reading] | None:
        """Each curve's `y` at one `x`: the largest that all reach (`share` 1), the smallest (0), or between, by log x.

        None where a curve has a gap, or none is common.
        """
        tracks = []
        for key in keys:
            pairs = [(self.reading(row, x), self.reading(row, y)) for row in self.rows(key, y)]
            track = sorted((a.value, b) for a, b in pairs if a and b)
            if len(track) < max(2, len(pairs)):
                return None
            tracks.append(track)
        low, high = max(track[0][0] for track in tracks), min(track[-1][0] for track in tracks)
        if low > high:
            return None
        at = min(max(low ** (1 - share) * high**share, low), high)  # rounding may leave the common range
        return [interpolate(track, at, linear=y == "error") for track in tracks]

    def pair(self, y: str, a: Key, b: Key, name: str, x: str = "flops") -> Case:
        """Curve `a` against curve `b`, at the largest common `x`."""
        return compare(name, y, *(self.levels(y, [a, b], x) or (None, None)))

    def correlation(self, name: str, rows: Sequence[Row], measure: str) -> Case:
        """Pearson's r of a measure and epoch time; each row must be timed."""
        times = [row.time.median for row in rows if row.time]
        line = fit_line([getattr(row, measure) for row in rows], times) if len(times) == len(rows) else None
        return Case(name, line.r, f"{line.r:.3f}", line.n, "points") if line else Case(name)

    def scaled(self) -> dict[str, list[Row]]:
        """The distinct networks of each base that two strategies or more scale."""
        found = {}
        for base in self.networks:
            keys = [key for key in self.curves() if key[0] == base]
            if len(keys) > 1:
                found[base] = list({row.point.network.id: row for key in keys for row in self.rows(key)}.values())
        return found

    # Bases and networks.

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The bases of curves."""
        return {
            base: rows[0].point.network for base, strategy in self.curves() if (rows := self.rows((base, strategy)))
        }

    @cached_property
    def models(self) -> dict[str, str]:
        """The smallest base of each family that dWr scales, as in Figure 8: no found ones, no RegNets with g = 1."""
        flops = {row.point.base: row.flops for row in self.results.rows if row.is_base}
        found: dict[str, str] = {}
        for base, strategy in self.curves():
            family = self.networks[base].family
            if strategy == "dWr" and not self.is_optimised(base) and not self._is_depthwise_regnet(base):
                found[family] = min(base, found.get(family, base), key=flops.__getitem__)
        return found

    @cached_property
    def twins(self) -> list[tuple[str, str]]:
        """Each base with group convolutions, and the one that is the same with depthwise ones."""
        bare = {depthwise(network): base for base, network in self.networks.items() if _groups(network) != {1}}
        return [(bare[network], base) for base, network in self.networks.items() if network in bare]

    def is_optimised(self, base: str) -> bool:
        """Whether a random search has found this base: one of the sweep's, or one of the paper's."""
        if self.sweep.bases.is_unknown(base):
            return True
        paper = published(self.sweep.bases.network(base))
        return self.sweep.bases.search_of(base) == base or (paper is not None and paper.name in OPTIMISED)

    def origin(self, point: Point) -> str | None:
        """The base from which dWr has scaled a network; None for what is no such network."""
        if point.scale != 1:
            return point.base if point.strategy == "dWr" else None
        definition = {**known_bases(), **self.sweep.bases.definitions}.get(point.base, {})
        return definition.get("scale") if definition.get("strategy") == "dWr" else None

    def named(self, name: str) -> Row | None:
        """The row of a network of the paper."""
        rows = ((row, published(row.point.network)) for row in self.results.rows)
        return next((row for row, paper in rows if paper and paper.name == name), None)

    @cached_property
    def distinct(self) -> list[Row]:
        """One row for each network."""
        return list({row.point.network.id: row for row in self.results.rows}.values())

    def of_same_regime(self, rows: Iterable[Row], like: Row, family: str) -> Row | None:
        """The row of that family whose flops are nearest to those of `like`, if in its regime."""
        near = [(abs(math.log(row.flops / like.flops)), row) for row in rows if row.point.network.family == family]
        distance, row = min(near, key=lambda item: item[0], default=(math.inf, None))
        return row if distance < math.log(REGIME) else None

    def longest(self, *rows: Row) -> str:
        """The longest schedule by which all of these were trained."""
        known = self.sweep.config["schedules"]
        return max((s for s in known if all(s in row.errors for row in rows)), key=known.__getitem__, default="")

    def _points(self, y: str) -> dict[Key, list[Point]]:
        return self._by_curve[y == "error"]

    @cached_property
    def _by_curve(self) -> dict[bool, dict[Key, list[Point]]]:
        """The points of each curve that strategies or names make: all of them, and those that are trained."""
        found: dict[bool, dict[Key, list[Point]]] = {False: {}, True: {}}
        for chosen in self.results.selections:
            for curve in chosen.curves:
                if curve.strategy == "base":
                    continue
                for trained in {False, self.results.schedule in chosen.schedules}:
                    points = found[trained].setdefault((curve.base, curve.strategy), [])
                    points.extend(point for point in curve.points if point not in points)
        return found

    def _is_depthwise_regnet(self, base: str) -> bool:
        return self.networks[base].family.startswith("RegNet") and _groups(self.networks[base]) == {1}


def _groups(network: Network) -> set[int]:
    return set(network.group_widths)

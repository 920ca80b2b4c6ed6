"""Evidence for claims: the results of a sweep as readings on curves, and the comparisons of two readings as cases."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from fastscale.analysis.results.estimate import Interval, Reading, combine
from fastscale.analysis.results.measurements import Measurements
from fastscale.analysis.results.published import published
from fastscale.analysis.results.results import Results, Row
from fastscale.networks import Network, known_bases
from fastscale.networks.derivations import depthwise
from fastscale.sweep.selection import Point
from fastscale.sweep.sweep import Sweep

CurveKey = tuple[str, str]  # a curve's base and strategy

PAPERS = ("dwr", "dw", "dWr", "w")  # the strategies over which the paper correlates counts with runtime (Figure 2)
OPTIMISED = ("RegNetY-4GF", "RegNetZ-4GF")  # the bases that the paper's own random searches found (Table 7)
SAME = 1e-9  # weights of measurements below which two readings are of the same network
REGIME = 1.5  # networks whose flops differ by less than this factor are of one flop regime (our choice)


class Scale(NamedTuple):
    """How a quantity becomes a value that can be averaged, and how such a value is written for people."""

    read: Callable[[float], float]
    write: Callable[[float], str]


SCALES = {
    "points": Scale(float, "{:+.2f}".format),  # a difference of errors in percent
    "ratio": Scale(math.log, lambda value: f"{math.exp(value):.2f}"),
    "fisher": Scale(math.atanh, lambda value: f"{math.tanh(value):.3f}"),  # a correlation
    "plain": Scale(float, "{:.3f}".format),
}


@dataclass(frozen=True)
class Case:
    """One comparison on which a claim is judged: a reading, or an interval where a comparison is no sum of readings.

    A case has neither where it was not measured; `gap` says why. Cases of one `group` are pooled, and each group is
    judged by itself. `limit` is the case's own bound, where the claim's bound follows from the sweep. `scale` is
    that of the value, one of `SCALES`. `unit` is what n counts, and `words` replace the value in lists.
    """

    name: str
    estimate: Reading | Interval | None = None
    group: str = ""
    limit: float | None = None
    scale: str = "plain"
    n: int = 1
    unit: str = ""
    words: str = ""
    gap: str = "not measured"

    @property
    def is_measured(self) -> bool:
        """Say whether there is an estimate."""
        return self.estimate is not None


def compare(name: str, y: str, a: Reading | None, b: Reading | None, *, group: str = "") -> Case:
    """Compare `a` with `b`: errors by a - b in percentage points, any other quantity by the logarithm of a / b."""
    if a is None or b is None:
        return Case(name, group=group)
    return judged(name, y, combine((1, a), (-1, b)), group)


def judged(name: str, y: str, reading: Reading, group: str = "", limit: float | None = None, words: str = "") -> Case:
    """Make a case of a reading of `y`, with the unit of its n."""
    if reading.parts and all(abs(part.weight) < SAME for part in reading.parts.values()):
        return Case(name, group=group, gap="the same network")
    unit = {"error": "trials", "time": "rounds"}.get(y, "")
    return Case(name, reading, group, limit, "points" if y == "error" else "ratio", reading.n, unit, words)


def interpolate(track: Sequence[tuple[float, Reading]], x: float) -> Reading:
    """Read a curve at `x`, a logarithm, on the line between its two neighbours.

    `track` holds the x and the reading of each network, by increasing x; `x` lies between the first and the last x.
    """
    (x0, a), (x1, b) = next(pair for pair in pairwise(track) if x <= pair[1][0])
    share = (x - x0) / (x1 - x0) if x1 > x0 else 0.0
    return combine((1 - share, a), (share, b))


@dataclass(frozen=True)
class Evidence:
    """The results of a sweep, with the readings and comparisons on which claims rest.

    A quantity `x` or `y` is one of `Measurements`.
    """

    sweep: Sweep
    results: Results

    def reading(self, row: Row, y: str, schedule: str = "") -> Reading | None:
        """Return the measured or counted `y` of a row; None where the row lacks it.

        Errors are by `schedule`, by default the schedule of the figures.
        """
        return self._measurements.reading(row, y, schedule)

    @cached_property
    def _measurements(self) -> Measurements:
        return Measurements(self.results)

    # Curves.

    def curves(self, y: str = "time") -> list[CurveKey]:
        """List the curves for which the sweep measures `y`, each by its base and strategy."""
        return list(self._points(y))

    def rows(self, key: CurveKey, y: str = "time") -> list[Row]:
        """List the rows of a curve for which the sweep measures `y`: not every timed network is trained."""
        return [self.results.row(point) for point in self._points(y).get(key, ())]

    def levels(self, y: str, keys: Sequence[CurveKey], x: str = "flops", share: float = 1) -> list[Reading] | str:
        """Read each curve's `y` at one common `x`, or say why not: a curve has a gap, or no `x` is common to all.

        The common `x` is the largest that all curves reach if `share` is 1, the smallest if it is 0; for a `share`
        in between it is interpolated by log x.
        """
        tracks = []
        for key in keys:
            pairs = [(self.reading(row, x), self.reading(row, y)) for row in self.rows(key, y)]
            track = sorted(((a.value, b) for a, b in pairs if a and b), key=lambda pair: pair[0])
            if len(track) < max(2, len(pairs)):
                return Case.gap
            tracks.append(track)
        low, high = max(track[0][0] for track in tracks), min(track[-1][0] for track in tracks)
        if low > high:
            return f"no common {x}"
        at = min(max(low + share * (high - low), low), high)  # rounding may leave the common range
        return [interpolate(track, at) for track in tracks]

    def pair(self, y: str, a: CurveKey, b: CurveKey, name: str, x: str = "flops", group: str = "") -> Case:
        """Compare curve `a` with curve `b` at the largest common `x`."""
        levels = self.levels(y, [a, b], x)
        if isinstance(levels, str):
            return Case(name, group=group, gap=levels)
        return compare(name, y, *levels, group=group)

    def scaled(self, strategies: Sequence[str] = PAPERS) -> dict[str, list[Row]]:
        """List the distinct networks of each base that has the curves of two of these strategies or more.

        No strategies stand for all that the sweep has.
        """
        networks = {}
        for base in self.bases:
            keys = [key for key in self.curves() if key[0] == base and (not strategies or key[1] in strategies)]
            if len(keys) > 1:
                networks[base] = list({row.point.network.id: row for key in keys for row in self.rows(key)}.values())
        return networks

    # Bases and networks.

    @cached_property
    def bases(self) -> dict[str, Network]:
        """Map the name of each base that has a curve to its network."""
        return {
            base: rows[0].point.network for base, strategy in self.curves() if (rows := self.rows((base, strategy)))
        }

    @cached_property
    def family_bases(self) -> dict[str, str]:
        """Map each family that dWr scales to its smallest base, as in Figure 8.

        Bases that a search has found and RegNets with group width 1 do not count.
        """
        flops = {row.point.base: row.flops for row in self.results.rows if row.is_base}
        smallest: dict[str, str] = {}
        for base, strategy in self.curves():
            family = self.bases[base].family
            if strategy == "dWr" and not self.is_optimised(base) and not self._is_depthwise_regnet(base):
                smallest[family] = min(base, smallest.get(family, base), key=flops.__getitem__)
        return smallest

    @cached_property
    def twins(self) -> list[tuple[str, str]]:
        """List the pairs of bases that differ in their convolutions alone: first with group convs, then depthwise."""
        grouped = {depthwise(network): base for base, network in self.bases.items() if _group_widths(network) != {1}}
        return [(grouped[network], base) for base, network in self.bases.items() if network in grouped]

    def is_optimised(self, base: str) -> bool:
        """Say whether a random search has found this base: a search of the sweep or of the paper."""
        if self.sweep.bases.awaits_search(base):
            return True
        paper = published(self.sweep.bases.network(base))
        return self.sweep.bases.search_of(base) == base or (paper is not None and paper.name in OPTIMISED)

    def origin(self, point: Point) -> str | None:
        """Return the base from which dWr has scaled a point's network, None where dWr has not scaled it."""
        if point.scale != 1:
            return point.base if point.strategy == "dWr" else None
        definition = {**known_bases(), **self.sweep.bases.definitions}.get(point.base, {})
        return definition.get("scale") if definition.get("strategy") == "dWr" else None

    def named(self, name: str) -> Row | None:
        """Find the row of the network to which the paper gives this name, None where the sweep lacks it."""
        rows = ((row, published(row.point.network)) for row in self.results.rows)
        return next((row for row, paper in rows if paper and paper.name == name), None)

    @cached_property
    def distinct(self) -> list[Row]:
        """List one row per network."""
        return list({row.point.network.id: row for row in self.results.rows}.values())

    def of_same_regime(self, rows: Iterable[Row], like: Row, family: str) -> Row | None:
        """Find the row of a family whose flops are nearest to those of `like`, None where all are of other regimes."""
        near = [(abs(math.log(row.flops / like.flops)), row) for row in rows if row.point.network.family == family]
        distance, row = min(near, key=lambda item: item[0], default=(math.inf, None))
        return row if distance < math.log(REGIME) else None

    def longest(self, *rows: Row) -> str:
        """Name the longest schedule by which all of these rows were trained; "" where there is none."""
        epochs = self.sweep.config["schedules"]
        shared = (schedule for schedule in epochs if all(schedule in row.errors for row in rows))
        return max(shared, key=epochs.__getitem__, default="")

    def _points(self, y: str) -> dict[CurveKey, list[Point]]:
        return self._by_curve[y == "error"]

    @cached_property
    def _by_curve(self) -> dict[bool, dict[CurveKey, list[Point]]]:
        """Map each curve of the configuration to its points: all points under False, only trained points under True."""
        by_curve: dict[bool, dict[CurveKey, list[Point]]] = {False: {}, True: {}}
        for selection in self.results.selections:
            for curve in selection.curves:
                if curve.strategy == "base":
                    continue
                for is_trained in {False, self.results.schedule in selection.schedules}:
                    points = by_curve[is_trained].setdefault((curve.base, curve.strategy), [])
                    points.extend(point for point in curve.points if point not in points)
        return by_curve

    def _is_depthwise_regnet(self, base: str) -> bool:
        return self.bases[base].family.startswith("RegNet") and _group_widths(self.bases[base]) == {1}


def _group_widths(network: Network) -> set[int]:
    return set(network.group_widths)

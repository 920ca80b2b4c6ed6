"""Evidence for claims: the results of a sweep as readings on curves, and the comparisons of two readings as cases."""

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

CurveKey = tuple[str, str]  # a curve's base and strategy

OPTIMISED = ("RegNetY-4GF", "RegNetZ-4GF")  # the bases that the paper's own random searches found (Table 7)
REGIME = 1.5  # networks whose flops differ by less than this factor are of one flop regime (our choice)
NOISE = 2  # standard errors below which a difference is called noise


class Reading(NamedTuple):
    """A measured or counted value, its standard error over trials (None: unknown), and its number n of trials or steps.

    Counted values have n = 1 and no standard error.
    """

    value: float
    se: float | None = None
    n: int = 1


@dataclass(frozen=True)
class Case:
    """A number by which a claim is judged, and its words for people; the number is None where records are missing.

    The number was measured on `n` trials, timed steps or points; `unit` says on which of these.
    """

    name: str
    number: float | None = None
    words: str = ""
    n: int = 0
    unit: str = ""

    @property
    def value(self) -> float:
        """Return the number of a measured case.

        Raises:
            ValueError: the case was not measured.
        """
        if self.number is None:
            raise ValueError(f"{self.name} was not measured")
        return self.number


def combine(*terms: tuple[float, Reading]) -> Reading:
    """Add independent readings, each times its weight; the sum has no standard error if one of them has none."""
    ses = [weight * reading.se for weight, reading in terms if reading.se is not None]
    se = math.hypot(*ses) if len(ses) == len(terms) else None
    value = sum(weight * reading.value for weight, reading in terms)
    return Reading(value, se, min(reading.n for _, reading in terms))


def compare(name: str, y: str, a: Reading | None, b: Reading | None) -> Case:
    """Compare `a` with `b`: by a - b in percentage points if `y` is "error", by a / b for any other quantity.

    The case has no number where a reading is None.
    """
    if a is None or b is None:
        return Case(name)
    if y == "error":
        return difference(name, combine((1, a), (-1, b)))
    ratio = a.value / b.value
    unit = "timed steps" if y in ("time", "memory") else ""
    return Case(name, ratio, f"{ratio:.2f}", min(a.n, b.n), unit)


def difference(name: str, gap: Reading, words: str = "") -> Case:
    """Make a case from `gap`, a difference of errors in percentage points; below `NOISE` standard errors it is noise.

    `words` are by default the difference itself; its standard error (SE) is added to them.
    """
    words = words or f"{gap.value:+.2f}"
    if gap.se is not None:
        noise = ", within noise" if abs(gap.value) < NOISE * gap.se else ""
        words += f" (SE {gap.se:.2f}{noise})"
    return Case(name, gap.value, words, gap.n, "trials")


def interpolate(track: Sequence[tuple[float, Reading]], x: float, linear: bool) -> Reading:
    """Read a curve at `x`: interpolate over log x the values (`linear`), or else their logarithms, of its neighbours.

    `track` holds the x and the reading of each network, by increasing x; `x` lies between the first and the last x.
    """
    (x0, a), (x1, b) = next(pair for pair in pairwise(track) if x <= pair[1][0])
    share = math.log(x / x0) / math.log(x1 / x0) if x1 > x0 else 0.0
    between = combine((1 - share, a), (share, b))
    return between if linear else between._replace(value=a.value ** (1 - share) * b.value**share)


@dataclass(frozen=True)
class Evidence:
    """The results of a sweep, with the readings and comparisons on which claims rest.

    A quantity `x` or `y` is "error" (top-1, in percent), "time" (seconds per epoch), "memory" (peak bytes per image)
    or a count: "flops", "params", "acts".
    """

    sweep: Sweep
    results: Results

    def reading(self, row: Row, y: str, schedule: str = "") -> Reading | None:
        """Return the measured or counted `y` of a row; None where the row lacks it.

        Errors are by `schedule`, by default the schedule of the figures.
        """
        if y == "error":
            error = row.errors.get(schedule or self.results.schedule)
            se = None if error is None or error.std is None else error.std / error.n**0.5
            return Reading(error.mean, se, error.n) if error else None
        if y == "time":
            return Reading(row.time.seconds, n=row.time.n) if row.time else None
        if y == "memory":
            return Reading(row.time.memory, n=row.time.n) if row.time and row.time.memory else None
        return Reading(getattr(row, y))

    # Curves.

    def curves(self, y: str = "time") -> list[CurveKey]:
        """List the curves for which the sweep measures `y`, each by its base and strategy."""
        return list(self._points(y))

    def rows(self, key: CurveKey, y: str = "time") -> list[Row]:
        """List the rows of a curve for which the sweep measures `y`: not every timed network is trained."""
        return [self.results.row(point) for point in self._points(y).get(key, ())]

    def levels(self, y: str, keys: Sequence[CurveKey], x: str = "flops", share: float = 1) -> list[Reading] | None:
        """Read each curve's `y` at one common `x`; None where a curve has a gap or the curves have no `x` in common.

        The common `x` is the largest that all curves reach if `share` is 1, the smallest if it is 0; for a `share`
        in between it is interpolated by log x.
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

    def pair(self, y: str, a: CurveKey, b: CurveKey, name: str, x: str = "flops") -> Case:
        """Compare curve `a` with curve `b` at the largest common `x`."""
        return compare(name, y, *(self.levels(y, [a, b], x) or (None, None)))

    def correlation(self, name: str, rows: Sequence[Row], quantity: str) -> Case:
        """Correlate a quantity with epoch time (Pearson); the case has no number unless every row is timed."""
        times = [row.time.seconds for row in rows if row.time]
        line = fit_line([getattr(row, quantity) for row in rows], times) if len(times) == len(rows) else None
        return Case(name, line.correlation, f"{line.correlation:.3f}", line.n, "points") if line else Case(name)

    def scaled(self) -> dict[str, list[Row]]:
        """List the distinct networks of each base that has the curves of two strategies or more."""
        networks = {}
        for base in self.bases:
            keys = [key for key in self.curves() if key[0] == base]
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

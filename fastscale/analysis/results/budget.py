"""What each strategy gives for a budget of flops: error, time, memory and inference, and which differences are real.

Strategies are compared at equal realised flops. Where a strategy has no network of exactly these flops, it is read
between its two nearest networks, over log flops: errors on a straight line, times and memory as a power law.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from fastscale.analysis.results.estimate import Reading, combine, interval
from fastscale.analysis.results.measurements import Measurements, over_trials
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.selection import Point, trainings

# How far beyond its last network a strategy is read, on the same line: rounded sizes may miss a budget by as much.
REACH = 1.25

# How the error of a strategy differs from the lowest one. A difference on these images is beyond the spread of trials,
# but other validation images might not show it.
Difference = Literal["lowest", "real", "on these images", "within noise", "unknown"]
Front = Literal["yes", "perhaps", "no", "unknown"]


class Share(NamedTuple):
    """A network of a curve, and its weight in what is read from the curve."""

    row: Row
    weight: float


def read_at(rows: Sequence[Row], flops: float) -> tuple[Share, ...]:
    """Find the networks of a curve from which to read at `flops`; the weights add up to 1.

    `rows` are by increasing flops. Empty where the curve does not reach these flops, within `REACH`.
    """
    distinct = list({row.flops: row for row in rows}.values())
    if not distinct or not distinct[0].flops / REACH <= flops <= distinct[-1].flops * REACH:
        return ()
    if len(distinct) == 1 or distinct[0].flops == flops:
        return (Share(distinct[0], 1.0),)
    pairs = list(pairwise(distinct))
    low, high = next((pair for pair in pairs if flops <= pair[1].flops), pairs[-1])
    share = math.log(flops / low.flops) / math.log(high.flops / low.flops)
    return (Share(high, 1.0),) if share == 1 else (Share(low, 1 - share), Share(high, share))


@dataclass(frozen=True)
class Offer:
    """What a strategy gives for a budget, by the networks from which it is read.

    `timed` are the shares of its time, `trained` those of its error; they differ where not every network is trained.
    What was not measured, or not reached, is None.
    """

    strategy: str
    timed: tuple[Share, ...]
    trained: tuple[Share, ...]
    measurements: Measurements

    @cached_property
    def error(self) -> Reading | None:
        """Return the top-1 error in percent."""
        return self._read("error", self.trained)

    @cached_property
    def time(self) -> Reading | None:
        """Return the logarithm of the seconds per epoch."""
        return self._read("time", self.timed)

    @property
    def half_width(self) -> float | None:
        """Return half the width of the error's 95 % interval over trials; None where the spread is unknown."""
        half = interval(over_trials(self.error)).above if self.error else math.nan
        return None if math.isnan(half) else half

    @property
    def seconds(self) -> float | None:
        """Return the seconds per epoch: by the least of each network's rounds."""
        return math.exp(self.time.value) if self.time else None

    @property
    def seconds_interval(self) -> tuple[float, float] | None:
        """Return the ends of the 95 % interval of the seconds per epoch; None where times must not be compared."""
        if self.time is None or not can_compare_times(self.measurements.results):
            return None
        found = interval(self.time)
        return math.exp(found.low), math.exp(found.high)

    @property
    def memory(self) -> float | None:
        """Return the peak memory of a training step, in bytes per image of its batch."""
        reading = self._read("memory", self.timed)
        return math.exp(reading.value) if reading else None

    @property
    def inference(self) -> float | None:
        """Return the seconds of a forward pass, per image of its batch."""
        reading = self._read("inference", self.timed)
        return math.exp(reading.value) if reading else None

    def _read(self, quantity: str, shares: Sequence[Share]) -> Reading | None:
        known = [(share.weight, self.measurements.reading(share.row, quantity)) for share in shares]
        terms = [(weight, reading) for weight, reading in known if reading]
        return combine(*terms) if terms and len(terms) == len(known) else None


def can_compare_times(results: Results) -> bool:
    """Tell whether it is known how far times repeat, and they do."""
    return results.time_spread is not None and not results.noise.is_too_noisy


@dataclass(frozen=True)
class Budget:
    """A base, a number of flops, and what each strategy gives for them."""

    base: str
    flops: float
    offers: tuple[Offer, ...]
    results: Results

    @cached_property
    def judged(self) -> list[Offer]:
        """List the offers with an error, the lowest error first."""
        known = [(offer.error.value, i) for i, offer in enumerate(self.offers) if offer.error]
        return [self.offers[i] for _, i in sorted(known)]

    def difference(self, a: Offer, b: Offer) -> Difference:
        """Say how the error of `a` differs from that of `b`.

        All pairs of strategies at the budget may be compared: the level of each comparison is Bonferroni's.
        """
        if a.error is None or b.error is None:
            return "unknown"
        gap, tests = combine((1, a.error), (-1, b.error)), max(1, math.comb(len(self.judged), 2))
        of_trials, of_all = (interval(each, tests).above for each in (over_trials(gap), gap))
        if math.isnan(of_trials):
            return "unknown"
        if abs(gap.value) > of_all:
            return "real"
        return "on these images" if abs(gap.value) > of_trials else "within noise"

    def above_lowest(self, offer: Offer) -> float | None:
        """Return by how many points an offer's error is above the lowest one."""
        lowest = self.judged[0].error if self.judged else None
        return offer.error.value - lowest.value if offer.error and lowest else None

    def verdict(self, offer: Offer) -> Difference:
        """Say how the error of an offer differs from the lowest one."""
        if offer.error is None:
            return "unknown"
        return "lowest" if offer is self.judged[0] else self.difference(offer, self.judged[0])

    def same_as(self, offer: Offer) -> list[Offer]:
        """List the offers that are read from the same networks as one of them, this one among them."""
        return [other for other in self.offers if _ids(other.trained) == _ids(offer.trained)]

    def front(self, offer: Offer) -> Front:
        """Say whether an offer is on the Pareto front: no other has a lower error in less time.

        It is perhaps so where another has both, but neither beyond noise; unknown where times must not be compared.
        """
        if offer.error is None or offer.time is None or not can_compare_times(self.results):
            return "unknown"
        better = [other for other in self.judged if other is not offer and _dominates(other, offer)]
        if not better:
            return "yes"
        is_sure = any(self.difference(other, offer) == "real" or self._is_faster(other, offer) for other in better)
        return "no" if is_sure else "perhaps"

    def _is_faster(self, a: Offer, b: Offer) -> bool:
        """Tell whether `a` takes less time than `b`, beyond noise."""
        if a.time is None or b.time is None or not can_compare_times(self.results):
            return False
        return interval(combine((1, b.time), (-1, a.time))).low > 0

    @property
    def advised(self) -> Offer | None:
        """Return the fastest of the offers with the lowest error and those within noise of it."""
        kept = [offer for offer in self.judged if self.verdict(offer) in ("lowest", "within noise")]
        return min(kept, key=lambda offer: offer.seconds or math.inf, default=None)


@dataclass(frozen=True)
class Curves:
    """The curves of a sweep's results, read at any flops."""

    results: Results

    def budgets(self) -> list[Budget]:
        """List the budgets of each base that several strategies scale, by increasing flops.

        They are those that selections ask for (`flops`), or else, for each scale, the least flops that any strategy's
        network of that scale has: what all of them reach.
        """
        return [
            self.budget(base, flops)
            for base, curves in self._curves.items()
            if len(curves) > 1
            for flops in self._asked(base) or self._reached(base)
        ]

    def budget(self, base: str, flops: float, of_strategy: Mapping[str, float] | None = None) -> Budget:
        """Read each strategy of a base at `flops`, or at its own, where `of_strategy` says so."""
        at = dict.fromkeys(self._curves.get(base, ()), flops) if of_strategy is None else of_strategy
        offers = tuple(self.offer(base, strategy, each) for strategy, each in at.items())
        return Budget(base, flops, offers, self.results)

    def strategies(self, base: str) -> list[str]:
        """List the strategies that scale a base, without curves of networks that the configuration names."""
        curves = self._curves.get(base, {}).items()
        return [strategy for strategy, points in curves if any(point.strategy == strategy for point in points)]

    def offer(self, base: str, strategy: str, flops: float) -> Offer:
        """Read the curve of a base and a strategy at `flops`."""
        rows = self.results.select(base, strategy)
        trained = [row for row in rows if row.point.network.id in self._trained]
        return Offer(strategy, read_at(rows, flops), read_at(trained, flops), self.measurements)

    @cached_property
    def _curves(self) -> dict[str, dict[str, list[Point]]]:
        """Map each base and strategy to the scaled points."""
        points: dict[str, dict[str, list[Point]]] = {}
        for curve in self.results.curves:
            if curve.strategy != "base":
                points.setdefault(curve.base, {}).setdefault(curve.strategy, []).extend(curve.points[1:])
        return points

    def _asked(self, base: str) -> list[float]:
        """List the budgets that selections ask for with this base."""
        asked = (each for each in self.results.selections if any(curve.base == base for curve in each.curves))
        return sorted({flops for selection in asked for flops in selection.budgets})

    def _reached(self, base: str) -> list[float]:
        """List the least flops at each scale."""
        least: dict[float, float] = {}
        for point in (point for points in self._curves[base].values() for point in points):
            least[point.scale] = min(self.results.row(point).flops, least.get(point.scale, math.inf))
        return sorted({flops for scale, flops in least.items() if scale > 1})

    @cached_property
    def _trained(self) -> set[str]:
        """Return the ids of the networks that the sweep trains by the schedule of the figures."""
        pairs = trainings(self.results.selections)
        return {network for network, schedule in pairs if schedule == self.results.schedule}

    @cached_property
    def measurements(self) -> Measurements:
        """Return the measurements of the results."""
        return Measurements(self.results)


def _ids(shares: Sequence[Share]) -> list[tuple[str, float]]:
    return [(share.row.point.network.id, share.weight) for share in shares]


def _dominates(a: Offer, b: Offer) -> bool:
    """Tell whether `a` has neither a higher error nor a longer time than `b`, and one of them lower."""
    if a.error is None or b.error is None or a.time is None or b.time is None:
        return False
    pairs = [(each.error.value, each.time.value) for each in (a, b) if each.error and each.time]
    return pairs[0] != pairs[1] and all(x <= y for x, y in zip(*pairs, strict=True))

"""What each strategy gives for a budget of flops: error, time, memory and inference, and which differences are real.

Strategies are compared at equal realised flops. Where a strategy has no network of exactly these flops, it is read
between its two nearest networks, over log flops: errors on a straight line, times and memory as a power law.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Results, Row
from fastscale.analysis.results.uncertainty import (
    Spread,
    combined,
    half_width,
    pooled_spread,
    sampling_sd,
)
from fastscale.sweep.selection import Point, trainings

# How far beyond its last network a strategy is read, on the same line: rounded sizes may miss a budget by as much.
REACH = 1.25
DOUBT = 0.05  # probability that any difference at a budget is called real although there is none

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
class Measured:
    """What was measured in a sweep: errors, and seconds of a forward pass of one image, by the network's id.

    `spread` is that of trials, pooled over the sweep (None: no network has two trials), `time_spread` the relative one
    of times (None: unknown, or the device was too noisy to compare times); `images` are the validation images (None:
    nothing was trained).
    """

    errors: Mapping[str, Error]
    inferences: Mapping[str, float]
    spread: Spread | None
    time_spread: Spread | None
    images: int | None

    def trial_error(self, *terms: tuple[float, Sequence[Share]]) -> Spread | None:
        """Return the standard error, over trials, of a sum of errors; networks that they share count once."""
        weights = _weights(terms)
        if self.spread is None or not weights.keys() <= self.errors.keys():
            return None
        squares = math.fsum(weight**2 / self.errors[name].n for name, weight in weights.items())
        return Spread(self.spread.sd * math.sqrt(squares), self.spread.df)

    def time_error(self, *terms: tuple[float, Sequence[Share]]) -> Spread | None:
        """Return the standard error of a sum of times' logarithms: that of a ratio of times, relative to it."""
        if self.time_spread is None:
            return None
        squares = math.fsum(weight**2 for weight in _weights(terms).values())
        return Spread(self.time_spread.sd * math.sqrt(squares), self.time_spread.df)


def _weights(terms: Iterable[tuple[float, Sequence[Share]]]) -> dict[str, float]:
    """Add the weights of each network, by its id."""
    weights: dict[str, float] = {}
    for sign, shares in terms:
        for row, weight in shares:
            weights[row.point.network.id] = weights.get(row.point.network.id, 0) + sign * weight
    return weights


@dataclass(frozen=True)
class Offer:
    """What a strategy gives for a budget, by the networks from which it is read.

    `timed` are the shares of its time, `trained` those of its error; they differ where not every network is trained.
    What was not measured, or not reached, is None.
    """

    strategy: str
    timed: tuple[Share, ...]
    trained: tuple[Share, ...]
    measured: Measured

    @cached_property
    def error(self) -> float | None:
        """Return the top-1 error in percent."""
        known = [(weight, self.measured.errors.get(row.point.network.id)) for row, weight in self.trained]
        values = [weight * error.mean for weight, error in known if error]
        return math.fsum(values) if values and len(values) == len(known) else None

    @property
    def trials(self) -> int:
        """Return the least number of trials of its networks."""
        known = (self.measured.errors.get(row.point.network.id) for row, _ in self.trained)
        return min((error.n for error in known if error), default=0)

    @property
    def half_width(self) -> float | None:
        """Return half the width of the error's 95 % interval over trials; None where the spread is unknown."""
        trials = self.measured.trial_error((1, self.trained))
        return None if self.error is None or trials is None else half_width(*trials)

    @property
    def seconds(self) -> float | None:
        """Return the seconds per epoch: by the least of each network's rounds."""
        return self._power(lambda row: row.time.seconds if row.time else None)

    @property
    def seconds_interval(self) -> tuple[float, float] | None:
        """Return the ends of the 95 % interval of the seconds per epoch; None where their spread is unknown."""
        seconds, relative = self.seconds, self.measured.time_error((1, self.timed))
        if seconds is None or relative is None:
            return None
        factor = math.exp(half_width(*relative))
        return seconds / factor, seconds * factor

    @property
    def memory(self) -> float | None:
        """Return the peak memory of a training step, in bytes per image of its batch."""
        return self._power(lambda row: row.time.memory if row.time else None)

    @property
    def inference(self) -> float | None:
        """Return the seconds of a forward pass, per image of its batch."""
        return self._power(lambda row: self.measured.inferences.get(row.point.network.id))

    def _power(self, quantity: Callable[[Row], float | None]) -> float | None:
        known = [(weight, quantity(row)) for row, weight in self.timed]
        logs = [weight * math.log(value) for weight, value in known if value]
        return math.exp(math.fsum(logs)) if logs and len(logs) == len(known) else None


@dataclass(frozen=True)
class Budget:
    """A base, a number of flops, and what each strategy gives for them."""

    base: str
    flops: float
    offers: tuple[Offer, ...]
    measured: Measured

    @cached_property
    def judged(self) -> list[Offer]:
        """List the offers with an error, the lowest error first."""
        return sorted((offer for offer in self.offers if offer.error is not None), key=lambda offer: offer.error or 0)

    def difference(self, a: Offer, b: Offer) -> Difference:
        """Say how the error of `a` differs from that of `b`.

        All pairs of strategies at the budget may be compared: the level of each comparison is Bonferroni's.
        """
        trials, images = self.measured.trial_error((1, a.trained), (-1, b.trained)), self.measured.images
        if a.error is None or b.error is None or trials is None:
            return "unknown"
        level = 1 - DOUBT / max(1, math.comb(len(self.judged), 2))
        sampling = math.hypot(*(sampling_sd(error, images) for error in (a.error, b.error))) if images else 0.0
        gap = abs(a.error - b.error)
        if gap > half_width(*combined(trials, Spread(sampling, math.inf)), level):
            return "real"
        return "on these images" if gap > half_width(*trials, level) else "within noise"

    def verdict(self, offer: Offer) -> Difference:
        """Say how the error of an offer differs from the lowest one."""
        if offer.error is None:
            return "unknown"
        return "lowest" if offer is self.judged[0] else self.difference(offer, self.judged[0])

    def same_as(self, offer: Offer) -> list[Offer]:
        """List the offers that are read from the same networks as one of them, this one among them."""
        return [other for other in self.offers if _weights([(1, other.trained)]) == _weights([(1, offer.trained)])]

    def front(self, offer: Offer) -> Front:
        """Say whether an offer is on the Pareto front: no other has a lower error in less time.

        It is perhaps so where another has both, but neither beyond noise; unknown where times must not be compared.
        """
        if offer.error is None or offer.seconds is None or self.measured.time_spread is None:
            return "unknown"
        better = [other for other in self.judged if other is not offer and _dominates(other, offer)]
        if not better:
            return "yes"
        is_sure = any(self.difference(other, offer) == "real" or self._is_faster(other, offer) for other in better)
        return "no" if is_sure else "perhaps"

    def _is_faster(self, a: Offer, b: Offer) -> bool:
        """Tell whether `a` takes less time than `b`, beyond noise."""
        spread = self.measured.time_error((1, a.timed), (-1, b.timed))
        if a.seconds is None or b.seconds is None or spread is None:
            return False
        return math.log(b.seconds / a.seconds) > half_width(*spread)

    @property
    def advised(self) -> Offer | None:
        """Return the fastest of the offers with the lowest error and those within noise of it."""
        kept = [offer for offer in self.judged if self.verdict(offer) in ("lowest", "within noise")]
        return min(kept, key=lambda offer: offer.seconds or math.inf, default=None)


@dataclass(frozen=True)
class Readings:
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
        return Budget(base, flops, offers, self._measured)

    def strategies(self, base: str) -> list[str]:
        """List the strategies that scale a base, without curves of networks that the configuration names."""
        curves = self._curves.get(base, {}).items()
        return [strategy for strategy, points in curves if any(point.strategy == strategy for point in points)]

    def offer(self, base: str, strategy: str, flops: float) -> Offer:
        """Read the curve of a base and a strategy at `flops`."""
        rows = self.results.select(base, strategy)
        trained = [row for row in rows if row.point.network.id in self._trained]
        return Offer(strategy, read_at(rows, flops), read_at(trained, flops), self._measured)

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
    def _measured(self) -> Measured:
        timed = self.results.records["profile"]
        distinct = {row.point.network.id: row for row in self.results.rows}
        return Measured(
            {name: error for name, row in distinct.items() if (error := self.results.error(row))},
            {each["network"]: each["inference_seconds"]["least"] / each["batch"] for each in timed},
            pooled_spread(error for row in distinct.values() for error in row.errors.values()),
            None if self.results.noise.is_too_noisy else self.results.time_spread,
            self.results.val_images,
        )


def _dominates(a: Offer, b: Offer) -> bool:
    """Tell whether `a` has neither a higher error nor a longer time than `b`, and one of them lower."""
    if a.error is None or b.error is None or a.seconds is None or b.seconds is None:
        return False
    return a.error <= b.error and a.seconds <= b.seconds and (a.error, a.seconds) != (b.error, b.seconds)

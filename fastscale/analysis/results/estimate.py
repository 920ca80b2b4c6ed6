"""Estimates: measured quantities with an interval, and how several of them are pooled.

Errors are in percentage points. Times, memory and counts are natural logarithms, so that a difference is a ratio and a
line between two networks is a power law. A `Reading` remembers the measurements that it was made of: where two
differences share a network, their mean varies more than the mean of independent ones, and its standard error says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastscale.analysis.results.uncertainty import Spread, half_width

LEVEL = 0.95  # of intervals


class Part(NamedTuple):
    """The weight of one measurement in a reading, and that measurement's standard error with its degrees of freedom."""

    weight: float
    spread: Spread


@dataclass(frozen=True)
class Reading:
    """A value as a weighted sum of measurements; a value that was counted or printed has no parts.

    `parts` are by measurement: a name that two readings share stands for the same measurement. `n` is the least number
    of trials or rounds of a measurement.
    """

    value: float
    parts: Mapping[str, Part] = field(default_factory=dict)
    n: int = 1

    @property
    def spread(self) -> Spread:
        """Return the standard error of the value: nan where a measurement's is unknown, 0 where nothing was measured.

        Its degrees of freedom follow Welch and Satterthwaite. Parts of finite degrees of freedom count as one estimate,
        as a spread that is pooled over a sweep is the same for all of its networks.
        """
        variances = [((weight * spread.sd) ** 2, spread.df) for weight, spread in self.parts.values()]
        estimated = math.fsum(variance for variance, df in variances if df < math.inf)
        variance, df = math.fsum(variance for variance, _ in variances), min((df for _, df in variances), default=0.0)
        return Spread(math.sqrt(variance), df * (variance / estimated) ** 2 if estimated else math.inf)


@dataclass(frozen=True)
class Interval:
    """An estimate, and how far below and above it the true value may lie, at the level `LEVEL`.

    The distances are nan where the spread of a measurement is unknown; then nothing can be decided.
    """

    value: float
    below: float
    above: float

    @property
    def low(self) -> float:
        """Return the lower end."""
        return self.value - self.below

    @property
    def high(self) -> float:
        """Return the upper end."""
        return self.value + self.above


def level_of(tests: int) -> float:
    """Return the level of each of several intervals that are to cover their true values together (Bonferroni)."""
    return 1 - (1 - LEVEL) / tests


def combine(*terms: tuple[float, Reading]) -> Reading:
    """Add readings, each times its weight; measurements that they share count once, with the sum of their weights."""
    parts: dict[str, Part] = {}
    for weight, reading in terms:
        for name, part in reading.parts.items():
            before = parts[name].weight if name in parts else 0.0
            parts[name] = Part(before + weight * part.weight, part.spread)
    value = math.fsum(weight * reading.value for weight, reading in terms)
    return Reading(value, parts, min(reading.n for _, reading in terms))


def mean(readings: Sequence[Reading]) -> Reading:
    """Average readings."""
    return combine(*((1 / len(readings), reading) for reading in readings))


def interval(reading: Reading, tests: int = 1) -> Interval:
    """Give a reading its interval, by Student's t; wider where it is one of several `tests` (Bonferroni)."""
    half = half_width(*reading.spread, level=level_of(tests)) if reading.parts else 0.0
    return Interval(reading.value, half, half)


def pooled(intervals: Sequence[Interval]) -> Interval:
    """Average independent estimates of which only the intervals are known: the distances add as their squares."""
    n = len(intervals)
    below, above = (
        math.hypot(*ends) / n for ends in zip(*((each.below, each.above) for each in intervals), strict=True)
    )
    return Interval(math.fsum(each.value for each in intervals) / n, below, above)

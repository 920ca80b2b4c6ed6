"""How far measured errors may be off: the spread between trials, the sampling of validation images, Student's t.

A network's error varies for two reasons. Trials differ by their seeds: two or three trials say little about their own
spread, so the spread is pooled over all networks of a sweep, as if it were one for all. And validation images are a
sample: other images would give another error, however many trials are averaged, as all trials share the images.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from fastscale.analysis.results.reading import Error

# Over the images, the variance of the difference of two networks' shares of failing trials, less what chance of a trial
# makes of it, in mean errors: -0.02 to 0.02 for pairs of networks of results/small (benchmarks/mistakes.py). Twice as
# much is assumed, half for each network.
OWN_MISTAKES = 0.02


class Spread(NamedTuple):
    """A standard deviation or standard error, and its degrees of freedom (infinite if it is known, not estimated)."""

    sd: float
    df: float


def pooled_spread(errors: Iterable[Error]) -> Spread | None:
    """Pool the standard deviations over trials of several networks' errors, in percentage points.

    It is the square root of the mean of their variances, each weighted by its degrees of freedom (n - 1). Each network
    and schedule should come once. None where no network has two trials.
    """
    parts = [(error.std, error.n - 1) for error in errors if error.std is not None]
    df = sum(n for _, n in parts)
    return Spread(math.sqrt(math.fsum(n * std**2 for std, n in parts) / df), df) if df else None


def sampling_sd(error: float, images: int) -> float:
    """Return what the choice of `images` adds to the spread of trials: the standard deviation of an error in percent.

    It is that of a difference of two errors, shared out between both. Networks are tested on the same images, and fail
    on the same ones mostly; where they do not, this is for the most part by chance of a trial, which the spread of
    trials has already. What remains is `OWN_MISTAKES` of the error's binomial variance.
    """
    share = error / 100
    return 100 * math.sqrt(OWN_MISTAKES * share * (1 - share) / images)


def half_width(se: float, df: float, level: float = 0.95) -> float:
    """Return half the width of the interval that covers the true value with probability `level`, by Student's t.

    `se` is the standard error of the estimate, `df` its degrees of freedom (infinite: the normal distribution).
    """
    from scipy.special import stdtrit  # waits, as it takes a moment to load

    return se * float(stdtrit(df, (1 + level) / 2))

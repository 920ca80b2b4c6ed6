"""Correlations of counts with runtime (Pearson's), and their intervals.

Intervals are by a bootstrap over networks: the networks of each base are drawn anew, with replacement, and all
correlations are computed from the same draws. So two correlations that share networks are compared as pairs, and noise
of the timings widens the interval without a model of it. A curve of few networks gets Fisher's interval.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from fastscale.analysis.results.estimate import LEVEL, Interval, Part, Reading
from fastscale.analysis.results.fits import fit_line
from fastscale.analysis.results.results import Row
from fastscale.analysis.results.uncertainty import Spread

DRAWS = 1000
COUNTS = ("acts", "flops", "params")
ALMOST_ONE = 1 - 1e-12  # whose transform is finite
FEWEST = 4  # networks whose correlation has an interval by Fisher
FEWEST_DRAWN = 6  # networks of a base that draws with replacement represent

Samples = np.ndarray  # (draws, networks) or (networks,)


def pearson(x: Samples, y: Samples) -> Samples:
    """Correlate along the last axis; nan where all x or all y are equal."""
    x, y = (each - each.mean(-1, keepdims=True) for each in (x, y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((x * y).sum(-1) / np.sqrt((x**2).sum(-1) * (y**2).sum(-1)))


def bootstrap(
    bases: Sequence[Sequence[Row]], statistic: Callable[[list[dict[str, Samples]]], Samples]
) -> Interval | None:
    """Compute a statistic of the networks of some bases, with its interval; None where a network is not timed,
    or a base has fewer than `FEWEST_DRAWN` networks.

    `statistic` takes a table for each base, with columns "time", "inference" (where timed), "acts", "flops", "params",
    of shape (networks,) or (draws, networks), and returns a number for each draw.
    """
    tables = [_columns(rows) for rows in bases]
    if not tables or any(table is None or len(table["time"]) < FEWEST_DRAWN for table in tables):
        return None
    found = [table for table in tables if table is not None]
    generator = np.random.default_rng(0)
    drawn = []
    for table in found:
        n = len(table["time"])
        order = generator.integers(n, size=(DRAWS, n))
        drawn.append({name: column[order] for name, column in table.items()})
    value = float(statistic(found))
    low, high = np.nanquantile(statistic(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, max(0.0, value - float(low)), max(0.0, float(high) - value))


def mean_of(*quantities: str) -> Callable[[list[dict[str, Samples]]], Samples]:
    """Make a statistic: the mean over bases of a quantity's correlation with time, minus that of a second quantity."""

    def statistic(tables: list[dict[str, Samples]]) -> Samples:
        first, *rest = ([pearson(table[key], table["time"]) for table in tables] for key in quantities)
        return np.asarray(sum(first) - sum(map(sum, rest))) / len(tables)

    return statistic


def across_minus_within(tables: list[dict[str, Samples]]) -> Samples:
    """Subtract the mean correlation of acts with time within a base from that over all bases together."""
    acts, time = (np.concatenate([table[key] for table in tables], axis=-1) for key in ("acts", "time"))
    return pearson(acts, time) - mean_of("acts")(tables)


def fisher(name: str, rows: Sequence[Row], quantity: str) -> Reading | None:
    """Correlate a quantity with time over a curve, transformed by Fisher; None for fewer than `FEWEST` networks."""
    times = [row.time.seconds for row in rows if row.time]
    line = fit_line([getattr(row, quantity) for row in rows], times) if len(times) == len(rows) else None
    if line is None or line.n < FEWEST:
        return None
    z = math.atanh(min(max(line.correlation, -ALMOST_ONE), ALMOST_ONE))
    return Reading(z, {name: Part(1, Spread(1 / math.sqrt(line.n - 3), math.inf))}, line.n)


def excess(rows: Sequence[Row]) -> Reading | None:
    """Compare the time of the network of most flops with that by its activations: the logarithm of their ratio.

    The prediction is a line through the other networks' times over their activations, by least squares of relative
    deviations; the standard error is that of a new network. None where a network is not timed, or for fewer than five.
    """
    times = [row.time.seconds for row in rows if row.time]
    if len(times) < max(5, len(rows)):
        return None
    ordered = sorted(zip(rows, times, strict=True), key=lambda pair: pair[0].flops)
    (largest, seconds), others = ordered[-1], ordered[:-1]
    t = np.array([time for _, time in others])
    x = np.array([[1.0, row.acts] for row, _ in others]) / t[:, None]
    scale = x.max(0)
    x, new = x / scale, np.array([1.0, largest.acts]) / scale
    solution, *_ = np.linalg.lstsq(x, np.ones(len(t)), rcond=None)
    predicted, df = float(new @ solution), len(t) - 2
    if predicted <= 0:
        return None
    deviation = math.sqrt(float(((x @ solution - 1) ** 2).sum()) / df)
    leverage = float(new @ np.linalg.pinv(x.T @ x) @ new) / predicted**2
    spread = Spread(deviation * math.sqrt(1 + leverage), df)
    return Reading(math.log(seconds / predicted), {largest.name: Part(1, spread)}, len(rows))


def _columns(rows: Sequence[Row]) -> dict[str, Samples] | None:
    times = [row.time for row in rows if row.time]
    if len(times) < len(rows):
        return None
    columns = {key: np.array([float(getattr(row, key)) for row in rows]) for key in COUNTS}
    inference = [time.inference for time in times if time.inference]
    if len(inference) == len(rows):
        columns["inference"] = np.array(inference)
    return {"time": np.array([time.seconds for time in times]), **columns}

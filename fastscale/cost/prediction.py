"""Predictions of a training step's time and memory from a network's counts: linear, fitted on timings, cross-validated.

    seconds per image = c_flops flops + c_acts acts + c_layers layers / batch
    peak bytes of a step = m_acts acts batch + m_params params

A device spends its time on arithmetic, on moving activations, and on launching kernels; launches take the same time per
step whatever the batch. The coefficients are non-negative and minimise the sum of squared relative errors, so that
small networks count as much as large ones. The error of each network is that of a prediction fitted on all other
networks (leave-one-out). The code is pure Python with exactly rounded sums: the same timings give the same coefficients
on any machine.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, Self

from fastscale.networks import Network
from fastscale.networks.complexity import count, count_layers

FEWEST = 3  # timed networks that a fit needs
SINGULAR = 1e-10  # relative pivot at or below which a term counts as collinear with others

TIME_TERMS = ("flops", "acts", "layers")
MEMORY_TERMS = ("acts", "params")


class Costs(NamedTuple):
    """Counts of a network: flops, params and acts for one image, and layers (`count_layers`)."""

    flops: int
    params: int
    acts: int
    layers: int

    @classmethod
    def from_network(cls, network: Network) -> Self:
        """Count the flops, params, acts and layers of a network."""
        return cls(*count(network), count_layers(network))

    def time_terms(self, batch: float) -> dict[str, float]:
        """Return the terms of the seconds per image, in steps of `batch` images, by name."""
        return {**self._asdict(), "layers": self.layers / batch, "constant": 1}

    def memory_terms(self, batch: float) -> dict[str, float]:
        """Return the terms of the peak bytes of a step of `batch` images, by name."""
        return {"acts": self.acts * batch, "params": self.params}


class Timing(NamedTuple):
    """A timed network: seconds per image in training steps of `batch` images, and peak bytes (None on a CPU)."""

    costs: Costs
    batch: float
    seconds: float
    memory: int | None = None

    @classmethod
    def from_record(cls, costs: Costs, record: Mapping[str, Any]) -> Self:
        """Take the timing from a profile record of the network with these costs."""
        seconds = record["epoch_seconds"]["least"] / record["images"]
        return cls(costs, record["batch"], seconds, record["peak_memory_bytes"])


@dataclass(frozen=True)
class LinearFit:
    """A linear fit: the coefficient of each term, and the relative error of each network.

    The error of a network is that of a prediction fitted on all other networks.
    """

    coefficients: Mapping[str, float]
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """Return the mean relative error."""
        return statistics.fmean(self.errors)

    def predict(self, values: Mapping[str, float]) -> float:
        """Predict what was fitted, seconds per image or peak bytes of a step, from the values of the terms, by name."""
        return math.fsum(coefficient * values[term] for term, coefficient in self.coefficients.items())


@dataclass(frozen=True)
class Prediction:
    """Fits of time and memory on one device; `memory` is None where too few were measured, `batch` the median batch."""

    time: LinearFit
    memory: LinearFit | None
    batch: float

    @classmethod
    def fit(cls, timings: Sequence[Timing]) -> Self | None:
        """Fit the timings of one device; return None for fewer than `FEWEST` timings."""
        if (time := fit_time(timings)) is None:
            return None
        return cls(time, fit_memory(timings), statistics.median(timing.batch for timing in timings))

    def seconds(self, costs: Costs, batch: float | None = None) -> float:
        """Predict the seconds per image, in steps of `batch` images (None: the median batch of the timings)."""
        return self.time.predict(costs.time_terms(batch or self.batch))


def fit_time(timings: Sequence[Timing], terms: Sequence[str] = TIME_TERMS) -> LinearFit | None:
    """Fit the seconds per image by `terms` (see `Costs.time_terms`); return None for fewer than `FEWEST` timings."""
    rows = [timing.costs.time_terms(timing.batch) for timing in timings]
    return fit(rows, [timing.seconds for timing in timings], terms)


def fit_memory(timings: Iterable[Timing]) -> LinearFit | None:
    """Fit the peak bytes of a step; return None where fewer than `FEWEST` timings measured memory."""
    measured = [timing for timing in timings if timing.memory]
    rows = [timing.costs.memory_terms(timing.batch) for timing in measured]
    return fit(rows, [float(timing.memory or 0) for timing in measured], MEMORY_TERMS)


def fit(rows: Sequence[Mapping[str, float]], targets: Sequence[float], terms: Sequence[str]) -> LinearFit | None:
    """Fit positive `targets` by a non-negative combination of `terms`; return None for fewer than `FEWEST` targets.

    `rows` has the terms' values for each target. The fit minimises the sum of squared relative errors.
    """
    if len(targets) < FEWEST:
        return None
    # Divide each row by its target, so that errors are relative, and each column by its largest value, so that terms
    # of very different sizes are solved for with equal precision.
    columns = [[row[term] / target for row, target in zip(rows, targets, strict=True)] for term in terms]
    largest = [max(column) or 1.0 for column in columns]
    columns = [[value / most for value in column] for column, most in zip(columns, largest, strict=True)]
    products = [[[a * b for a, b in zip(left, right, strict=True)] for right in columns] for left in columns]

    def solve_without(left_out: slice) -> list[float]:
        """Fit all rows but those left out."""

        def total(values: list[float]) -> float:
            return math.fsum(values[: left_out.start] + values[left_out.stop :])

        return _non_negative([[total(product) for product in line] for line in products], list(map(total, columns)))

    errors = []
    for i in range(len(targets)):
        scaled = solve_without(slice(i, i + 1))
        errors.append(abs(math.fsum(c * column[i] for c, column in zip(scaled, columns, strict=True)) - 1))
    coefficients = [c / most for c, most in zip(solve_without(slice(0, 0)), largest, strict=True)]
    return LinearFit(dict(zip(terms, coefficients, strict=True)), tuple(errors))


def _non_negative(gram: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Find the x >= 0 that minimises x gram x - 2 right x, by trying each subset of terms (there are few)."""
    best, most = [0.0] * len(right), 0.0
    for size in range(1, len(right) + 1):
        for chosen in combinations(range(len(right)), size):
            solution = _solve([[gram[i][j] for j in chosen] for i in chosen], [right[i] for i in chosen])
            if solution is None or min(solution) < 0:
                continue
            explained = math.fsum(x * right[i] for i, x in zip(chosen, solution, strict=True))
            if explained > most:
                values = dict(zip(chosen, solution, strict=True))
                best, most = [values.get(i, 0.0) for i in range(len(right))], explained
    return best


def _solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float] | None:
    """Solve matrix x = right for a symmetric positive definite matrix; return None where the matrix is not definite."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i, row in enumerate(rows):
        if row[i] <= SINGULAR * matrix[i][i]:
            return None
        for below in rows[i + 1 :]:
            factor = below[i] / row[i]
            below[i:] = [a - factor * b for a, b in zip(below[i:], row[i:], strict=True)]
    solution: list[float] = []
    for i in reversed(range(len(rows))):
        known = math.fsum(a * x for a, x in zip(rows[i][i + 1 : -1], solution, strict=True))
        solution.insert(0, (rows[i][-1] - known) / rows[i][i])
    return solution

"""How long a training step takes, and how much memory, by what a network costs: fitted on timings, cross-validated.

    seconds of an image = c_flops flops + c_acts acts + c_layers layers / batch
    peak bytes of a step = m_acts acts batch + m_params params

A device spends its time on arithmetic, on moving activations, and on launching kernels, which costs a step the same
whatever its batch. The coefficients are never negative, and make the sum of squared relative errors least, so that
small networks count as much as large ones. The error of a prediction is that for networks that its fit has not seen
(leave-one-out). Pure Python, and exactly rounded sums: the same timings give the same coefficients on any machine.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple, Self

from fastscale.networks import Network
from fastscale.networks.complexity import count, count_layers

FEWEST = 3  # timed networks that tell of others
SINGULAR = 1e-10  # of a term's squares: what is left of them by the other terms, where it is no term of its own

TIME_TERMS = ("flops", "acts", "layers")
MEMORY_TERMS = ("acts", "params")


class Costs(NamedTuple):
    """What a network costs; flops, params and acts for one image."""

    flops: int
    params: int
    acts: int
    layers: int

    @classmethod
    def from_network(cls, network: Network) -> Self:
        """Those of a network, counted."""
        return cls(*count(network), count_layers(network))

    def time_terms(self, batch: float) -> dict[str, float]:
        """What the seconds of an image may depend on, in steps of `batch` images."""
        return {**self._asdict(), "layers": self.layers / batch, "constant": 1}

    def memory_terms(self, batch: float) -> dict[str, float]:
        """What the peak bytes of a step of `batch` images may depend on."""
        return {"acts": self.acts * batch, "params": self.params}


class Timing(NamedTuple):
    """A timed network: seconds of an image in training steps of `batch` images, their peak bytes (None on a CPU)."""

    costs: Costs
    batch: float
    seconds: float
    memory: int | None = None

    @classmethod
    def from_record(cls, costs: Costs, record: Mapping[str, Any]) -> Self:
        """What a profile record says of its network."""
        seconds = record["epoch_seconds"]["median"] / record["images"]
        return cls(costs, record["batch"], seconds, record["peak_memory_bytes"])


@dataclass(frozen=True)
class LinearFit:
    """A sum of terms, each with its coefficient, and `errors`: the relative error for each of the n networks.

    That for a network is by the fit to all others.
    """

    coefficients: Mapping[str, float]
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """The mean relative error."""
        return statistics.fmean(self.errors)

    def predict(self, values: Mapping[str, float]) -> float:
        """The prediction, by the values of the terms."""
        return math.fsum(coefficient * values[term] for term, coefficient in self.coefficients.items())


@dataclass(frozen=True)
class Prediction:
    """Time and memory on one device; `memory` is None where none was measured, `batch` the timings' median."""

    time: LinearFit
    memory: LinearFit | None
    batch: float

    @classmethod
    def fit(cls, timings: Sequence[Timing]) -> Self | None:
        """By the timings of one device; None where they are fewer than `FEWEST`."""
        if (time := time_model(timings)) is None:
            return None
        return cls(time, memory_model(timings), statistics.median(timing.batch for timing in timings))

    def seconds(self, costs: Costs, batch: float | None = None) -> float:
        """Seconds of an image, in steps of `batch` images."""
        return self.time.predict(costs.time_terms(batch or self.batch))


def time_model(timings: Sequence[Timing], terms: Sequence[str] = TIME_TERMS) -> LinearFit | None:
    """The seconds of an image by these terms."""
    rows = [timing.costs.time_terms(timing.batch) for timing in timings]
    return fit(rows, [timing.seconds for timing in timings], terms)


def memory_model(timings: Iterable[Timing]) -> LinearFit | None:
    """The peak bytes of a step; None where too few were measured."""
    known = [timing for timing in timings if timing.memory]
    rows = [timing.costs.memory_terms(timing.batch) for timing in known]
    return fit(rows, [float(timing.memory or 0) for timing in known], MEMORY_TERMS)


def fit(rows: Sequence[Mapping[str, float]], targets: Sequence[float], terms: Sequence[str]) -> LinearFit | None:
    """The sum of `terms` that comes nearest to the positive `targets`; None where they are fewer than `FEWEST`."""
    if len(targets) < FEWEST:
        return None
    # Divided by its target each prediction is to be 1; divided by its largest each term is comparable to the others.
    columns = [[row[term] / target for row, target in zip(rows, targets, strict=True)] for term in terms]
    largest = [max(column) or 1.0 for column in columns]
    columns = [[value / most for value in column] for column, most in zip(columns, largest, strict=True)]
    products = [[[a * b for a, b in zip(one, other, strict=True)] for other in columns] for one in columns]

    def solved(left_out: slice) -> list[float]:
        def total(values: list[float]) -> float:
            return math.fsum(values[: left_out.start] + values[left_out.stop :])

        return _non_negative([[total(product) for product in line] for line in products], list(map(total, columns)))

    errors = []
    for i in range(len(targets)):
        found = solved(slice(i, i + 1))
        errors.append(abs(math.fsum(c * column[i] for c, column in zip(found, columns, strict=True)) - 1))
    coefficients = [c / most for c, most in zip(solved(slice(0, 0)), largest, strict=True)]
    return LinearFit(dict(zip(terms, coefficients, strict=True)), tuple(errors))


def _non_negative(gram: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """The x >= 0 that makes x gram x - 2 right x least: of the subsets of terms, few as they are, the best one's."""
    best, most = [0.0] * len(right), 0.0
    for size in range(1, len(right) + 1):
        for chosen in combinations(range(len(right)), size):
            found = _solve([[gram[i][j] for j in chosen] for i in chosen], [right[i] for i in chosen])
            if found is None or min(found) < 0:
                continue
            explained = math.fsum(x * right[i] for i, x in zip(chosen, found, strict=True))
            if explained > most:
                at = dict(zip(chosen, found, strict=True))
                best, most = [at.get(i, 0.0) for i in range(len(right))], explained
    return best


def _solve(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float] | None:
    """The x of matrix x = right, for a symmetric positive definite matrix; None where it is not definite."""
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i, row in enumerate(rows):
        if row[i] <= SINGULAR * matrix[i][i]:
            return None
        for below in rows[i + 1 :]:
            factor = below[i] / row[i]
            below[i:] = [a - factor * b for a, b in zip(below[i:], row[i:], strict=True)]
    found: list[float] = []
    for i in reversed(range(len(rows))):
        known = math.fsum(a * x for a, x in zip(rows[i][i + 1 : -1], found, strict=True))
        found.insert(0, (rows[i][-1] - known) / rows[i][i])
    return found

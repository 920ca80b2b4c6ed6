"""Whether trainings are long enough: differences between strategies by two schedules, the shorter and the longer."""

import math
import statistics
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from fastscale.analysis.claims.evidence import Evidence
from fastscale.analysis.results.estimate import Interval, Reading, combine, interval
from fastscale.analysis.results.results import Row

FEWEST = 3  # networks whose changes have a spread


class Change(NamedTuple):
    """The difference in error of two networks of a base by two schedules, in percentage points, with its intervals."""

    base: str
    networks: str
    shorter: Interval
    longer: Interval

    @property
    def is_settled(self) -> bool:
        """Tell whether the longer schedule changes the difference by less than the shorter one's interval."""
        return abs(self.longer.value - self.shorter.value) < self.shorter.above


def changes(evidence: Evidence) -> Iterator[Change]:
    """Compare each two networks of a base that were trained by the two longest schedules that several networks have."""
    schedules = longest_two(evidence)
    trained: dict[str, dict[str, Row]] = {}
    for row in evidence.results.rows if schedules else ():
        if not row.is_base and all(schedule in row.errors for schedule in schedules):
            trained.setdefault(row.point.base, {}).setdefault(row.point.network.id, row)
    for base, rows in trained.items():
        for a, b in combinations(rows.values(), 2):
            names = " minus ".join(f"{row.point.strategy} {row.point.scale:g}" for row in (a, b))
            found = [_difference(evidence, a, b, schedule) for schedule in schedules]
            yield Change(base, names, *(interval(difference) for difference in found))


def longest_two(evidence: Evidence) -> tuple[str, ...]:
    """Name the two longest schedules that `FEWEST` networks or more were trained by, the shorter first; else none."""
    epochs = evidence.sweep.config["schedules"]
    pairs = combinations(sorted(epochs, key=epochs.__getitem__), 2)
    shared = [pair for pair in pairs if len(_by_both(evidence, pair)) >= FEWEST]
    return max(shared, key=lambda pair: [epochs[schedule] for schedule in reversed(pair)], default=())


def unsettled(evidence: Evidence) -> float | None:
    """Return by how much longer training still changes a difference of two errors; None where it is unknown.

    Each network that was trained by the two longest schedules has a change in error between them. What all have in
    common cancels in a difference; the rest is their standard deviation, less that of noise, times the root of 2.
    """
    if not (schedules := longest_two(evidence)):
        return None
    found = []
    for row in _by_both(evidence, schedules):
        before, after = (reading for schedule in schedules if (reading := evidence.reading(row, "error", schedule)))
        found.append(combine((1, after), (-1, before)))
    noise = statistics.fmean(change.spread.sd**2 for change in found)
    return math.sqrt(max(0.0, 2 * (statistics.variance(change.value for change in found) - noise)))


def _by_both(evidence: Evidence, schedules: tuple[str, ...]) -> list[Row]:
    return [row for row in evidence.distinct if all(schedule in row.errors for schedule in schedules)]


def _difference(evidence: Evidence, a: Row, b: Row, schedule: str) -> Reading:
    x, y = (reading for row in (a, b) if (reading := evidence.reading(row, "error", schedule)))
    return combine((1, x), (-1, y))

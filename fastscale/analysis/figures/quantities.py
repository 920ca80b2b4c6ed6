"""The quantities on the axes of figures: their labels, our values with their bars, and the paper's values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fastscale.analysis.rendering.units import TIMES, unit_of
from fastscale.analysis.results.published import Published, are_comparable, published
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.sweep import Sweep


class Value(NamedTuple):
    """A measured value, and how far its bar goes below and above it."""

    at: float
    below: float = 0.0
    above: float = 0.0


@dataclass(frozen=True)
class Quantity:
    """A quantity on an axis: its name, its label, our value of a row, the paper's of a network; whether it is log."""

    name: str
    label: str
    ours: Callable[[Row], Value | None]
    published: Callable[[Published], float | None]
    is_log: bool = True


def quantities(sweep: Sweep, results: Results) -> Mapping[str, Quantity]:
    """Return the quantities by the names that layouts give them; times have one unit in the whole figure.

    The paper's times are of 8 GPUs and ours of one device, so the paper's are shown as device time (times 8). They are
    left out where ours are those of a CPU, or of another number of images: there they say nothing.
    """
    ours = [row.time.seconds for row in results.rows if row.time]
    papers = [paper for row in results.rows if (paper := published(row.point.network))]
    has_published_times = are_comparable(results.records["profile"])
    unit = unit_of(ours or [paper.device_seconds for paper in papers], TIMES)

    def error(row: Row) -> Value | None:
        error = results.error(row)
        return Value(error.mean, error.std or 0.0, error.std or 0.0) if error else None

    def time(row: Row) -> Value | None:
        if not row.time:
            return None
        return Value(row.time.seconds / unit.factor, above=(row.time.most - row.time.seconds) / unit.factor)

    return {
        "flops": Quantity("flops", "flops", lambda row: Value(row.flops), lambda paper: paper.flops),
        "params": Quantity("params", "params", lambda row: Value(row.params), lambda paper: paper.params),
        "acts": Quantity("activations", "activations", lambda row: Value(row.acts), lambda paper: paper.acts),
        "time": Quantity(
            "time",
            f"{results.epoch.words}\n({unit.name})",
            time,
            lambda paper: paper.device_seconds / unit.factor if has_published_times else None,
        ),
        "error": Quantity(
            "error",
            "top-1 error (%)",
            error,
            lambda paper: paper.errors.get(results.schedule, (None,))[0],
            is_log=False,
        ),
    }


def meaning(results: Results, shown: Iterable[str], has_published: bool) -> str:
    """Say in words what the bars of the quantities `shown` are, and what the published points are."""
    sentences = []
    errors = {error.n for row in results.rows if (error := results.error(row))}
    rounds = {row.time.n for row in results.rows if row.time}
    if "error" in shown and errors:
        spread = f"errors ± standard deviation of {_span(errors)} trials"
        sentences.append(spread if max(errors) > 1 else "none on errors, of one trial")
    if "time" in shown and rounds:
        sentences.append(f"a time is the least of {_span(rounds)} rounds, its bar ends at the most")
    words = [f"Bars: {'; '.join(sentences)}."] if sentences else []
    if has_published:
        devices = "; times of 8 V100, times 8" if "time" in shown and are_comparable(results.records["profile"]) else ""
        words.append(f"Published: by the paper{devices}.")
    return " ".join(words)


def _span(counts: set[int]) -> str:
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"

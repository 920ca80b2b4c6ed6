"""How far timings can be trusted: what should have taken the same time each time, and by how much it did not."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fastscale.analysis.results.uncertainty import Spread

LIMIT = 1.2  # the largest ratio of two measurements of one thing that is not too noisy
FEW = 0.1  # the largest share of networks whose two fastest rounds may lie further apart than `LIMIT`
BUSY = 1.05  # wall over processor time of a step, from which the load by other programs is mentioned


def time_spread(records: Iterable[Mapping[str, Any]]) -> Spread | None:
    """Estimate the relative standard deviation of a network's time from profile records; None where nothing tells it.

    Let d be the logarithm of a network's least time in odd rounds over that in even rounds. Both halves have the same
    variance v, so that the mean of d squared over the networks estimates 2 v. A network's time is the least of all
    rounds, which varies less than that of half of them; v is not made smaller for it, as what all rounds share does not
    show in d. That shows in networks that were timed again later (`again`), whose d is the logarithm of the later least
    time over the first: the larger of the two estimates is taken. The degrees of freedom are the number of the
    estimate's networks, as the mean of d is known to be 0.
    """
    halves, visits = [], []
    for record in records:
        rounds = record["rounds"]
        if len(rounds) > 1:
            halves.append(math.log(min(rounds[::2]) / min(rounds[1::2])))
        if record.get("again"):
            visits.append(math.log(min(record["again"]) / min(rounds)))
    estimates = [
        Spread(math.sqrt(statistics.fmean(d * d for d in each) / 2), len(each)) for each in (halves, visits) if each
    ]
    return max(estimates, default=None)


@dataclass(frozen=True)
class Noise:
    """How far measurements of the same thing lie apart, each as the largest ratio of two of them (1: not at all).

    `peaks` is of one of the device's peaks, measured at the start, in the middle and at the end; `drift` is of a
    network that was timed again later. `apart` is the share of networks whose second-fastest round takes more than
    `LIMIT` times as long as the fastest: nothing confirms their time. `load` is the wall time of the timed steps over
    their processor time, 1 on a quiet machine (None on a GPU).
    """

    peaks: float = 1.0
    drift: float = 1.0
    apart: float = 0.0
    load: float | None = None
    networks: int = 0

    @classmethod
    def from_records(cls, records: Sequence[Mapping[str, Any]]) -> Self:
        """Compute the noise from profile records."""
        measured = [peaks for record in records for peaks in record["peaks"].get("measured", [record["peaks"]])]
        both = ("flops_per_second", "bytes_per_second")
        again = [[min(record["rounds"]), *record["again"]] for record in records if record.get("again")]
        several = [sorted(record["rounds"])[:2] for record in records if len(record["rounds"]) > 1]
        loads = [load for record in records for load in record.get("loads", ())]
        return cls(
            max(_ratio([peaks[key] for peaks in measured]) for key in both),
            max(map(_ratio, again), default=1.0),
            statistics.fmean(second > LIMIT * first for first, second in several) if several else 0.0,
            statistics.fmean(loads) if loads else None,
            len(records),
        )

    @property
    def is_too_noisy(self) -> bool:
        """Tell whether times must not be compared: peaks, drift or too many networks' rounds exceed `LIMIT`."""
        return bool(self._reasons)

    @property
    def warning(self) -> str:
        """Say that times must not be compared, and why; empty where they may be."""
        if not self.is_too_noisy:
            return ""
        load = f" Other programs made each step take {self.load:.2f} times its processor time." if self._is_busy else ""
        return f"Too noisy to compare times: {', and '.join(self._reasons)}.{load} Time again on a quiet machine."

    @property
    def sentence(self) -> str:
        """Say how well the timings repeat; the warning where they do not, empty where there are none."""
        if self.is_too_noisy or not self.networks:
            return self.warning
        parts = [f"the device's peaks within {_percent(self.peaks - 1)}"]
        parts += [f"networks timed again later within {_percent(self.drift - 1)}"] if self.drift > 1 else []
        parts += [f"the two fastest rounds of {_percent(1 - self.apart)} of the networks within {_percent(LIMIT - 1)}"]
        load = f"; a step took {self.load:.2f} times its processor time" if self.load else ""
        return f"Timings repeat: {', '.join(parts)}{load}."

    @property
    def _is_busy(self) -> bool:
        return self.load is not None and self.load > BUSY

    @property
    def _reasons(self) -> list[str]:
        """List what lies too far apart, in words."""
        reasons = []
        if self.peaks > LIMIT:
            reasons.append(f"the device's peak was once {self.peaks:.2f} times what it was another time")
        if self.drift > LIMIT:
            reasons.append(f"a network that was timed again took {self.drift:.2f} times as long")
        if self.apart > FEW:
            reasons.append(
                f"the best time of {_percent(self.apart)} of the networks was not repeated to within "
                f"{_percent(LIMIT - 1)} in any other round"
            )
        return reasons


def _ratio(values: Sequence[float]) -> float:
    """Divide the largest by the smallest value; 1 where there is none."""
    return max(values) / min(values) if values else 1.0


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"

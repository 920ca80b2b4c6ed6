"""Cells of tables for people: measured errors and times, with their spread, and gaps."""

from collections.abc import Iterable

from fastscale.analysis.results.reading import Error, Time

GAP = "—"
UNITS_OF_TIME = (("µs", 1e-6), ("ms", 1e-3), ("s", 1), ("min", 60), ("h", 3600), ("days", 86400))


def time_unit(seconds: Iterable[float | None]) -> tuple[str, float]:
    """Choose the smallest unit in which none of some times reaches 1000; return it with its seconds."""
    most = max((time for time in seconds if time), default=1.0)
    return next((unit for unit in UNITS_OF_TIME if most < 1000 * unit[1]), UNITS_OF_TIME[-1])


def flops_cell(flops: float) -> str:
    """Write flops with their unit, as configurations do: 16GF, 4.1MF."""
    return f"{flops / 1e9:.3g}GF" if flops >= 1e9 else f"{flops / 1e6:.3g}MF"


def error_cell(error: Error | None, digits: int, with_trials: bool = False) -> str:
    """Format a top-1 error in percent: mean ± standard deviation over trials; a dash if the error is None.

    The mean has `digits` decimals; `with_trials` adds the number of trials in brackets.
    """
    if error is None:
        return GAP
    spread = "" if error.std is None else f" ± {error.std:.2f}"
    trials = f" ({error.n})" if with_trials else ""
    return f"{error.mean:.{digits}f}{spread}{trials}"


def minutes_cell(time: Time | None, with_spread: bool = False) -> str:
    """Format an epoch time in minutes: the least of the rounds; a dash if the time is None.

    `with_spread` adds the most of the rounds, and their number.
    """
    if time is None:
        return GAP
    least, most = (f"{seconds / 60:.3g}" for seconds in (time.seconds, time.most))
    return f"{least} to {most} ({time.n})" if with_spread else least

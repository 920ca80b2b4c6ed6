"""Cells of tables for people: measured errors and times, with their spread, and gaps."""

from fastscale.analysis.results.reading import Error, Time

GAP = "—"


def error_cell(error: Error | None, digits: int, with_trials: bool = False) -> str:
    """Format an error in percent: mean ± standard deviation over trials, then the number of trials if asked for."""
    if error is None:
        return GAP
    spread = "" if error.std is None else f" ± {error.std:.2f}"
    trials = f" ({error.n})" if with_trials else ""
    return f"{error.mean:.{digits}f}{spread}{trials}"


def minutes_cell(time: Time | None, with_quartiles: bool = False) -> str:
    """Format an epoch time in minutes: the median, then its quartiles and number of timed steps if asked for."""
    if time is None:
        return GAP
    median, q1, q3 = (f"{seconds / 60:.3g}" for seconds in (time.median, time.q1, time.q3))
    return f"{median} [{q1}, {q3}] ({time.n})" if with_quartiles else median

"""Cells of tables for people: measured errors and times, with their spread, and gaps."""

from fastscale.analysis.results.reading import Error, Time

GAP = "—"


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

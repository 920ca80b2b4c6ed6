"""Cells of tables for people: measured errors and times, with their spread, and gaps."""

from fastscale.analysis.rendering.units import Unit
from fastscale.analysis.results.reading import Error, Time

GAP = "—"


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


def time_cell(time: Time | None, unit: Unit) -> str:
    """Format a time in a unit: from the least to the most of the rounds, and their number; a dash if it is None."""
    if time is None:
        return GAP
    return f"{unit.write(time.seconds)} to {unit.write(time.most)} ({time.n})"

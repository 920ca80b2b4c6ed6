"""The prediction table: how well a network's costs predict time and memory, by all terms and by one or two of them."""

import statistics
from collections.abc import Iterator

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.rendering.units import number
from fastscale.analysis.results.results import Results
from fastscale.cost.prediction import FEWEST, TIME_TERMS, LinearFit, fit_memory, fit_time
from fastscale.sweep.sweep import Sweep

# Each measure of the paper alone: proportional, or with an intercept as the lines of Figure 2. Then sums of terms.
FITS = (
    ("flops",),
    ("params",),
    ("acts",),
    ("layers",),
    ("flops", "constant"),
    ("params", "constant"),
    ("acts", "constant"),
    ("flops", "acts"),
    ("flops", "layers"),
    ("acts", "layers"),
    TIME_TERMS,
)
UNITS = {
    "flops": 1e12,
    "params": 1e9,
    "acts": 1e9,
    "layers": 1e6,
    "constant": 1e6,
}  # from seconds to the units of `LETTERS`, for people
LETTERS = {"flops": "ps per flop", "params": "ns per param", "acts": "ns per activation", "layers": "µs per layer"}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each fit of time or memory: its relative error on networks that it has not seen, and its coefficients."""
    timings = results.timings
    times: dict[tuple[str, ...], LinearFit] = {terms: fit for terms in FITS if (fit := fit_time(timings, terms))}
    memory = fit_memory(timings)
    lines = [_line("seconds", fit) for fit in times.values()] + ([_line("bytes", memory)] if memory else [])
    shown = [
        [" + ".join(terms), *_errors(fit), *(_coefficient(fit, term) for term in UNITS)] for terms, fit in times.items()
    ]
    text = (
        "Seconds per image in a training step, as a sum of terms with coefficients that are not negative: flops and "
        "acts per image, params, layers (convolutions and linear ones) over the batch, a constant. Fits minimise the "
        "squares of relative errors; the error for a network is by the fit to all others (leave-one-out)."
    )
    grid = Grid(
        ["terms", "error (%)", "median", "largest", *LETTERS.values(), "constant (µs)"],
        shown,
    )
    return Table(
        f"Prediction of runtime, sweep {sweep.name}",
        [conditions(results), " ".join(_verdict(times, memory)), text, *([grid] if shown else [])],
        ["quantity", "terms", "n", "error", "median_error", "largest_error", *(f"per_{term}" for term in UNITS)],
        lines,
    )


def _verdict(times: dict[tuple[str, ...], LinearFit], memory: LinearFit | None) -> Iterator[str]:
    """Say in words how well time and memory are predicted."""
    if not times:
        yield f"Too few networks are timed: a fit needs {FEWEST}."
        return
    best = times[TIME_TERMS]
    alone = ", ".join(f"{100 * times[term,].error:.1f} % with {term} alone" for term in ("acts", "flops", "params"))
    yield (
        f"**Flops, activations and layers together predict a network's time with a mean error of "
        f"{100 * best.error:.1f} % (n = {len(best.errors)}); it is {alone}.**"
    )
    if memory:
        yield (
            f"Peak memory of a step, by activations times batch and params: {100 * memory.error:.1f} % "
            f"(n = {len(memory.errors)})."
        )


def _line(quantity: str, fit: LinearFit) -> list[object]:
    """Write a line of the CSV: relative errors and coefficients, in seconds or bytes."""
    errors = [fit.error, statistics.median(fit.errors), max(fit.errors)]
    coefficients = [fit.coefficients.get(term) for term in UNITS]
    numbers = ["" if number is None else f"{number:.6g}" for number in (*errors, *coefficients)]
    return [quantity, " ".join(fit.coefficients), len(fit.errors), *numbers]


def _errors(fit: LinearFit) -> list[str]:
    return [f"{100 * error:.1f}" for error in (fit.error, statistics.median(fit.errors), max(fit.errors))]


def _coefficient(fit: LinearFit, term: str) -> str:
    return number(UNITS[term] * fit.coefficients[term]) if term in fit.coefficients else ""

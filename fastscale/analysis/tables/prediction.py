"""How well time and memory are predicted by what a network costs: by all three terms, and by one or two of them."""

import statistics
from collections.abc import Iterator

from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.results import Results
from fastscale.cost.prediction import FEWEST, TIME_TERMS, Costs, LinearFit, Timing, fit_memory, fit_time
from fastscale.sweep.sweep import Sweep

# The paper's measures alone (Figure 2), proportional and as its lines, which have an intercept; then those of a step.
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
UNITS = {"flops": 1e12, "params": 1e9, "acts": 1e9, "layers": 1e6, "constant": 1e6}  # of seconds, for people
LETTERS = {"flops": "ps a flop", "params": "ns a param", "acts": "ns an activation", "layers": "µs a layer"}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """A row for each fit: its error for networks that it has not seen, and its coefficients."""
    networks = {row.point.network.id: row.point.network for row in results.rows}
    timings = [
        Timing.from_record(Costs.from_network(networks[record["network"]]), record)
        for record in results.records["profile"]
    ]
    times: dict[tuple[str, ...], LinearFit] = {terms: model for terms in FITS if (model := fit_time(timings, terms))}
    memory = fit_memory(timings)
    lines = [_line("seconds", model) for model in times.values()] + ([_line("bytes", memory)] if memory else [])
    shown = [
        [" + ".join(terms), *_errors(model), *(_coefficient(model, term) for term in UNITS)]
        for terms, model in times.items()
    ]
    text = (
        "Seconds of an image in a training step, as a sum of terms with coefficients that are not negative: flops, "
        "params and acts of an image, layers (convolutions and linear ones) over the batch, a constant. Fits make the "
        "relative errors least; the error for a network is by the fit to all others (leave-one-out)."
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
    """The answer in words."""
    if not times:
        yield f"Too few networks are timed: {FEWEST} tell of others."
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


def _line(quantity: str, model: LinearFit) -> list[object]:
    """The cells of the CSV: relative errors and coefficients, in seconds or bytes."""
    errors = [model.error, statistics.median(model.errors), max(model.errors)]
    coefficients = [model.coefficients.get(term) for term in UNITS]
    numbers = ["" if number is None else f"{number:.6g}" for number in (*errors, *coefficients)]
    return [quantity, " ".join(model.coefficients), len(model.errors), *numbers]


def _errors(model: LinearFit) -> list[str]:
    return [f"{100 * error:.1f}" for error in (model.error, statistics.median(model.errors), max(model.errors))]


def _coefficient(model: LinearFit, term: str) -> str:
    return f"{UNITS[term] * model.coefficients[term]:.3g}" if term in model.coefficients else ""

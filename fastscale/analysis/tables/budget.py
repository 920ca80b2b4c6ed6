"""At this budget of flops, which strategy? A table of each base's strategies at equal realised flops."""

import math
from collections.abc import Iterator

from fastscale.analysis.rendering.cells import GAP, flops_cell
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.rendering.units import TIMES, Unit, unit_of
from fastscale.analysis.results.budget import Budget, Curves, Difference, Offer, can_compare_times
from fastscale.analysis.results.measurements import Measurements
from fastscale.analysis.results.results import Results
from fastscale.sweep.sweep import Sweep

WORDS: dict[Difference, str] = {
    "within noise": "within noise of it",
    "on these images": "higher on these images",
    "real": "really higher",
    "unknown": "not to be told from noise by one trial",
}
MEASURED = (
    "error",
    "error_half_width",
    "trials",
    "epoch_seconds",
    "seconds_low",
    "seconds_high",
    "inference_seconds",
    "memory_per_image",
)
HEADER = ("base", "budget_flops", "strategy", "networks", *MEASURED, "front", "above_lowest", "difference")


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List what each strategy gives for each budget; above each base's list, say which strategies are worth taking."""
    budgets = Curves(results).budgets()
    body: list[str | Grid] = [conditions(results)]
    for base in dict.fromkeys(budget.base for budget in budgets):
        listed = [budget for budget in budgets if budget.base == base]
        body += [f"## {base}", "\n".join(f"- {answer(budget)}" for budget in listed), _grid(listed)]
    body += ["## How to read this", "\n".join(f"- {sentence}" for sentence in _text(results, budgets))]
    lines = [_exact(budget, offer) for budget in budgets for offer in budget.offers]
    return Table(f"At this budget, which strategy? Sweep {sweep.name}", body, HEADER, lines)


def answer(budget: Budget) -> str:
    """Say in words which strategies have the lowest error at a budget, and which of these is the fastest."""
    at = f"At {flops_cell(budget.flops)}"
    if not budget.judged:
        return f"{at}: no error was measured."
    lowest, advised = budget.judged[0], budget.advised
    parts = [f"{at} {ranking(budget)}"]
    if not can_compare_times(budget.results):
        return f"{parts[0]}."
    if advised is lowest:
        parts.append(f"of those not told apart from it, **{lowest.strategy}** is the fastest")
    elif advised and advised.seconds and lowest.seconds:
        ratio = f"{advised.seconds / lowest.seconds:.2f} times the time of {lowest.strategy}"
        parts.append(f"of those not told apart from it, **{advised.strategy}** is the fastest ({ratio})")
    return "; ".join(parts) + "."


def ranking(budget: Budget) -> str:
    """Say in words which strategy has the lowest error, and how the others differ; one must have an error."""
    first = budget.same_as(budget.judged[0])
    parts = [f"{_names(first)} has the lowest error"]
    for difference, words in WORDS.items():
        named = [offer for offer in budget.judged if offer not in first and budget.verdict(offer) == difference]
        if named:
            alike = dict.fromkeys(_names(budget.same_as(offer)) for offer in named)
            parts.append(f"{words}: {', '.join(alike)}")
    return "; ".join(parts)


def _names(alike: list[Offer]) -> str:
    """Name strategies that give the same networks as one."""
    first, *others = (offer.strategy for offer in alike)
    return f"{first} (the same networks as {' and '.join(others)})" if others else first


def _text(results: Results, budgets: list[Budget]) -> Iterator[str]:
    """Yield sentences on what the columns are, and on what differences rest."""
    if not budgets:
        yield "No base is scaled by several strategies: there is nothing to compare."
        return
    yield (
        "Strategies are compared at equal flops, as realised after rounding. Where a strategy has no network of just "
        "these flops, it is read between two of its networks, which are named by their scales, on a line over log "
        "flops; up to a quarter more flops than its last network has, beyond it on the same line."
    )
    yield (
        f"Time is that of training for {results.epoch.images:,} images on one device; inference is of one image in a "
        "batch."
    )
    if can_compare_times(results):
        yield "Front: no other strategy has a lower error in less time (perhaps: one has, but not beyond noise)."
        yield (
            "A time's brackets are its 95 % interval by Student's t, by the spread between rounds and visits, pooled "
            "over all networks."
        )
    elif results.noise.is_too_noisy:
        yield "Times have no brackets, and no strategy is called the fastest: the timings are too noisy to compare."
    spread = Measurements(results).trial_spreads.get(results.schedule)
    if spread is None or results.val_images is None:
        return
    yield (
        f"Errors are by the schedule {results.schedule}. Their brackets are 95 % intervals by Student's t, by the "
        f"spread of trials, pooled over the sweep ({spread.sd:.2f} points, {spread.df:g} degrees of freedom); an error "
        "that is read between two networks rests on the trials of both, so that its interval may be narrower."
    )
    yield (
        "A difference of errors is called `within noise` if trials alone may explain it; `on these images` if they "
        f"cannot, but the choice of the {results.val_images:,} validation images may; `real` if neither can. All pairs "
        "of a budget are tested together, at 5 % for the whole: the more strategies, the larger a difference must be, "
        "so that one may be within noise although the brackets do not overlap."
    )


def _grid(budgets: list[Budget]) -> Grid:
    """List the offers of a base's budgets for people; columns that nothing was measured for are left out."""
    offers = [offer for budget in budgets for offer in budget.offers]
    epoch, image = (unit_of(times, TIMES) for times in ((o.seconds for o in offers), (o.inference for o in offers)))
    rows = [
        {
            "flops": flops_cell(budget.flops),
            "strategy": offer.strategy,
            "scales": _scales(offer),
            "error (%)": _error(offer),
            f"time ({epoch.name})": _time(offer, epoch),
            f"inference ({image.name})": image.write(offer.inference),
            "memory (MB per image)": f"{offer.memory / 1e6:.3g}" if offer.memory else GAP,
            "front": budget.front(offer),
            "above the lowest error": _difference(budget, offer),
        }
        for budget in budgets
        for offer in sorted(budget.offers, key=_by_error)
    ]
    always = ("flops", "strategy", "scales")
    shown = [key for key in rows[0] if key in always or {row[key] for row in rows} - {GAP, "unknown"}]
    return Grid(shown, [[row[key] for key in shown] for row in rows])


def _by_error(offer: Offer) -> tuple[float, float]:
    return offer.error.value if offer.error else math.inf, offer.seconds or 0.0


def _scales(offer: Offer) -> str:
    """Name the networks that an offer is read from by their scales; where it lies beyond the last one, only this."""
    shares = offer.trained or offer.timed
    if any(share.weight < 0 for share in shares):
        return f"beyond {max(shares, key=lambda share: share.weight).row.point.scale:g}"
    scales = [f"{share.row.point.scale:g}" for share in shares]
    return f"between {' and '.join(scales)}" if len(scales) > 1 else "".join(scales) or "not reached"


def _error(offer: Offer) -> str:
    if offer.error is None:
        return GAP
    error, half = offer.error.value, offer.half_width
    return f"{error:.2f}" + ("" if half is None else f" [{error - half:.2f}, {error + half:.2f}]")


def _time(offer: Offer, unit: Unit) -> str:
    if offer.seconds is None:
        return GAP
    ends = offer.seconds_interval
    return unit.write(offer.seconds) + (f" [{', '.join(map(unit.write, ends))}]" if ends else "")


def _difference(budget: Budget, offer: Offer) -> str:
    """Write by how much an error is above the lowest one, and whether that is real."""
    if offer.error is None:
        return GAP
    verdict = budget.verdict(offer)
    return verdict if verdict == "lowest" else f"{budget.above_lowest(offer):+.2f}, {verdict}"


def _exact(budget: Budget, offer: Offer) -> list[object]:
    """Return the line of the CSV."""
    gap, error = budget.above_lowest(offer), offer.error
    networks = " ".join(f"{share.row.point.network.id}*{share.weight:.4f}" for share in offer.trained or offer.timed)
    numbers = [error.value, offer.half_width, error.n] if error else [None, None, None]
    numbers += [offer.seconds, *(offer.seconds_interval or (None, None)), offer.inference, offer.memory]
    cells = ["" if number is None else f"{number:.6g}" for number in numbers]
    verdicts = [budget.front(offer), "" if gap is None else f"{gap:.6g}", budget.verdict(offer)]
    return [budget.base, f"{budget.flops:.6g}", offer.strategy, networks, *cells, *verdicts]

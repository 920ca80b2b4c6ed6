"""Claims on what predicts runtime, and on which strategy is fast (sections 3 to 6.3, Figures 1, 2, 4, 6, 11 and 12)."""

from collections.abc import Iterator
from dataclasses import replace

from fastscale.analysis.claims.claim import Claim, Measure, above, below, within
from fastscale.analysis.claims.comparisons import by_alpha, versus
from fastscale.analysis.claims.correlations import FEWEST_DRAWN, across_minus_within, bootstrap, excess, fisher, mean_of
from fastscale.analysis.claims.evidence import Case, Evidence, judged
from fastscale.analysis.results.estimate import combine

CORRELATION = 0.99  # "r >= 0.99" (section 4, Figure 2)
HIGH = 0.9  # "highly correlated", "strongly" (our choice). Were time the activations, flops under w would have 0.973
CLOSE = 1.25  # "close": acts of orig and dwr differ by s^0.02, which is 1.05 at s = 11; depths of orig are rounded up


def correlates(*quantities: str) -> Measure:
    """Correlate a count with time on each base, over the strategies of Figure 2, or compare two such correlations."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base, rows in evidence.scaled().items():
            yield Case(base, bootstrap([rows], mean_of(*quantities)), n=len(rows), unit="networks")

    return cases


def correlates_within(quantity: str, strategy: str) -> Measure:
    """Correlate a quantity with time on each curve of a strategy that has four networks or more."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base, name in evidence.curves():
            rows = evidence.rows((base, name))
            if len(rows) > 3 and name == strategy:
                curve = f"{base} {name}"
                yield Case(curve, fisher(curve, rows, quantity), scale="fisher", n=len(rows), unit="networks")

    return cases


def activations_across_bases(evidence: Evidence) -> Iterator[Case]:
    """Subtract the mean correlation of activations with time within a base from that over all bases together."""
    scaled = [rows for rows in evidence.scaled().values() if len(rows) >= FEWEST_DRAWN]
    if len(scaled) > 1:
        yield Case("all bases", bootstrap(scaled, across_minus_within), n=sum(map(len, scaled)), unit="networks")


def inference_follows(evidence: Evidence) -> Iterator[Case]:
    """Correlate the time of inference with that of training, over all networks of the sweep."""
    rows = evidence.distinct
    is_measured = rows and all(row.time and row.time.inference for row in rows)
    estimate = bootstrap([rows], mean_of("inference")) if is_measured else None
    yield Case("all networks", estimate, n=len(rows), unit="networks")


def flop_bound(evidence: Evidence) -> Iterator[Case]:
    """Compare the time of each base's largest network with that by a line through its others over activations."""
    for base, rows in evidence.scaled(()).items():
        yield Case(base, excess(rows), base, scale="ratio", n=len(rows), unit="networks")


def much_faster(fast: str, slow: str) -> Measure:
    """Compare the times of two strategies on each base; the bound is the root of the ratio of their activations."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for case in versus("time", slow, fast)(evidence):
            acts = evidence.levels("acts", [(case.name, slow), (case.name, fast)])
            if case.is_measured and not isinstance(acts, str):
                yield replace(case, limit=max(0.0, (acts[0].value - acts[1].value) / 2))
            else:
                yield case

    return cases


def share_of_speedup(evidence: Evidence) -> Iterator[Case]:
    """Compare the time of dWr with the geometric mean of those of dwr and w, on each base."""
    for base in evidence.bases:
        curves = [(base, strategy) for strategy in ("dwr", "w", "dWr")]
        if set(curves) <= set(evidence.curves()):
            levels = evidence.levels("time", curves)
            if isinstance(levels, str):
                yield Case(base, gap=levels)
                continue
            dwr, w, fast = levels
            yield judged(base, "time", combine((0.5, dwr), (0.5, w), (-1, fast)))


def more_pronounced(y: str, slow: str, fast: str) -> Measure:
    """Compare the ratio of two strategies' `y` at the largest common flops with the ratio halfway, by log flops."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base in evidence.bases:
            if {(base, slow), (base, fast)} <= set(evidence.curves()):
                middle, end = (evidence.levels(y, [(base, slow), (base, fast)], share=share) for share in (0.5, 1))
                if isinstance(middle, str) or isinstance(end, str):
                    yield Case(base, gap=str(middle))
                    continue
                yield judged(base, y, combine((1, end[0]), (-1, end[1]), (-1, middle[0]), (1, middle[1])))

    return cases


SLOWER = ("d", "r", "dw", "wr", "dr", "dwr", "orig")  # all simple and compound strategies but w

LESS_THAN_ACTS = (
    Claim(
        "Flops predict runtime less well than activations",
        "§4, Figure 2",
        "0.81 - 0.99 (EN-B0)",
        correlates("flops", "acts"),
        "correlation of flops minus that of acts, over dwr, dw, dWr and w of a base",
        below(0),
        "time",
    ),
    Claim(
        "Params predict runtime less well than activations",
        "§4, Figure 2",
        "0.56 - 0.99 (EN-B0)",
        correlates("params", "acts"),
        "correlation of params minus that of acts, over dwr, dw, dWr and w of a base",
        below(0),
        "time",
    ),
)

CLAIMS = (
    Claim(
        "Activations predict the runtime of the scaled versions of a base, whatever the strategy",
        "§4, Figure 2",
        "≥ 0.99",
        correlates("acts"),
        "correlation (Pearson's) of acts and epoch time over dwr, dw, dWr and w of a base",
        above(CORRELATION),
        "time",
    ),
    *LESS_THAN_ACTS,
    Claim(
        "Within one strategy, flops predict runtime",
        "Figure 2",
        "0.99 (w, EN-B0)",
        correlates_within("flops", "w"),
        "correlation of flops and epoch time on each curve of w with 4 networks or more",
        above(HIGH),
        "time",
    ),
    Claim(
        "Within one base, activations predict the runtime of the fast-scaled networks",
        "Figure 9",
        "strongly",
        correlates_within("acts", "dWr"),
        "correlation of acts and epoch time on each curve of dWr with 4 networks or more",
        above(HIGH),
        "time",
    ),
    Claim(
        "Across bases, activations predict runtime less well than within one base",
        "§4, Figure 2",
        "0.95, within one base ≥ 0.99",
        activations_across_bases,
        "correlation of acts and epoch time over all bases, minus the mean of those within a base",
        below(0),
        "time",
    ),
    Claim(
        "Some big networks take longer than their activations predict: they are flop bound",
        "§4, Figure 2",
        "some",
        flop_bound,
        "time of a base's network of most flops over that by the line through its others; of one base at least",
        above(1),
        "time",
        some=True,
    ),
    Claim(
        "Inference time goes with training time",
        "§4",
        "highly correlated",
        inference_follows,
        "correlation of the times per image, over all networks",
        above(HIGH),
        "time",
    ),
    Claim(
        "Of simple and compound scaling, w gives the fewest activations",
        "§3.3, §3.4, Figure 11",
        "fewest",
        versus("acts", "w", *SLOWER),
        "acts of w over those of the other strategy, at equal flops",
        below(1),
        "counted",
    ),
    Claim(
        "Of simple and compound scaling, w gives the fastest networks",
        "§6.2, Figures 4 and 11",
        "fastest",
        versus("time", "w", *SLOWER),
        "epoch time of w over that of each other strategy, at equal flops",
        below(1),
        "time",
    ),
    Claim(
        "dWr is nearly as fast as w",
        "§6.3, Figures 1 and 6",
        "nearly",
        share_of_speedup,
        "geometric mean of the epoch times of dwr and w over that of dWr, at equal flops: above 1 if dWr has more than "
        "half of w's speedup",
        above(1),
        "time",
    ),
    Claim(
        "dWr is much faster than dwr",
        "§6.3, Figures 1 and 6",
        "substantially",
        much_faster("dWr", "dwr"),
        "epoch time of dwr over that of dWr, at equal flops",
        above(1, "the root of the ratio of their acts"),
        "time",
    ),
    Claim(
        "dWr is much faster than dw",
        "Figure 1",
        "much",
        much_faster("dWr", "dw"),
        "epoch time of dw over that of dWr, at equal flops",
        above(1, "the root of the ratio of their acts"),
        "time",
    ),
    Claim(
        "The difference in runtime becomes more pronounced at larger scales",
        "§6.3",
        "asymptotically",
        more_pronounced("time", "dwr", "dWr"),
        "epoch time of dwr over that of dWr at the largest common flops, divided by that halfway, by log flops",
        above(1),
        "time",
    ),
    Claim(
        "The difference in memory becomes more pronounced at larger scales",
        "§6.3",
        "asymptotically",
        more_pronounced("memory", "dwr", "dWr"),
        "peak memory per image of dwr over that of dWr at the largest common flops, divided by that halfway, on a GPU",
        above(1),
        "memory",
    ),
    Claim(
        "The larger alpha, the fewer activations",
        "§5, Table 4, Figure 12",
        "lowest for a large alpha",
        by_alpha("acts"),
        "acts of an alpha over those of the next smaller one, at equal flops",
        below(1),
        "counted",
    ),
    Claim(
        "The larger alpha, the faster the network",
        "§5, §6.3, Figures 6 and 12",
        "lowest for a large alpha",
        by_alpha("time"),
        "epoch time of an alpha over that of the next smaller one, at equal flops",
        below(1),
        "time",
    ),
    Claim(
        "Uniform compound scaling (dwr) is close in runtime to the original rule (orig)",
        "§6.2, Figure 4",
        "closely",
        versus("time", "dwr", "orig"),
        "epoch time of dwr over that of orig, or orig's over dwr's, at equal flops",
        within(CLOSE),
        "time",
    ),
)

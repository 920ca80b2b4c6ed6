"""Claims on what predicts runtime (section 4) and which strategy is fast (section 6)."""

import math
from collections.abc import Iterator

from fastscale.analysis.claims.claim import Claim, Measure, above, at_least, at_most, below
from fastscale.analysis.claims.comparisons import apart, by_alpha, versus
from fastscale.analysis.claims.evidence import Case, Evidence
from fastscale.analysis.results.fits import fit_line

CORRELATION = 0.99  # "r >= 0.99" (section 4, Figure 2)
NEARLY = 0.5  # "nearly as fast": by the exponents of acts dWr has (5/6 - 3/5) / (5/6 - 1/2) = 0.7 of w's speedup on dwr
MUCH = 1.4  # "much faster": dw has s^(3/4 - 3/5) = 1.43 times the acts of dWr at Figure 1's s = 11, and dwr more
CLOSE = 1.25  # "close": acts of orig and dwr differ by s^0.02, which is 1.05 at s = 11; depths of orig are rounded up


def activations_predict(evidence: Evidence) -> Iterator[Case]:
    """Correlate activations with time, over all scaled networks of each base."""
    for base, rows in evidence.scaled().items():
        yield evidence.correlation(base, rows, "acts")


def predicts_less(quantity: str) -> Measure:
    """Subtract the correlation of activations with time from the correlation of `quantity` with time, on each base."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base, rows in evidence.scaled().items():
            acts, other = (evidence.correlation(base, rows, key) for key in ("acts", quantity))
            yield _minus(base, other, acts, f"{other.words} (acts {acts.words})")

    return cases


def predicts_within(quantity: str, *strategies: str) -> Measure:
    """Correlate a quantity with time on each curve of three points or more, of these strategies or, if none, of all."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base, strategy in evidence.curves():
            rows = evidence.rows((base, strategy))
            if len(rows) > 2 and (not strategies or strategy in strategies):
                yield evidence.correlation(f"{base} {strategy}", rows, quantity)

    return cases


def activations_across_bases(evidence: Evidence) -> Iterator[Case]:
    """Compare two correlations of activations with time: that over all bases together, and the least within a base."""
    scaled = evidence.scaled()
    if len(scaled) > 1:
        within = [evidence.correlation(base, rows, "acts") for base, rows in scaled.items()]
        across = evidence.correlation("", [row for rows in scaled.values() for row in rows], "acts")
        least = min(within, key=lambda case: -1 if case.number is None else case.number)
        yield _minus("all bases", across, least, f"{across.words} (within one base at least {least.words})")


def flop_bound(evidence: Evidence) -> Iterator[Case]:
    """Compare the measured time of a base's largest network with the time that its activations predict.

    The prediction is a line through the base's other networks. The case is the base with the largest ratio.
    """
    cases = []
    for base, rows in evidence.scaled().items():
        timed = [(row, row.time.seconds) for row in sorted(rows, key=lambda row: row.flops) if row.time]
        if len(timed) == len(rows):
            *others, (largest, seconds) = timed
            line = fit_line([row.acts for row, _ in others], [time for _, time in others])
            ratio = seconds / line.at(largest.acts) if line else 0
            cases.append(Case(base, ratio, f"{ratio:.2f}", len(rows), "points"))
    if evidence.scaled():
        yield max(cases, key=lambda case: case.value, default=Case("largest"))


def share_of_speedup(evidence: Evidence) -> Iterator[Case]:
    """Measure the speedup of dWr over dwr as a share of the speedup of w over dwr, in log time, on each base."""
    for base in evidence.bases:
        curves = [(base, strategy) for strategy in ("dwr", "dWr", "w")]
        if set(curves) <= set(evidence.curves()):
            levels = evidence.levels("time", curves)
            if levels is None:
                yield Case(base)
                continue
            dwr, fast, w = (level.value for level in levels)
            # Where dWr is as fast as w, it has all of the speedup; where w is no faster than dwr, there is none.
            share = 1.0 if fast <= w else math.log(dwr / fast) / math.log(dwr / w) if w < dwr else 0.0
            yield Case(base, share, f"{share:.2f} ({fast / w:.2f} times w's)", levels[0].n, "timed steps")


def more_pronounced(slow: str, fast: str) -> Measure:
    """Compare the ratio of two strategies' times at the largest common flops with the ratio halfway, by log flops."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base in evidence.bases:
            if {(base, slow), (base, fast)} <= set(evidence.curves()):
                curves = [(base, slow), (base, fast)]
                middle, end = (evidence.levels("time", curves, share=share) for share in (0.5, 1))
                if middle is None or end is None:
                    yield Case(base)
                    continue
                halfway, largest = (a.value / b.value for a, b in (middle, end))
                yield Case(base, largest / halfway, f"{halfway:.2f}, then {largest:.2f}", middle[0].n, "timed steps")

    return cases


def _minus(name: str, a: Case, b: Case, words: str) -> Case:
    return Case(name) if a.number is None or b.number is None else Case(name, a.number - b.number, words, a.n, a.unit)


SLOWER = ("d", "r", "dw", "wr", "dr", "dwr", "orig")  # all simple and compound strategies but w

CLAIMS = (
    Claim(
        "Activations predict the runtime of the scaled versions of a base, whatever the strategy",
        "§4, Figure 2",
        "correlation ≥ 0.99",
        activations_predict,
        "correlation (Pearson's) of acts and epoch time, over all strategies of a base",
        at_least(CORRELATION),
    ),
    Claim(
        "Flops predict runtime less well than activations",
        "§4, Figure 2",
        "correlation 0.81, of acts 0.99",
        predicts_less("flops"),
        "correlation of flops minus that of acts, over all strategies of a base",
        below(0),
    ),
    Claim(
        "Params predict runtime less well than activations",
        "§4, Figure 2",
        "correlation 0.56, of acts 0.99",
        predicts_less("params"),
        "correlation of params minus that of acts, over all strategies of a base",
        below(0),
    ),
    Claim(
        "Within one strategy, flops predict runtime",
        "Figure 2",
        "correlation 0.99 (w)",
        predicts_within("flops"),
        "correlation of flops and epoch time on each curve of 3 networks or more",
        at_least(CORRELATION),
    ),
    Claim(
        "Within one base, activations predict the runtime of the fast-scaled networks",
        "Figure 9",
        "strongly",
        predicts_within("acts", "dWr"),
        f"correlation of acts and epoch time on each curve of dWr; the bound is Figure 2's {CORRELATION}",
        at_least(CORRELATION),
    ),
    Claim(
        "Across bases, activations predict runtime less well than within one base",
        "§4, Figure 2",
        "correlation 0.95, within one base ≥ 0.99",
        activations_across_bases,
        "correlation of acts and epoch time over all bases, minus the least one within a base",
        below(0),
    ),
    Claim(
        "Some big networks take longer than their activations predict: they are flop bound",
        "§4, Figure 2",
        "some",
        flop_bound,
        "time of a base's network of most flops over that by the line through its others; the largest of all bases",
        above(1),
    ),
    Claim(
        "Of simple and compound scaling, w gives the fewest activations",
        "§3.3, §3.4, Figure 11",
        "fewest",
        versus("acts", "w", *SLOWER),
        "acts of w over those of the other strategy, at equal flops",
        below(1),
    ),
    Claim(
        "Of simple and compound scaling, w gives the fastest networks",
        "§6.2, Figures 4 and 11",
        "fastest",
        versus("time", "w", *SLOWER),
        "epoch time of w over that of the other strategy, at equal flops",
        below(1),
    ),
    Claim(
        "dWr is nearly as fast as w",
        "§6.3, Figures 1 and 6",
        "nearly",
        share_of_speedup,
        "share of w's speedup over dwr that dWr has, in log time, at equal flops (0.7 by the exponents of acts)",
        at_least(NEARLY),
    ),
    Claim(
        "dWr is much faster than dwr",
        "§6.3, Figures 1 and 6",
        "substantially",
        versus("time", "dwr", "dWr"),
        "epoch time of dwr over that of dWr, at equal flops (the published EN-B4 over EN-B0->4GF: 1.73)",
        at_least(MUCH),
    ),
    Claim(
        "dWr is much faster than dw",
        "Figure 1",
        "much",
        versus("time", "dw", "dWr"),
        "epoch time of dw over that of dWr, at equal flops (1.43 by the exponents of acts, at s = 11)",
        at_least(MUCH),
    ),
    Claim(
        "The difference in runtime becomes more pronounced at larger scales",
        "§6.3",
        "asymptotically",
        more_pronounced("dwr", "dWr"),
        "epoch time of dwr over that of dWr at the largest common flops, divided by that halfway, by log flops",
        above(1),
    ),
    Claim(
        "The larger alpha, the fewer activations",
        "§5, Table 4, Figure 12",
        "lowest for a large alpha",
        by_alpha("acts"),
        "acts of an alpha over those of the next smaller one, at equal flops",
        below(1),
    ),
    Claim(
        "The larger alpha, the faster the network",
        "§5, §6.3, Figures 6 and 12",
        "lowest for a large alpha",
        by_alpha("time"),
        "epoch time of an alpha over that of the next smaller one, at equal flops",
        below(1),
    ),
    Claim(
        "Uniform compound scaling (dwr) is close in runtime to the original rule (orig)",
        "§6.2, Figure 4",
        "closely",
        apart("time", "dwr", "orig"),
        "the larger epoch time of dwr and orig over the smaller, at equal flops",
        at_most(CLOSE),
    ),
)

"""Claims on which strategy is accurate (sections 6.1 to 6.3, Figure 10)."""

from collections.abc import Iterator

from fastscale.analysis.claims.claim import Claim, Measure, above, at_most, below
from fastscale.analysis.claims.comparisons import apart, compound_strategies, versus
from fastscale.analysis.claims.evidence import Case, Evidence, Reading, combine, compare, difference
from fastscale.analysis.results.published import numbers, published

CLOSE = 0.5  # percentage points; the paper calls 0.6 a difference (section 6.4)


def falls_with_scale(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of each curve's largest network with that of its smallest."""
    for key in evidence.curves("error"):
        rows = sorted(evidence.rows(key, "error"), key=lambda row: row.flops)
        if len(rows) > 1:
            yield compare(" ".join(key), "error", *(evidence.reading(rows[i], "error") for i in (-1, 0)))


def any_alpha(evidence: Evidence) -> Iterator[Case]:
    """Measure by how much the error of w (alpha 1) is above the mean error of smaller alphas, on each base.

    The spread of the errors of the smaller alphas, largest minus smallest, is subtracted.
    """
    for base in evidence.bases:
        smaller = [strategy for strategy in compound_strategies(evidence, base, "error") if strategy != "w"]
        if len(smaller) < 2 or (base, "w") not in evidence.curves("error"):
            continue
        levels = evidence.levels("error", [(base, strategy) for strategy in (*smaller, "w")])
        if levels is None:
            yield Case(base)
            continue
        *errors, w = levels
        gap = combine((1, w), *((-1 / len(errors), error) for error in errors))
        spread = combine((1, max(errors)), (-1, min(errors)))
        words = f"gap {gap.value:.2f}, spread {spread.value:.2f}: {gap.value - spread.value:+.2f}"
        yield difference(base, combine((1, gap), (-1, spread)), words)


def w_suits_regnets(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of w minus that of dWr on each RegNet with the same difference on the EfficientNet."""
    losses: dict[str, Reading | None] = {}
    for family, base in evidence.family_bases.items():
        if (base, "w") in evidence.curves("error"):
            levels = evidence.levels("error", [(base, "w"), (base, "dWr")])
            losses[family] = combine((1, levels[0]), (-1, levels[1])) if levels else None
    for family in losses if "EfficientNet" in losses else ():
        if family.startswith("RegNet"):
            yield compare(evidence.family_bases[family], "error", losses[family], losses["EfficientNet"])


def groups(strategy: str) -> Measure:
    """Compare the error of a base with group convolutions, scaled by `strategy`, with that of its depthwise twin."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base, twin in evidence.twins:
            if {(base, strategy), (twin, strategy)} <= set(evidence.curves("error")):
                yield evidence.pair("error", (base, strategy), (twin, strategy), f"{base}/{twin}")

    return cases


def against_efficientnet(of_twin: bool) -> Measure:
    """Compare the error of a RegNetZ that has a depthwise twin, or `of_twin`, with the error of the EfficientNet."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        rival = evidence.family_bases.get("EfficientNet")
        for pair in evidence.twins:
            base = pair[of_twin]
            is_z = evidence.bases[base].family == "RegNetZ"
            if is_z and rival and {(base, "dWr"), (rival, "dWr")} <= set(evidence.curves("error")):
                yield evidence.pair("error", (base, "dWr"), (rival, "dWr"), f"{base}/{rival}")

    return cases


def longer_schedules(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of each network by its longest schedule with that by its shortest."""
    epochs = evidence.sweep.config["schedules"]
    requested: dict[str, list[str]] = {}
    for network, schedule in evidence.sweep.trainings(evidence.results.selections):
        requested.setdefault(network, []).append(schedule)
    for row in evidence.distinct:
        schedules = sorted(requested.get(row.point.network.id, ()), key=epochs.__getitem__)
        if len(schedules) > 1:
            yield compare(row.name, "error", *(evidence.reading(row, "error", schedules[i]) for i in (-1, 0)))


def reproduced(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of EfficientNets by the 4x schedule with the error that their authors reported first."""
    reported = numbers()["efficientnet_publication_error"]
    for row in evidence.distinct:
        paper = published(row.point.network)
        if paper and paper.name in reported and "4x" in paper.errors:
            ours = evidence.reading(row, "error", "4x")
            yield compare(paper.name, "error", ours, Reading(reported[paper.name]["icml"], 0.0, ours.n if ours else 1))


CLAIMS = (
    Claim(
        "The training setup outperforms the errors that EfficientNet's authors first reported",
        "§6.1, Table 5",
        "-1.4 to -0.1",
        reproduced,
        "error of EN-B0 to B4 on ImageNet by 4x minus that of the ICML paper",
        below(0),
    ),
    Claim(
        "Longer schedules lower errors",
        "Tables 5, 6 and 8",
        "every network",
        longer_schedules,
        "error by the longest schedule minus that by the shortest, of each network with several",
        below(0),
    ),
    Claim(
        "Errors fall with scale",
        "Figures 4 to 8",
        "every curve",
        falls_with_scale,
        "error of a curve's largest network minus that of its base",
        below(0),
    ),
    Claim(
        "dwr is more accurate than simple scaling",
        "§6.2, Figures 4 and 5",
        "best",
        versus("error", "dwr", "d", "w", "r"),
        "error of dwr minus that of d, w and r, at equal flops",
        below(0),
    ),
    Claim(
        "dwr is more accurate than uniform scaling along pairs of dimensions",
        "§6.2",
        "best (not shown)",
        versus("error", "dwr", "dw", "wr", "dr"),
        "error of dwr minus that of dw, wr and dr, at equal flops",
        below(0),
    ),
    Claim(
        "Uniform compound scaling (dwr) is close in accuracy to the original rule (orig)",
        "§6.2, Figure 4",
        "closely",
        apart("error", "dwr", "orig"),
        "absolute difference of the errors of dwr and orig, at equal flops (0.6 is a difference in §6.4)",
        at_most(CLOSE),
    ),
    Claim(
        "Any alpha below 1 is about as accurate, with a sizable gap to w",
        "§6.3, Figure 6",
        "quite similar",
        any_alpha,
        "error of w minus the mean of smaller alphas (gap), minus the spread of these, at equal flops",
        above(0),
    ),
    Claim(
        "dWr is more accurate than w",
        "§6.3, Figures 1, 6 and 7",
        "substantially",
        versus("error", "dWr", "w"),
        "error of dWr minus that of w, at equal flops",
        below(0),
    ),
    Claim(
        "dWr is as accurate as dwr",
        "§6.3, Figures 1, 6 and 7",
        "both highest",
        versus("error", "dWr", "dwr"),
        "error of dWr minus that of dwr, at equal flops (0.6 is a difference in §6.4)",
        at_most(CLOSE),
    ),
    Claim(
        "w is more effective for RegNets than for EfficientNet",
        "§6.3",
        "more effective",
        w_suits_regnets,
        "error of w minus that of dWr at equal flops, on a RegNet minus on the EfficientNet",
        below(0),
    ),
    Claim(
        "w scaling of RegNets does worse with g = 1 than with g scaled",
        "§6.3",
        "worse",
        groups("w"),
        "error by w with g scaled minus that of the same base with g = 1, at equal flops",
        below(0),
    ),
    Claim(
        "At higher flops, group conv is better than depthwise conv",
        "Figure 10",
        "better",
        groups("dWr"),
        "error by dWr with g scaled minus that of the same base with g = 1, at equal flops",
        below(0),
    ),
    Claim(
        "At higher flops, RegNetZ is better than EfficientNet",
        "Figure 10",
        "better",
        against_efficientnet(of_twin=False),
        "error of RegNetZ by dWr minus that of the EfficientNet, at equal flops",
        below(0),
    ),
    Claim(
        "RegNetZ-G1 is better than EfficientNet",
        "Figure 10",
        "better",
        against_efficientnet(of_twin=True),
        "error of RegNetZ with g = 1 by dWr minus that of the EfficientNet, at equal flops",
        below(0),
    ),
)

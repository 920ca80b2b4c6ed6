"""Claims on which strategy is accurate (sections 6.1 to 6.3, Figure 10)."""

from collections.abc import Iterator

from fastscale.analysis.claims.claim import Claim, Measure, above, below, within
from fastscale.analysis.claims.comparisons import compound_strategies, versus
from fastscale.analysis.claims.evidence import Case, Evidence, compare, judged
from fastscale.analysis.results.estimate import Reading, combine, mean
from fastscale.analysis.results.published import numbers, published

CLOSE = 0.5  # percentage points; the paper calls 0.6 a difference (section 6.4)
NOT_SMALLER = ("w", "dr")  # alpha 1, and alpha 0, which the paper's Figure 6 does not have
FEWEST_ALPHAS = 2  # smaller than 1, of which a claim says that they are alike


def falls_with_scale(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of each curve's largest network with that of its smallest."""
    for key in evidence.curves("error"):
        rows = sorted(evidence.rows(key, "error"), key=lambda row: row.flops)
        if len(rows) > 1:
            yield compare(" ".join(key), "error", *(evidence.reading(rows[i], "error") for i in (-1, 0)), group=key[0])


def any_alpha(evidence: Evidence) -> Iterator[Case]:
    """Measure how much more than half of the gap to w each smaller alpha has, on each base; a group for each alpha.

    The gap is the error of w (alpha 1) minus the mean error of the smaller alphas.
    """
    for base in evidence.bases:
        smaller = [name for name in compound_strategies(evidence, base, "error") if name not in NOT_SMALLER]
        if len(smaller) < FEWEST_ALPHAS or (base, "w") not in evidence.curves("error"):
            continue
        levels = evidence.levels("error", [(base, strategy) for strategy in (*smaller, "w")])
        if isinstance(levels, str):
            yield from (Case(base, group=strategy, gap=levels) for strategy in smaller)
            continue
        *errors, w = levels
        gap = combine((1, w), (-1, mean(errors)))
        for strategy, error in zip(smaller, errors, strict=True):
            more = combine((1, w), (-1, error), (-0.5, gap))
            words = f"{more.value:+.2f} (gap {gap.value:+.2f})"
            yield judged(base, "error", more, strategy, words=words)


def w_suits_regnets(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of w minus that of dWr on each RegNet with the same difference on the EfficientNet."""
    losses: dict[str, Reading | str] = {}
    for family, base in evidence.family_bases.items():
        if (base, "w") in evidence.curves("error"):
            levels = evidence.levels("error", [(base, "w"), (base, "dWr")])
            losses[family] = levels if isinstance(levels, str) else combine((1, levels[0]), (-1, levels[1]))
    theirs = losses.pop("EfficientNet", None)
    for family, ours in losses.items() if theirs is not None else ():
        base, readings = evidence.family_bases[family], [each for each in (ours, theirs) if isinstance(each, Reading)]
        gap = next((each for each in (ours, theirs) if isinstance(each, str)), "")
        yield compare(base, "error", *readings) if len(readings) == 2 else Case(base, gap=gap)


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


def reproduced(reported: str) -> Measure:
    """Compare the errors of networks by the 4x schedule with those that were reported first."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        first = {name: row["icml"] if isinstance(row, dict) else row for name, row in numbers()[reported].items()}
        for row in evidence.distinct:
            paper = published(row.point.network)
            if paper and paper.name in first and "4x" in paper.errors:
                ours = evidence.reading(row, "error", "4x")
                yield compare(paper.name, "error", ours, Reading(first[paper.name], n=ours.n if ours else 1))

    return cases


CLAIMS = (
    Claim(
        "The training setup outperforms the errors that EfficientNet's authors first reported",
        "§6.1, Table 5",
        "-1.4 to -0.1",
        reproduced("efficientnet_publication_error"),
        "error of EN-B0 to B4 on ImageNet by 4x minus that of the ICML paper",
        below(0),
        "error",
    ),
    Claim(
        "The training setup lowers the errors of ResNet50 and ResNeXt50 by about 3 points",
        "Table 8",
        "about -3",
        reproduced("resnet_publication_error"),
        "error by 4x on ImageNet minus that reported first (Xie et al. 2017, Table 3)",
        below(-2),
        "error",
    ),
    Claim(
        "Longer schedules lower errors",
        "Tables 5, 6 and 8",
        "every network",
        longer_schedules,
        "error by the longest schedule minus that by the shortest, of each network with several",
        below(0),
        "error",
    ),
    Claim(
        "Errors fall with scale",
        "Figures 4 to 8",
        "every curve",
        falls_with_scale,
        "error of a curve's largest network minus that of its base",
        below(0),
        "error",
    ),
    Claim(
        "dwr is more accurate than simple scaling",
        "§6.2, Figures 4 and 5",
        "best",
        versus("error", "dwr", "d", "w", "r"),
        "error of dwr minus that of d, w and r, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "dwr is more accurate than uniform scaling along pairs of dimensions",
        "§6.2",
        "best (not shown)",
        versus("error", "dwr", "dw", "wr", "dr"),
        "error of dwr minus that of dw, wr and dr, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "Uniform compound scaling (dwr) is close in accuracy to the original rule (orig)",
        "§6.2, Figure 4",
        "closely",
        versus("error", "dwr", "orig"),
        "error of dwr minus that of orig, at equal flops, whatever its sign (0.6 is a difference in §6.4)",
        within(CLOSE),
        "error",
    ),
    Claim(
        "Any alpha below 1 is about as accurate, with a sizable gap to w",
        "§6.3, Figure 6",
        "quite similar",
        any_alpha,
        "error of w minus that of each smaller alpha, minus half of the gap between w and their mean, at equal flops",
        above(0),
        "error",
    ),
    Claim(
        "dWr is more accurate than w",
        "§6.3, Figures 1, 6 and 7",
        "substantially",
        versus("error", "dWr", "w"),
        "error of dWr minus that of w, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "dWr is as accurate as dwr",
        "§6.3, Figures 1, 6 and 7",
        "both highest",
        versus("error", "dWr", "dwr"),
        "error of dWr minus that of dwr, at equal flops (0.6 is a difference in §6.4)",
        below(CLOSE),
        "error",
    ),
    Claim(
        "w is more effective for RegNets than for EfficientNet",
        "§6.3",
        "more effective",
        w_suits_regnets,
        "error of w minus that of dWr at equal flops, on a RegNet minus on the EfficientNet",
        below(0),
        "error",
    ),
    Claim(
        "w scaling of RegNets does worse with g = 1 than with g scaled",
        "§6.3",
        "worse",
        groups("w"),
        "error by w with g scaled minus that of the same base with g = 1, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "At higher flops, group conv is better than depthwise conv",
        "Figure 10",
        "better",
        groups("dWr"),
        "error by dWr with g scaled minus that of the same base with g = 1, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "At higher flops, RegNetZ is better than EfficientNet",
        "Figure 10",
        "better",
        against_efficientnet(of_twin=False),
        "error of RegNetZ by dWr minus that of the EfficientNet, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "RegNetZ-G1 is better than EfficientNet",
        "Figure 10",
        "better",
        against_efficientnet(of_twin=True),
        "error of RegNetZ with g = 1 by dWr minus that of the EfficientNet, at equal flops",
        below(0),
        "error",
    ),
)

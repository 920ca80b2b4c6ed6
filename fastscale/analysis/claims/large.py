"""Claims on large networks (section 6.5, Figures 8 and 9, Table 8)."""

from collections.abc import Iterator
from itertools import combinations

from fastscale.analysis.claims.claim import Claim, Measure, at_least, at_most, below
from fastscale.analysis.claims.comparisons import versus_families
from fastscale.analysis.claims.evidence import Case, Evidence, Reading, combine, compare, difference
from fastscale.networks import base_network
from fastscale.networks.complexity import count

OURS, THEIRS = "RegNetY-4GF->16GF", "EN-B4"  # the fast-scaled network, and the original EfficientNet beside it
TIMES_AS_MANY = 3.5  # "~4x as many flops": 15.5 GF are 3.5 times 4.4 GF (Table 8)


def ranking(evidence: Evidence) -> Iterator[Case]:
    """Count the pairs of families that change order from the smallest to the largest common flops."""
    for errors in _regimes(evidence):
        if errors is None:
            yield Case("families")
            continue
        small, large = errors
        swapped = sum(
            (small[a].value < small[b].value) != (large[a].value < large[b].value) for a, b in combinations(small, 2)
        )
        orders = [" < ".join(sorted(level, key=lambda name: level[name].value)) for level in errors]
        yield Case(f"{swapped} change:", swapped, ", then ".join(orders), len(small), "families")


def gap(evidence: Evidence) -> Iterator[Case]:
    """Compare the gap between highest and lowest error at the largest common flops with that at the smallest."""
    for errors in _regimes(evidence):
        if errors is None:
            yield Case("families")
            continue
        first, last = (combine((1, max(level.values())), (-1, min(level.values()))) for level in errors)
        words = f"{first.value:.2f}, then {last.value:.2f}: {last.value - first.value:+.2f}"
        yield difference("gap", combine((1, last), (-1, first)), words)


def faster_than_orig(evidence: Evidence) -> Iterator[Case]:
    """Compare the time of each family, scaled by dWr, with that of the EfficientNet scaled by its own rule."""
    for family in evidence.family_bases:
        yield from versus_families("time", family, "EfficientNet", strategy="orig")(evidence)


def tradeoff(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of RegNets, scaled by dWr, with the EfficientNet's, by dWr or its own rule, at equal time."""
    for family in ("RegNetY", "RegNetZ"):
        for strategy in ("dWr", "orig"):
            yield from versus_families("error", family, "EfficientNet", x="time", strategy=strategy)(evidence)


def named(y: str) -> Measure:
    """Compare the measured `y` of the paper's 16 GF RegNetY with that of EN-B4."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        ours, theirs = evidence.named(OURS), evidence.named(THEIRS)
        if ours is not None and theirs is not None:
            schedule = evidence.longest(ours, theirs)
            readings = (evidence.reading(row, y, schedule) for row in (ours, theirs))
            yield compare(schedule if y == "error" else "ratio", y, *readings)

    return cases


def counted(y: str) -> Measure:
    """Compare the count `y` of the paper's 16 GF RegNetY with that of EN-B4; this needs no measurement."""

    def cases(_: Evidence) -> Iterator[Case]:
        ours, theirs = (Reading(getattr(count(base_network(name)), y)) for name in (OURS, THEIRS))
        yield compare("ratio", y, ours, theirs)

    return cases


def _regimes(evidence: Evidence) -> Iterator[list[dict[str, Reading]] | None]:
    """Read the errors of all families' bases, scaled by dWr, at the smallest and at the largest common flops.

    Yields nothing where the sweep scales fewer than two families, and None where a curve has a gap.
    """
    names = list(evidence.family_bases.values())
    if len(names) > 1:
        low, high = (evidence.levels("error", [(name, "dWr") for name in names], share=share) for share in (0, 1))
        yield None if low is None or high is None else [dict(zip(names, level, strict=True)) for level in (low, high)]


CLAIMS = (
    Claim(
        "The ranking of families is consistent across flop regimes",
        "§6.5, Figure 8",
        "consistent",
        ranking,
        "pairs of families, by dWr, that change order from the smallest to the largest flops that all reach",
        at_most(0),
    ),
    Claim(
        "RegNetZ has the best accuracy",
        "§6.5, Figure 8",
        "best",
        versus_families("error", "RegNetZ", "RegNetY", "EfficientNet"),
        "error of RegNetZ minus that of the other family, by dWr, at equal flops",
        below(0),
    ),
    Claim(
        "The gap between the highest and lowest error shrinks with scale",
        "§6.5",
        "2.2 to 0.8 points",
        gap,
        "gap at the largest flops that all families reach minus that at the smallest, by dWr",
        below(0),
    ),
    Claim(
        "Fast-scaled networks are asymptotically faster than the original EfficientNets",
        "§6.5, Figure 8",
        "all of them",
        faster_than_orig,
        "epoch time of a family by dWr over that of the EfficientNet by orig, at equal flops",
        below(1),
    ),
    Claim(
        "RegNetY is the fastest family",
        "§6.5, Figure 8",
        "fastest",
        versus_families("time", "RegNetY", "RegNetZ", "EfficientNet"),
        "epoch time of RegNetY over that of the other family, by dWr, at equal flops",
        below(1),
    ),
    Claim(
        "RegNetY and RegNetZ offer the best tradeoff of speed and accuracy",
        "Figure 9",
        "best",
        tradeoff,
        "error of a RegNet by dWr minus that of the EfficientNet by dWr or orig, at the largest time that both reach",
        below(0),
    ),
    Claim(
        f"{OURS} has about 4 times as many flops as {THEIRS}",
        "§6.5, Table 8",
        "15.5 over 4.4 GF: 3.52",
        counted("flops"),
        "ratio of their flops (counted)",
        at_least(TIMES_AS_MANY),
    ),
    Claim(
        f"{OURS} has fewer activations than {THEIRS}",
        "Table 8",
        "30.7 over 49.5 M: 0.62",
        counted("acts"),
        "ratio of their acts (counted)",
        below(1),
    ),
    Claim(
        f"{OURS} is faster than {THEIRS}",
        "§6.5, Table 8",
        "16.4 over 19.2 min: 0.85",
        named("time"),
        "ratio of their epoch times",
        below(1),
    ),
    Claim(
        f"{OURS} uses less memory than {THEIRS}",
        "§6.5",
        "less",
        named("memory"),
        "ratio of their peak memory per image, on a GPU",
        below(1),
    ),
    Claim(
        f"{OURS} is more accurate than {THEIRS}",
        "§1, Table 8",
        "-0.7, 4x",
        named("error"),
        "difference of their errors on ImageNet, by the longest schedule of both",
        below(0),
    ),
)

"""Claims on large networks (section 6.5, Figures 8 and 9, Table 8)."""

import math
from collections.abc import Iterator
from itertools import combinations

from fastscale.analysis.claims.claim import Claim, Measure, above, below
from fastscale.analysis.claims.comparisons import versus_families
from fastscale.analysis.claims.evidence import Case, Evidence, compare, judged
from fastscale.analysis.results.estimate import Interval, Reading, combine, interval
from fastscale.networks import base_network
from fastscale.networks.complexity import count

OURS, THEIRS = "RegNetY-4GF->16GF", "EN-B4"  # the fast-scaled network, and the original EfficientNet beside it
REGNETS = ("RegNetY", "RegNetZ")
TIMES_AS_MANY = 3.5  # "~4x as many flops": 15.5 GF are 3.5 times 4.4 GF (Table 8)


def ranking(evidence: Evidence) -> Iterator[Case]:
    """Compare each two families at the smallest and at the largest common flops: are both differences of one sign?

    The number of a pair is the smaller of the two differences, negative where their signs differ; its interval is that
    of the less certain one.
    """
    for a, b in combinations(evidence.family_bases.values(), 2):
        name = f"{a}/{b}"
        differences = [_difference(evidence, a, b, share) for share in (0, 1)]
        if any(isinstance(each, str) for each in differences):
            yield Case(name, group=name, gap=next(each for each in differences if isinstance(each, str)))
            continue
        small, large = (interval(each) for each in differences if isinstance(each, Reading))
        nearest = min(abs(small.value), abs(large.value)) * (1 if small.value * large.value > 0 else -1)
        half = max(small.above, large.above)
        words = f"{small.value:+.2f}, then {large.value:+.2f}"
        n = min(each.n for each in differences if isinstance(each, Reading))
        yield Case(name, Interval(nearest, half, half), name, scale="points", n=n, unit="trials", words=words)


def gap(evidence: Evidence) -> Iterator[Case]:
    """Subtract the gap in error between RegNetY and RegNetZ at the smallest common flops from that at the largest."""
    y, z = (evidence.family_bases.get(family) for family in ("RegNetY", "RegNetZ"))
    if y and z:
        first, last = (_difference(evidence, y, z, share) for share in (0, 1))
        if isinstance(first, Reading) and isinstance(last, Reading):
            words = f"{first.value:+.2f}, then {last.value:+.2f}"
            yield judged(f"{y}/{z}", "error", combine((1, last), (-1, first)), words=words)
        else:
            yield Case(f"{y}/{z}", gap=str(first))


def faster_than_orig(evidence: Evidence) -> Iterator[Case]:
    """Compare the time of each family, scaled by dWr, with that of the EfficientNet scaled by its own rule."""
    for family in evidence.family_bases:
        yield from versus_families("time", family, "EfficientNet", strategy="orig", by="itself")(evidence)


def tradeoff(evidence: Evidence) -> Iterator[Case]:
    """Compare the error of RegNets, scaled by dWr, with the EfficientNet's, by dWr or its own rule, at equal time."""
    for family in REGNETS:
        for strategy in ("dWr", "orig"):
            measure = versus_families("error", family, "EfficientNet", x="time", strategy=strategy, by="itself")
            yield from measure(evidence)


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
        ours, theirs = (Reading(math.log(getattr(count(base_network(name)), y))) for name in (OURS, THEIRS))
        yield compare("ratio", y, ours, theirs)

    return cases


def _difference(evidence: Evidence, a: str, b: str, share: float) -> Reading | str:
    """Subtract the error of base `b` from that of base `a`, both scaled by dWr, or say why it is not known.

    They are compared where all families have curves: at the smallest common flops (`share` 0) or the largest (1).
    """
    names = list(evidence.family_bases.values())
    levels = evidence.levels("error", [(name, "dWr") for name in names], share=share)
    if isinstance(levels, str):
        return levels
    by_name = dict(zip(names, levels, strict=True))
    return combine((1, by_name[a]), (-1, by_name[b]))


CLAIMS = (
    Claim(
        "The ranking of families is consistent across flop regimes",
        "§6.5, Figure 8",
        "consistent",
        ranking,
        "difference in error of each two families, by dWr, at the smallest and the largest flops that all reach: the "
        "nearer to 0 of both, negative where their signs differ",
        above(0),
        "error",
    ),
    Claim(
        "RegNetZ has the best accuracy",
        "§6.5, Figure 8",
        "best",
        versus_families("error", "RegNetZ", "RegNetY", "EfficientNet"),
        "error of RegNetZ minus that of the other family, by dWr, at equal flops",
        below(0),
        "error",
    ),
    Claim(
        "The gap in error between RegNetY and RegNetZ shrinks with scale",
        "§6.5",
        "2.2 to 0.8 points (4x)",
        gap,
        "gap at the largest flops that all families reach minus that at the smallest, by dWr",
        below(0),
        "error",
    ),
    Claim(
        "Fast-scaled networks are asymptotically faster than the original EfficientNets",
        "§6.5, Figure 8",
        "all of them",
        faster_than_orig,
        "epoch time of a family by dWr over that of the EfficientNet by orig, at equal flops",
        below(1),
        "time",
    ),
    Claim(
        "RegNetY is the fastest family",
        "§6.5, Figure 8",
        "fastest",
        versus_families("time", "RegNetY", "RegNetZ", "EfficientNet"),
        "epoch time of RegNetY over that of the other family, by dWr, at equal flops",
        below(1),
        "time",
    ),
    Claim(
        "RegNetY and RegNetZ offer the best tradeoff of speed and accuracy",
        "Figure 9",
        "best",
        tradeoff,
        "error of a RegNet by dWr minus that of the EfficientNet by dWr or orig, at the largest time that both reach",
        below(0),
        "error",
        families=REGNETS,
    ),
    Claim(
        f"{OURS} has about 4 times as many flops as {THEIRS}",
        "§6.5, Table 8",
        "15.5 over 4.4 GF: 3.52",
        counted("flops"),
        "ratio of their flops (counted)",
        above(TIMES_AS_MANY),
        "counted",
    ),
    Claim(
        f"{OURS} has fewer activations than {THEIRS}",
        "Table 8",
        "30.7 over 49.5 M: 0.62",
        counted("acts"),
        "ratio of their acts (counted)",
        below(1),
        "counted",
    ),
    Claim(
        f"{OURS} is faster than {THEIRS}",
        "§6.5, Table 8",
        "16.4 over 19.2 min: 0.85",
        named("time"),
        "ratio of their epoch times",
        below(1),
        "time",
    ),
    Claim(
        f"{OURS} uses less memory than {THEIRS}",
        "§6.5",
        "less",
        named("memory"),
        "ratio of their peak memory per image, on a GPU",
        below(1),
        "memory",
    ),
    Claim(
        f"{OURS} is more accurate than {THEIRS}",
        "§1, Table 8",
        "-0.7, 4x",
        named("error"),
        "difference of their errors on ImageNet, by the longest schedule of both",
        below(0),
        "error",
    ),
)

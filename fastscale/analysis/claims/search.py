"""Claims on scaling, search and both (section 6.4, Table 7)."""

import math
from collections.abc import Callable, Iterator

from fastscale.analysis.claims.claim import Claim, Measure, above, below
from fastscale.analysis.claims.evidence import Case, Evidence, compare, judged
from fastscale.analysis.results.estimate import Reading, combine
from fastscale.analysis.results.results import Row

FAR = 1.25  # "far fewer parameters": the paper's scaled networks have 1.6 and 1.5 times as many (Table 7)
MUCH_OF_THE_GAP = 1 / 3  # the paper's hybrid closes 0.3 of 0.8 points (Table 8, 4x)

Pairs = Callable[[Evidence], Iterator[tuple[Row, Row]]]


def searched(evidence: Evidence) -> Iterator[tuple[Row, Row]]:
    """Pair each base that a search has found with the network of its regime that dWr scaled from another base."""
    for row in evidence.distinct:
        if row.is_base and evidence.is_optimised(row.point.base):
            rival = evidence.of_same_regime(_scaled(evidence, of_optimised=False), row, row.point.network.family)
            if rival:
                yield row, rival


def hybrids(evidence: Evidence) -> Iterator[tuple[Row, Row]]:
    """Pair each hybrid (dWr scaled it from a base that a search has found) with a network scaled from another base."""
    for row in _scaled(evidence, of_optimised=True):
        rival = evidence.of_same_regime(_scaled(evidence, of_optimised=False), row, row.point.network.family)
        if rival:
            yield row, rival


def error_of(pairs: Pairs) -> Measure:
    """Compare the errors of each pair of networks by the longest schedule of both."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for a, b in pairs(evidence):
            schedule = evidence.longest(a, b)
            errors = (evidence.reading(row, "error", schedule) if schedule else None for row in (a, b))
            yield compare(f"{a.name}/{b.name} {schedule}", "error", *errors)

    return cases


def params_of_scaled(evidence: Evidence) -> Iterator[Case]:
    """Compare the params of scaled networks with those of the bases that a search has found."""
    for base, scaled in searched(evidence):
        sizes = (Reading(math.log(row.params)) for row in (scaled, base))
        yield compare(f"{scaled.name}/{base.name}", "params", *sizes)


def blocks_of_last_stage(evidence: Evidence) -> Iterator[Case]:
    """Compare the depth of the last stage of scaled networks with that of the bases that a search has found."""
    for base, scaled in searched(evidence):
        depths = (Reading(math.log(row.point.network.depths[-1])) for row in (scaled, base))
        yield compare(f"{scaled.name}/{base.name}", "depth", *depths)


def gap_closed(evidence: Evidence) -> Iterator[Case]:
    """Measure by how much more than a third a hybrid RegNetY closes the gap from a scaled RegNetY to a scaled RegNetZ.

    A second group is the gap itself: where there is none, none can be closed.
    """
    for hybrid, scaled in hybrids(evidence):
        z = evidence.of_same_regime(_scaled(evidence, of_optimised=False), hybrid, "RegNetZ")
        if hybrid.point.network.family != "RegNetY" or z is None:
            continue
        schedule = evidence.longest(hybrid, scaled, z)
        errors = [evidence.reading(row, "error", schedule) for row in (hybrid, scaled, z)]
        ours, before, goal = errors
        name = f"{hybrid.name} {schedule}"
        if not (schedule and ours and before and goal):
            yield from (Case(name, group=group) for group in ("gain", "gap"))
            continue
        gap = combine((1, before), (-1, goal))
        gain = combine((1, before), (-1, ours))
        more = combine((1, gain), (-MUCH_OF_THE_GAP, gap))
        yield judged(name, "error", more, "gain", words=f"{gain.value:.2f} of {gap.value:+.2f}")
        yield judged(name, "error", gap, "gap")


def _scaled(evidence: Evidence, of_optimised: bool) -> list[Row]:
    """List one row per network that dWr scaled: from bases that a search has found (`of_optimised`), or from others."""
    rows = ((evidence.origin(row.point), row) for row in evidence.results.rows)
    scaled = (row for base, row in rows if base and evidence.is_optimised(base) == of_optimised)
    return list({row.point.network.id: row for row in scaled}.values())


CLAIMS = (
    Claim(
        "A network that is optimised for a regime by search outperforms a scaled one",
        "§6.4, Table 7",
        "-0.6 (Y), -0.1 (Z), 4x",
        error_of(searched),
        "error of a found base minus that of the scaled network (dWr) of its regime, by the longest schedule of both",
        below(0),
        "error",
    ),
    Claim(
        "Hybrid scaling, of a network optimised at an intermediate regime, is better than scaling a small one",
        "§6.4, Table 7",
        "-0.3, 4x",
        error_of(hybrids),
        "error of the scaled found base minus that of another base, scaled, by the longest schedule of both",
        below(0),
        "error",
    ),
    Claim(
        "Optimised networks have far fewer params than scaled ones",
        "§6.4, Table 7",
        "1.6 (Y), 1.5 (Z) times fewer",
        params_of_scaled,
        "params of the network of the regime that dWr scaled over those of the found base",
        above(FAR),
        "counted",
    ),
    Claim(
        "Optimised networks have fewer blocks in the last stage than scaled ones",
        "§6.4",
        "fewer",
        blocks_of_last_stage,
        "depth of the last stage of the network of the regime that dWr scaled over that of the found base",
        above(1),
        "counted",
    ),
    Claim(
        "The hybrid closes much of the gap between RegNetY and RegNetZ",
        "§6.5",
        "0.3 of 0.8, 4x",
        gap_closed,
        "gain of the hybrid RegNetY over the scaled one minus a third of the gap between the scaled RegNetY and "
        "RegNetZ; and that gap",
        above(0),
        "error",
    ),
)

"""Comparisons of curves at equal flops: between strategies of one base, and between families of networks."""

from collections.abc import Iterator
from itertools import pairwise

from fastscale.analysis.claims.claim import Measure
from fastscale.analysis.claims.evidence import Case, Evidence
from fastscale.errors import UserError
from fastscale.networks.scaling import parse_strategy


def versus(y: str, strategy: str, *others: str) -> Measure:
    """Compare a strategy with each of the others that the sweep has, on each base; a group for each of the others."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        curves = set(evidence.curves(y))
        for base in evidence.bases:
            for other in others:
                if {(base, strategy), (base, other)} <= curves:
                    name = base if len(others) == 1 else f"{base}/{other}"
                    group = "" if len(others) == 1 else other
                    yield evidence.pair(y, (base, strategy), (base, other), name, group=group)

    return cases


def by_alpha(y: str) -> Measure:
    """Compare each alpha with the next smaller alpha, on each base."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base in evidence.bases:
            for low, high in pairwise(compound_strategies(evidence, base, y)):
                yield evidence.pair(y, (base, high), (base, low), f"{base} {high}/{low}")

    return cases


def versus_families(
    y: str, family: str, *others: str, x: str = "flops", strategy: str = "dWr", by: str = "other"
) -> Measure:
    """Compare a family, scaled by dWr, with the other families that the sweep has, scaled by `strategy`.

    The smallest base of each family stands for it (`Evidence.family_bases`); curves are compared at equal `x`. Cases
    are grouped by the family itself or by the other one.
    """

    def cases(evidence: Evidence) -> Iterator[Case]:
        curves, base = set(evidence.curves(y)), evidence.family_bases.get(family)
        for other in others:
            rival = evidence.family_bases.get(other)
            if base and rival and {(base, "dWr"), (rival, strategy)} <= curves:
                name = f"{base}/{rival}" if strategy == "dWr" else f"{base}/{rival} {strategy}"
                group = other if by == "other" else family
                yield evidence.pair(y, (base, "dWr"), (rival, strategy), name, x, group)

    return cases


def compound_strategies(evidence: Evidence, base: str, y: str) -> list[str]:
    """List the strategies of a base that equation 4 gives for an alpha, by increasing alpha."""
    alphas = {}
    for curve_base, strategy in evidence.curves(y):
        try:
            alpha = parse_strategy(strategy).alpha if curve_base == base else None
        except UserError:  # a curve of named networks has the name that its user gave, not that of a strategy
            continue
        if alpha is not None:
            alphas[strategy] = alpha
    return sorted(alphas, key=alphas.__getitem__)

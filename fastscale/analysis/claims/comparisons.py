"""Comparisons of curves at equal flops: strategies of one base, and models that dWr scales."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from fastscale.analysis.claims.claim import Measure
from fastscale.analysis.claims.evidence import Case, Evidence
from fastscale.errors import UserError
from fastscale.networks.scaling import parse_strategy


def versus(y: str, strategy: str, *others: str) -> Measure:
    """A strategy against each of the others that the sweep has, on each base."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        asked = set(evidence.curves(y))
        for base in evidence.networks:
            for other in others:
                if {(base, strategy), (base, other)} <= asked:
                    name = base if len(others) == 1 else f"{base}/{other}"
                    yield evidence.pair(y, (base, strategy), (base, other), name)

    return cases


def apart(y: str, strategy: str, other: str) -> Measure:
    """How far two strategies are apart, either way: |a - b| of errors, else the larger over the smaller."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for case in versus(y, strategy, other)(evidence):
            number = case.number
            if number is not None:
                number = abs(number) if y == "error" else max(number, 1 / number)
            yield replace(case, number=number)

    return cases


def by_alpha(y: str) -> Measure:
    """Each alpha against the next smaller one, on each base."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        for base in evidence.networks:
            for low, high in pairwise(family(evidence, base, y)):
                yield evidence.pair(y, (base, high), (base, low), f"{base} {high}/{low}")

    return cases


def models(y: str, one: str, *others: str, x: str = "flops", strategy: str = "dWr") -> Measure:
    """The smallest base of a family, by dWr, against those of the other families that the sweep has, by `strategy`."""

    def cases(evidence: Evidence) -> Iterator[Case]:
        asked, own = set(evidence.curves(y)), evidence.models.get(one)
        for other in others:
            rival = evidence.models.get(other)
            if own and rival and {(own, "dWr"), (rival, strategy)} <= asked:
                name = f"{own}/{rival}" if strategy == "dWr" else f"{own}/{rival} {strategy}"
                yield evidence.pair(y, (own, "dWr"), (rival, strategy), name, x)

    return cases


def family(evidence: Evidence, base: str, y: str) -> list[str]:
    """The strategies of a base that are members of the family of equation 4, by alpha."""
    known = {}
    for own, strategy in evidence.curves(y):
        try:
            alpha = parse_strategy(strategy).alpha if own == base else None
        except UserError:  # the name of a curve of networks
            continue
        if alpha is not None:
            known[strategy] = alpha
    return sorted(known, key=known.__getitem__)

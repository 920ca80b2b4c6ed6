"""A claim of the paper, and the rule by which it holds, fails, is undecided or was not measured."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from fastscale.analysis.claims.evidence import SCALES, Case, Evidence
from fastscale.analysis.claims.schedules import unsettled
from fastscale.analysis.results.estimate import Interval, Reading, interval, level_of, mean, pooled
from fastscale.analysis.results.uncertainty import half_width

Verdict = Literal["holds", "fails", "undecided", "not measured"]
Measure = Callable[[Evidence], Iterable[Case]]
Kind = Literal["error", "time", "memory", "counted"]

LISTED = 4  # most cases that a line lists; of more cases it gives the least and the largest
ENOUGH = 0.5  # share of a claim's cases that must be measured


class Bound(NamedTuple):
    """The condition on an estimate: at which side of `limit`, or how near to 0 (or to the ratio 1), it must be."""

    side: Literal["below", "above", "within"]
    limit: float
    of_case: str = ""  # how each case's own limit follows from the sweep, in words

    @property
    def words(self) -> str:
        """Return the condition in words."""
        preposition = {"below": "below", "above": "above", "within": "at most"}[self.side]
        return f"{preposition} {self.of_case or f'{self.limit:g}'}"

    def judge(self, estimate: Interval, limit: float) -> Verdict:
        """Say whether the whole interval is within the bound, the whole interval is beyond it, or neither."""
        low, high = estimate.low - limit, estimate.high - limit
        if self.side == "above":
            low, high = -high, -low
        elif self.side == "within":
            nearest = 0.0 if estimate.low <= 0 <= estimate.high else min(abs(estimate.low), abs(estimate.high))
            low, high = nearest - limit, max(abs(estimate.low), abs(estimate.high)) - limit
        if high < 0 or (high == 0 and self.side == "within"):
            return "holds"
        return "fails" if low > 0 or low == high == 0 else "undecided"  # nan compares as false: undecided


def below(limit: float, of_case: str = "") -> Bound:
    """Require an estimate under a limit."""
    return Bound("below", limit, of_case)


def above(limit: float, of_case: str = "") -> Bound:
    """Require an estimate over a limit."""
    return Bound("above", limit, of_case)


def within(limit: float) -> Bound:
    """Require an estimate that is no further than a limit from 0, or from the ratio 1."""
    return Bound("within", limit)


class Doubts(NamedTuple):
    """What keeps claims from being decided: a reason, or differences too small to outlast longer training."""

    reason: str = ""
    smallest_effect: float = 0.0


def doubts(evidence: Evidence) -> dict[Kind, Doubts]:
    """Say for each kind of claims what keeps them from being decided on the records of a sweep."""
    noise, settled = evidence.results.noise, unsettled(evidence) or 0.0
    return {"time": Doubts("too noisy" if noise.is_too_noisy else ""), "error": Doubts(smallest_effect=settled)}


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and its test.

    `where` is the claim's place in the paper and `paper` the number printed there. `measure` yields the cases, `test`
    says in words what their numbers are; the mean of each group of cases must satisfy `bound`. With `some`, that of one
    group must; then the claim is never refuted, as other networks may satisfy it. `kind` says what the claim rests on:
    errors, times, memory, or counts, which need no measurement. Each of `families` must have a group of cases.
    """

    text: str
    where: str
    paper: str
    measure: Measure
    test: str
    bound: Bound
    kind: Kind
    some: bool = False
    families: tuple[str, ...] = ()

    def find(self, evidence: Evidence, known: Mapping[Kind, Doubts]) -> "Finding":
        """Measure the cases of this claim on the records of a sweep; `known` are the sweep's doubts."""
        return Finding(self, tuple(self.measure(evidence)), known.get(self.kind, Doubts()))


@dataclass(frozen=True)
class Group:
    """The mean of a group's cases, with its interval and its bound."""

    name: str
    cases: tuple[Case, ...]
    estimate: Interval
    limit: float
    verdict: Verdict


@dataclass(frozen=True)
class Finding:
    """A claim with its cases, and what keeps it from being decided."""

    claim: Claim
    cases: tuple[Case, ...]
    doubts: Doubts

    @cached_property
    def measured(self) -> list[Case]:
        """List the cases that have an estimate."""
        return [case for case in self.cases if case.is_measured]

    @cached_property
    def groups(self) -> list[Group]:
        """Pool the measured cases of each group, and judge each group."""
        by_name: dict[str, list[Case]] = {}
        for case in self.measured:
            by_name.setdefault(case.group, []).append(case)
        return [self._group(name, cases, len(by_name)) for name, cases in by_name.items()]

    def _group(self, name: str, cases: list[Case], tests: int) -> Group:
        limits = [self.limit_of(case) for case in cases]
        limit = math.fsum(limits) / len(limits)
        estimate = pool(cases)
        # By chance the best of several groups holds, and the worst of several fails, more often than one does.
        plain, strict = (self.claim.bound.judge(each, limit) for each in (estimate, pool(cases, tests)))
        verdict = plain if plain == "holds" and not self.claim.some else strict
        is_small = abs(estimate.value - limit) < self.doubts.smallest_effect
        if is_small or (self.claim.some and verdict == "fails"):
            verdict = "undecided"
        return Group(name, tuple(cases), estimate, limit, verdict)

    def limit_of(self, case: Case) -> float:
        """Return the bound of a case, on the scale of its value."""
        if case.limit is not None:
            return case.limit
        return SCALES[case.scale].read(self.claim.bound.limit)

    @cached_property
    def missing(self) -> list[Case]:
        """List the cases whose records are missing; curves that share no flops, or are the same, lack no record."""
        return [case for case in self.cases if not case.is_measured and case.gap == Case.gap]

    @property
    def is_measured(self) -> bool:
        """Say whether at least half of the cases are measured, and for each family that the claim names."""
        n = len(self.measured)
        named = {group.name for group in self.groups}
        return n > 0 and n >= ENOUGH * (n + len(self.missing)) and named.issuperset(self.claim.families)

    @property
    def verdict(self) -> Verdict:
        """Judge the claim: by each of its groups, or by the best one."""
        if not self.is_measured:
            return "not measured"
        verdicts = {group.verdict for group in self.groups}
        order: tuple[Verdict, ...] = (
            ("holds", "undecided", "fails") if self.claim.some else ("fails", "undecided", "holds")
        )
        return "undecided" if self.doubts.reason else next(verdict for verdict in order if verdict in verdicts)

    @property
    def why(self) -> str:
        """Say in words why a claim is undecided or not measured; empty where the interval alone is the reason."""
        if self.verdict == "undecided":
            too_small = any(abs(each.estimate.value - each.limit) < self.doubts.smallest_effect for each in self.groups)
            return self.doubts.reason or ("training is too short" if too_small else "")
        if self.verdict == "not measured" and self.cases:
            lacking = [name for name in self.claim.families if name not in {group.name for group in self.groups}]
            gaps = sorted({case.gap for case in self.cases if not case.is_measured})
            return (
                f"{', '.join(lacking) or 'too few cases'}: {' or '.join(gaps)}" if gaps else f"no {', '.join(lacking)}"
            )
        return ""

    @property
    def against(self) -> int:
        """Count the measured cases whose own estimate is at the wrong side of the bound."""
        at = (self.claim.bound.judge(Interval(value_of(case), 0, 0), self.limit_of(case)) for case in self.measured)
        return sum(verdict != "holds" for verdict in at)

    @property
    def ours(self) -> str:
        """Write the mean of each group with its interval, then the cases: all, or the least and the largest."""
        shown = self.groups
        if len(shown) > LISTED:
            shown = [end(shown, key=lambda group: group.estimate.value) for end in (min, max)]
        groups = (" to " if len(self.groups) > LISTED else "; ").join(map(_group_words, shown))
        if len(self.groups) == len(self.measured) > 1:
            return groups
        if len(self.measured) < 2:
            return "".join(filter(None, (groups, f" ({_words(self.measured[0])})" if self.measured else ""))) or "—"
        listed = self.measured
        if len(listed) > LISTED:
            listed = [end(listed, key=value_of) for end in (min, max)]
        between = " to " if len(self.measured) > LISTED else "; "
        return f"{groups} ({between.join(map(_words, listed))})"

    @property
    def n(self) -> str:
        """Write how many cases are measured, and on how many trials, rounds or networks each.

        "2 of 3 × 5 rounds": two of three cases are measured, each on five rounds.
        """
        gaps = f" of {len(self.cases)}" if len(self.measured) < len(self.cases) else ""
        counts = sorted({case.n for case in self.measured if case.unit})
        ends = " to ".join(map(str, counts[:: max(1, len(counts) - 1)]))
        each = f" × {ends} {self.measured[0].unit}" if counts else ""
        return f"{len(self.measured)}{gaps}{each}"


def pool(cases: Sequence[Case], tests: int = 1) -> Interval:
    """Average the estimates of cases; the interval is wider where it is one of several `tests`."""
    readings = [case.estimate for case in cases if isinstance(case.estimate, Reading)]
    if len(readings) == len(cases):
        return interval(mean(readings), tests)
    widen = half_width(1, math.inf, level_of(tests)) / half_width(1, math.inf, level_of(1))
    found = [case.estimate for case in cases if isinstance(case.estimate, Interval)]
    return pooled([Interval(each.value, each.below * widen, each.above * widen) for each in found])


def value_of(case: Case) -> float:
    """Return the value of a measured case.

    Raises:
        ValueError: the case was not measured.
    """
    if case.estimate is None:
        raise ValueError(f"{case.name}: {case.gap}")
    return case.estimate.value


def _group_words(group: Group) -> str:
    case, estimate = group.cases[0], group.estimate
    words = f" ({case.words})" if case.words and len(group.cases) == 1 else ""
    value, low, high = (SCALES[case.scale].write(each) for each in (estimate.value, estimate.low, estimate.high))
    ends = (
        "" if estimate.below == estimate.above == 0 else f" [{low}, {high}]" if not math.isnan(estimate.low) else " [?]"
    )
    return f"{group.name} **{value}**{ends}{words}".strip()


def _words(case: Case) -> str:
    return f"{case.name} {case.words or SCALES[case.scale].write(value_of(case))}".strip()

"""What a claim is, and the rule by which it holds, fails or is not measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from fastscale.analysis.claims.evidence import Case, Evidence

Verdict = Literal["holds", "fails", "not measured"]
Measure = Callable[[Evidence], Iterable[Case]]

LISTED = 4  # cases that a line lists; of more it gives the ends


class Bound(NamedTuple):
    """What each case must satisfy, in words and as a function."""

    words: str
    allows: Callable[[float], bool]


def below(limit: float) -> Bound:
    """Numbers under a limit."""
    return Bound(f"below {limit:g}", lambda number: number < limit)


def at_most(limit: float) -> Bound:
    """Numbers up to a limit."""
    return Bound(f"at most {limit:g}", lambda number: number <= limit)


def above(limit: float) -> Bound:
    """Numbers over a limit."""
    return Bound(f"above {limit:g}", lambda number: number > limit)


def at_least(limit: float) -> Bound:
    """Numbers from a limit on."""
    return Bound(f"at least {limit:g}", lambda number: number >= limit)


@dataclass(frozen=True)
class Claim:
    """A claim: its text, where it stands in the paper, the number there; what tests it here, and the bound of that."""

    text: str
    where: str
    paper: str
    measure: Measure
    test: str
    bound: Bound

    def find(self, evidence: Evidence) -> "Finding":
        """What the records say of it."""
        return Finding(self, tuple(self.measure(evidence)))


@dataclass(frozen=True)
class Finding:
    """A claim with its cases."""

    claim: Claim
    cases: tuple[Case, ...]

    @cached_property
    def measured(self) -> list[Case]:
        """The cases that are no gaps."""
        return [case for case in self.cases if case.number is not None]

    @property
    def passed(self) -> int:
        """How many cases satisfy the bound."""
        return sum(self.claim.bound.allows(case.value) for case in self.measured)

    @property
    def verdict(self) -> Verdict:
        """Holds if every measured case satisfies the bound, fails if one does not."""
        if not self.measured:
            return "not measured"
        return "holds" if self.passed == len(self.measured) else "fails"

    @property
    def ours(self) -> str:
        """The cases in words; of many, how many pass and the two furthest apart."""
        if len(self.measured) <= LISTED:
            return "; ".join(_words(case) for case in self.measured) or "—"
        least, most = (end(self.measured, key=lambda case: case.value) for end in (min, max))
        ends = f"from {_words(least)} to {_words(most)}" if least.value < most.value else f"all {least.words}"
        noisy = sum("noise" in case.words for case in self.measured)
        told = f"; {noisy} within noise" if noisy else ""
        return f"{self.passed} of {len(self.measured)} pass, {ends}{told}"

    @property
    def n(self) -> str:
        """The cases that were measured, of those that the sweep asks for, and of what each one was."""
        gaps = f" of {len(self.cases)}" if len(self.measured) < len(self.cases) else ""
        counts = sorted({case.n for case in self.measured if case.of})
        each = f" × {' to '.join(map(str, counts[:: max(1, len(counts) - 1)]))} {self.measured[0].of}" if counts else ""
        return f"{len(self.measured)}{gaps}{each}"


def _words(case: Case) -> str:
    return f"{case.name} {case.words}"

"""A claim of the paper, and the rule by which it holds, fails or is not measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from fastscale.analysis.claims.evidence import Case, Evidence

Verdict = Literal["holds", "fails", "not measured"]
Measure = Callable[[Evidence], Iterable[Case]]

LISTED = 4  # most cases that a line lists; of more cases it gives the least and the largest


class Bound(NamedTuple):
    """The condition on the number of each case, in words and as a function."""

    words: str
    allows: Callable[[float], bool]


def below(limit: float) -> Bound:
    """Allow numbers under a limit."""
    return Bound(f"below {limit:g}", lambda number: number < limit)


def at_most(limit: float) -> Bound:
    """Allow numbers up to and including a limit."""
    return Bound(f"at most {limit:g}", lambda number: number <= limit)


def above(limit: float) -> Bound:
    """Allow numbers over a limit."""
    return Bound(f"above {limit:g}", lambda number: number > limit)


def at_least(limit: float) -> Bound:
    """Allow numbers from a limit on, the limit included."""
    return Bound(f"at least {limit:g}", lambda number: number >= limit)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and its test.

    `where` is the claim's place in the paper and `paper` the number printed there. `measure` yields the cases, `test`
    says in words what their numbers are, and each number must satisfy `bound`.
    """

    text: str
    where: str
    paper: str
    measure: Measure
    test: str
    bound: Bound

    def find(self, evidence: Evidence) -> "Finding":
        """Measure the cases of this claim on the records of a sweep."""
        return Finding(self, tuple(self.measure(evidence)))


@dataclass(frozen=True)
class Finding:
    """A claim with its cases."""

    claim: Claim
    cases: tuple[Case, ...]

    @cached_property
    def measured(self) -> list[Case]:
        """List the cases that have a number."""
        return [case for case in self.cases if case.number is not None]

    @property
    def passed(self) -> int:
        """Count the measured cases that satisfy the bound."""
        return sum(self.claim.bound.allows(case.value) for case in self.measured)

    @property
    def verdict(self) -> Verdict:
        """Return "holds" if every measured case satisfies the bound, "fails" if one does not, or "not measured"."""
        if not self.measured:
            return "not measured"
        return "holds" if self.passed == len(self.measured) else "fails"

    @property
    def ours(self) -> str:
        """List the measured cases in words; of more than `LISTED`, how many pass, and the two extremes."""
        if len(self.measured) <= LISTED:
            return "; ".join(_words(case) for case in self.measured) or "—"
        least, most = (end(self.measured, key=lambda case: case.value) for end in (min, max))
        ends = f"from {_words(least)} to {_words(most)}" if least.value < most.value else f"all {least.words}"
        noisy = sum("noise" in case.words for case in self.measured)
        noise = f"; {noisy} within noise" if noisy else ""
        return f"{self.passed} of {len(self.measured)} pass, {ends}{noise}"

    @property
    def n(self) -> str:
        """Write how many cases are measured, and on how many trials, timed steps or points each case is measured.

        "2 of 3 × 20 timed steps": two of three cases are measured, each on 20 timed steps.
        """
        gaps = f" of {len(self.cases)}" if len(self.measured) < len(self.cases) else ""
        counts = sorted({case.n for case in self.measured if case.unit})
        ends = " to ".join(map(str, counts[:: max(1, len(counts) - 1)]))
        each = f" × {ends} {self.measured[0].unit}" if counts else ""
        return f"{len(self.measured)}{gaps}{each}"


def _words(case: Case) -> str:
    return f"{case.name} {case.words}"

"""The claims page: what the paper claims, what is found here, and whether it holds."""

from collections import Counter
from collections.abc import Sequence

from fastscale.analysis.claims import accuracy, complexity, large, runtime, search
from fastscale.analysis.claims.evidence import NOISE, Evidence
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.results import Results
from fastscale.sweep.sweep import Sweep

PARTS = {
    "Complexity": complexity.CLAIMS,
    "Runtime": runtime.CLAIMS,
    "Accuracy": accuracy.CLAIMS,
    "Search": search.CLAIMS,
    "Large models": large.CLAIMS,
}
HEADER = ("claim", "where", "paper", "ours", "n", "test", "verdict")


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Each claim with the paper's number, ours, n, the test and a verdict: holds, fails, not measured."""
    evidence = Evidence(sweep, results)
    lines: list[Sequence[str]] = []
    body: list[str | Grid] = []
    verdicts: Counter[str] = Counter()
    for part, claims in PARTS.items():
        own: list[list[str]] = []
        for claim in claims:
            found = claim.find(evidence)
            verdicts[found.verdict] += 1
            test = f"{claim.test}: {claim.bound.words}"
            own.append([claim.text, claim.where, claim.paper, found.ours, found.n, test, found.verdict])
        lines += own
        body += [f"## {part}", Grid(HEADER, own)]
    summary = f"**{verdicts['holds']} hold, {verdicts['fails']} fail, {verdicts['not measured']} not measured.**"
    text = (
        "A claim holds if the test is true of each of its n cases, fails if it is not of one, and is not measured "
        "where the sweep asks for no case or has no records of any; 2 of 3 is n where one case has gaps. Curves are "
        "compared at equal flops: the largest that all of them reach, on lines through their networks over log flops "
        "(of the error, or of the logarithm of all else). Errors are top-1 in percentage points by the schedule "
        f"{sweep.schedule}, where no other is named; ± is the standard error over trials, and a difference smaller "
        f"than {NOISE} of them is within noise, which does not change the verdict."
    )
    return Table(f"Claims of the paper, sweep {sweep.name}", [summary, conditions(results), text, *body], HEADER, lines)

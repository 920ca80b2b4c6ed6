"""The claims page: each claim of the paper, the number measured for it in a sweep, and whether the claim holds."""

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
    "Large networks": large.CLAIMS,
}
HEADER = ("claim", "where", "paper", "ours", "n", "test", "verdict")


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each claim with the paper's number, ours, n, the test and the verdict: holds, fails, not measured."""
    evidence = Evidence(sweep, results)
    lines: list[Sequence[str]] = []
    body: list[str | Grid] = []
    verdicts: Counter[str] = Counter()
    for part, claims in PARTS.items():
        part_lines: list[list[str]] = []
        for claim in claims:
            finding = claim.find(evidence)
            verdicts[finding.verdict] += 1
            test = f"{claim.test}: {claim.bound.words}"
            part_lines.append([claim.text, claim.where, claim.paper, finding.ours, finding.n, test, finding.verdict])
        lines += part_lines
        body += [f"## {part}", Grid(HEADER, part_lines)]
    summary = f"**{verdicts['holds']} hold, {verdicts['fails']} fail, {verdicts['not measured']} not measured.**"
    text = (
        "A claim holds if each of its n measured cases passes the test, fails if one of them does not, and is not "
        "measured where the sweep asks for no case or has no records of any case; where one of three cases has gaps, n "
        "is 2 of 3. Curves are compared at equal flops: the largest that all of them reach, on lines through their "
        "networks over log flops (of the error, or of the logarithm of any other quantity). Errors are top-1 in "
        f"percentage points by the schedule {sweep.schedule}, where no other is named. SE is the standard error of a "
        f"difference over trials; a difference smaller than {NOISE} SE is within noise, which does not change the "
        "verdict."
    )
    return Table(f"Claims of the paper, sweep {sweep.name}", [summary, conditions(results), text, *body], HEADER, lines)

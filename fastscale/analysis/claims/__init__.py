"""The claims page: each claim of the paper, the estimate of a sweep with its interval, and whether the claim holds."""

from collections import Counter
from collections.abc import Sequence

from fastscale.analysis.claims import accuracy, complexity, large, runtime, search
from fastscale.analysis.claims.claim import Claim, Finding, Verdict, doubts
from fastscale.analysis.claims.evidence import Evidence
from fastscale.analysis.claims.schedules import changes, longest_two, unsettled
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.estimate import Interval
from fastscale.analysis.results.results import Results
from fastscale.sweep.sweep import Sweep

PARTS = {
    "Accuracy": accuracy.CLAIMS,
    "Search": search.CLAIMS,
    "Runtime": runtime.CLAIMS,
    "Large networks": large.CLAIMS,
    "Complexity": complexity.CLAIMS,
}
VERDICTS: tuple[Verdict, ...] = ("holds", "fails", "undecided", "not measured")
SHOWN = ("claim", "paper", "ours", "against", "n", "test", "verdict")
HEADER = ("claim", "where", "paper", "ours", "against", "n", "test", "verdict", "why", "kind")


def findings(evidence: Evidence) -> dict[str, list[Finding]]:
    """Judge all claims by the records of a sweep, by part of the page."""
    known = doubts(evidence)
    return {part: [claim.find(evidence, known) for claim in claims] for part, claims in PARTS.items()}


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """List each claim with the paper's number, ours with its interval, n, the test and the verdict.

    Claims on counts alone come last: they are the same in every sweep of the same networks.
    """
    evidence = Evidence(sweep, results)
    found = findings(evidence)
    measured = {part: [each for each in all_ if each.claim.kind != "counted"] for part, all_ in found.items()}
    counted = [each for all_ in found.values() for each in all_ if each.claim.kind == "counted"]
    parts = {**{part: some for part, some in measured.items() if some}, "Counted": counted}
    body: list[str | Grid] = []
    for part, some in parts.items():
        body += [f"## {part}", Grid(SHOWN, [[line[HEADER.index(key)] for key in SHOWN] for line in map(shown, some)])]
    everything = [each for some in measured.values() for each in some]
    summary = (
        f"**{len(everything)} claims on measurements: {_tally(everything)}.** {len(counted)} claims on counts of "
        f"flops, params and acts, which need no measurement: {_tally(counted)}."
    )
    lines = [_line(each) for some in parts.values() for each in some]
    text = [summary, conditions(results), _rules(evidence), *_limits(evidence)]
    return Table(f"Claims of the paper, sweep {sweep.name}", [*text, *body], HEADER, lines)


def shown(finding: Finding) -> list[str]:
    """Write the line of a finding for people: the place in the paper beside its number, the reason in the verdict."""
    line = dict(zip(HEADER, _line(finding), strict=True))
    line["paper"] = f"{line['paper']} ({line['where']})"
    line["verdict"] += f": {line['why']}" if line["why"] else ""
    return list(line.values())


def _line(finding: Finding) -> list[str]:
    claim: Claim = finding.claim
    against = f"{finding.against} of {len(finding.measured)}" if finding.measured else "—"
    test = f"{claim.test}: {claim.bound.words}"
    line = [claim.text, claim.where, claim.paper, finding.ours, against, finding.n, test, finding.verdict, finding.why]
    return [*line, claim.kind]


def _tally(found: Sequence[Finding]) -> str:
    """Count verdicts in words, most decided first."""
    counts = Counter(finding.verdict for finding in found)
    return ", ".join(f"{verdict}: {counts[verdict]}" for verdict in VERDICTS)


def _rules(evidence: Evidence) -> str:
    """Say how claims are judged."""
    images = evidence.results.val_images
    sampling = f"the sampling of {images:,} validation images" if images else "not the sampling of validation images"
    return (
        "A case is one base, curve or pair of curves. In bold is the mean over the cases that follow, in square "
        "brackets its 95 % interval. A claim holds if the whole interval satisfies the test, fails if no part of it "
        "does, and is undecided otherwise. It is undecided too, whatever its interval, where timings are too noisy, or "
        "where longer training still changes differences as large: the verdict says so. It is not measured where the "
        "records of more than half of its cases are missing. `against` counts the cases that by themselves are on the "
        "wrong side of the bound. Curves are compared at equal flops: the largest that both reach, on lines "
        "through their networks over log flops. Errors are top-1 in percentage points by the schedule "
        f"{evidence.results.schedule}, where no other is named; their intervals hold the spread of trials, pooled over "
        f"the sweep (Student's t), and {sampling}. Intervals of times hold the spread between rounds, those of "
        "correlations are by a bootstrap over networks. The paper's column has only what the paper prints."
    )


def _limits(evidence: Evidence) -> list[str | Grid]:
    """Say which claims the sweep is too short to judge, and list differences between strategies by two schedules."""
    if (points := unsettled(evidence)) is None:
        unknown = (
            "Whether longer training would change the differences in error is not known: fewer than three networks "
        )
        return [f"{unknown}were trained by two schedules."] if evidence.curves("error") else []
    shorter, longer = longest_two(evidence)
    text = (
        f"**Training by {longer} in place of {shorter} still changes the difference of two errors by {points:.2f} "
        "points** (standard deviation over networks, less that of trials). Longer training may reverse smaller "
        "differences: claims on these are undecided, as training is too short."
    )
    lines = [
        [
            change.base,
            change.networks,
            _ends(change.shorter),
            _ends(change.longer),
            "yes" if change.is_settled else "no",
        ]
        for change in changes(evidence)
    ]
    header = ["base", "difference in error", f"by {shorter}", f"by {longer}", "changes by less than its interval"]
    return [text, *([Grid(header, lines)] if lines else [])]


def _ends(interval: Interval) -> str:
    return f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"

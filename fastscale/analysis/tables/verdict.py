"""The verdict, from timings alone: whether fast scaling holds on this device.

Two statements are judged over all bases that the sweep scales, by the rules of the claims page: activations go with
runtime more closely than flops and params do (section 4), and dWr is faster than dwr at equal realised flops
(section 6.3).
"""

import math
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from fastscale.analysis.claims.claim import Claim, Finding, above, doubts, pool
from fastscale.analysis.claims.comparisons import versus
from fastscale.analysis.claims.correlations import COUNTS, FEWEST_DRAWN, bootstrap, mean_of
from fastscale.analysis.claims.evidence import PAPERS, SCALES, Case, Evidence
from fastscale.analysis.claims.runtime import LESS_THAN_ACTS
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.exponents import BASES
from fastscale.analysis.results.fits import fit_line
from fastscale.analysis.results.published import numbers
from fastscale.analysis.results.results import Results, Row
from fastscale.cost.prediction import TIME_TERMS, fit_time
from fastscale.cost.roofline import Roofline
from fastscale.sweep.priority import RIVALS, by_priority
from fastscale.sweep.sweep import Sweep

ACTS_EXPONENTS = {"dwr": "5/6 = 0.83", "dw": "3/4 = 0.75", "dWr": "3/5 = 0.60", "w": "1/2 = 0.50"}  # Tables 1, 2 and 4
COUNTED = ("flops", "params")  # what activations are compared with, in the order of `LESS_THAN_ACTS`
HEADER = ("question", "case", "paper", "ours", "n")
FASTER = Claim(
    "a network by fast scaling (dWr) trains faster than one by uniform compound scaling (dwr) of the same flops",
    "§6.3",
    "substantially",
    versus("time", "dwr", "dWr"),
    "epoch time of dwr over that of dWr",
    above(1),
    "time",
)


@dataclass(frozen=True)
class Answer:
    """The answer to one question: a line per case, with its name, the paper's number, ours, and n with its unit."""

    question: str
    lines: tuple[tuple[str, str, str, str], ...]
    text: str = ""


class Judgement(NamedTuple):
    """What is judged: whether each count goes with runtime less closely than activations, and whether dWr is faster."""

    flops: Finding
    params: Finding
    faster: Finding

    @classmethod
    def of(cls, evidence: Evidence) -> "Judgement":
        """Judge the timings of a sweep."""
        known = doubts(evidence)
        return cls(*(claim.find(evidence, known) for claim in (*LESS_THAN_ACTS, FASTER)))

    @property
    def answer(self) -> str:
        """Answer in a word or two whether fast scaling holds."""
        verdicts = [finding.verdict for finding in self]
        if set(verdicts) == {"not measured"}:
            return "Not measured"
        if reason := next((finding.doubts.reason for finding in self if finding.doubts.reason), ""):
            return f"Undecided: {reason}"
        if len(set(verdicts)) == 1 and verdicts[0] != "not measured":
            return {"holds": "Yes", "fails": "No"}.get(verdicts[0], "Undecided")
        return "In part" if "holds" in verdicts else "Undecided" if "undecided" in verdicts else "No"

    @property
    def text(self) -> str:
        """Say for each statement on how many bases it is so, the mean with its interval, and what that decides."""
        statements = (*(f"Activations go with runtime more closely than {name} do" for name in COUNTED), FASTER.text)
        pairs = zip(statements, self, strict=True)
        lines = [f"- {text[0].upper()}{text[1:]}: {_bases(finding)}." for text, finding in pairs]
        reason = next((finding.doubts.reason for finding in self if finding.doubts.reason), "")
        withheld = (
            f"The intervals hold the spread between rounds alone: as the timings are {reason}, they decide nothing."
            if reason
            else ""
        )
        return "\n\n".join(filter(None, (f"**{self.answer}.** {withheld}".strip(), "\n".join(lines))))


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Answer in words, then list the cases of each question on which the answer rests."""
    evidence = Evidence(sweep, results)
    judgement = Judgement.of(evidence)
    answers = [_correlations(evidence), _speed(evidence, judgement.faster), _growth(evidence), _rivals(evidence)]
    answers = [answer for answer in (*answers, _prediction(results), _bounds(results)) if answer.lines]
    body: list[str | Grid] = [judgement.text, conditions(results)]
    for answer in answers:
        body += [f"## {answer.question}", answer.text, Grid(HEADER[1:], answer.lines)]
    if missing := _missing(sweep, results):
        body += ["## What is not timed yet", missing]
    lines = [(answer.question, *line) for answer in answers for line in answer.lines]
    return Table(f"Does fast scaling hold here? Sweep {sweep.name}", body, HEADER, lines)


def _missing(sweep: Sweep, results: Results) -> str:
    """List the networks that have no time, in the order in which they would be timed; empty where all have one."""
    names = {row.point.network.id: row.name for row in reversed(results.rows)}
    timed = {row.point.network.id for row in results.rows if row.time}
    lines = []
    for group in by_priority(sweep.points):
        missing = [names.get(network.id, network.id) for network in group.networks if network.id not in timed]
        if missing:
            lines.append(f"- Of {group.words} {len(missing)} of {len(group.networks)}: {', '.join(missing)}.")
    return "\n".join(lines)


def _bases(finding: Finding) -> str:
    """Say on how many bases a statement is so, the mean over them with its interval, and the verdict."""
    if not finding.measured:
        return "not measured"
    case, estimate = finding.measured[0], pool(finding.measured)
    ends = estimate.value, estimate.low, estimate.high
    if case.scale == "ratio":
        mean, low, high = map(SCALES[case.scale].write, ends)
        what = f"{mean} [{low}, {high}] times as fast in the mean"
    else:  # the cases are of a count less activations
        mean, high, low = (SCALES[case.scale].write(-each) for each in ends)
        what = f"a correlation that is {mean} [{low}, {high}] higher in the mean"
    n = len(finding.measured)
    return f"on {n - finding.against} of {n} bases, {what} ({finding.verdict})"


def _correlations(evidence: Evidence) -> Answer:
    """Correlate each count with runtime, over the scaled networks of each base and of all bases."""
    paper = numbers()["runtime_correlation"]
    lines: list[tuple[str, str, str, str]] = []
    for words, strategies in (("", PAPERS), (", all strategies", ())):
        scaled = {base: rows for base, rows in evidence.scaled(strategies).items() if len(rows) >= FEWEST_DRAWN}
        if words and scaled == evidence.scaled():
            continue
        groups: dict[str, list[list[Row]]] = {f"{base}{words}": [rows] for base, rows in scaled.items()}
        if len(scaled) > 1:
            groups[f"all bases{words}"] = list(scaled.values())
        for name, bases in groups.items():
            lines += _correlated(name, bases, paper if not words else {})
    text = (
        "Correlation (Pearson's) with runtime [95 % interval, by a bootstrap over networks], over the networks of a "
        f"base that {', '.join(PAPERS[:-1])} and {PAPERS[-1]} make, as in Figure 2. The paper prints them for its own "
        "bases alone, those of flops and params for EN-B0."
    )
    return Answer("What goes with runtime?", tuple(lines), text)


def _correlated(name: str, bases: list[list[Row]], paper: dict[str, float]) -> Iterator[tuple[str, str, str, str]]:
    """Yield a line for each count: its correlation with runtime over some bases' networks, taken together."""
    rows = [row for rows in bases for row in rows]
    for count in COUNTS:
        if found := bootstrap([rows], mean_of(count)):
            kind = "across_bases" if len(bases) > 1 else "one_base"
            published = str(paper.get(f"{kind}_{count}", "—")) if _is_printed(rows, count) else "—"
            ours = f"{found.value:.3f} [{found.low:.2f}, {found.high:.2f}]"
            yield f"{name}, {count}", published, ours, f"{len(rows)} networks"


def _is_printed(rows: list[Row], count: str) -> bool:
    """Say whether the paper prints this correlation: that of acts for its three bases, the others for EN-B0 alone."""
    return {row.point.base for row in rows} <= (set(BASES) if count == "acts" else {"EN-B0"})


def _speed(evidence: Evidence, faster: Finding) -> Answer:
    """Compare the time and the activations of dwr with those of dWr, at equal realised flops."""
    published = numbers()["complexity"]
    paper = {key: published["EN-B4"][key] / published["EN-B0->4GF"][key] for key in ("time", "acts")}
    lines = []
    for quantity, cases in (("time", faster.measured), ("acts", list(versus("acts", "dwr", "dWr")(evidence)))):
        for case in filter(lambda case: case.is_measured, cases):
            curves = [(case.name, "dwr"), (case.name, "dWr")]
            flops = min(max(row.flops for row in evidence.rows(curve)) for curve in curves)
            printed = f"{paper[quantity]:.2f} (EN-B4 over EN-B0->4GF)" if case.name == "EN-B0" else "—"
            name = f"{case.name}, {quantity} at {flops / 1e6:,.4g} M flops"
            lines.append((name, printed, _ratio([case]), f"{case.n} rounds" if quantity == "time" else ""))
    if faster.measured:
        lines.append(("geometric mean, time", "—", _ratio(faster.measured), f"{len(faster.measured)} bases"))
    text = (
        "dwr over dWr at the largest realised flops that both reach, on lines through their networks over log flops "
        "[95 % interval, by the spread between rounds]."
    )
    return Answer("How much faster is fast scaling?", tuple(lines), text)


def _ratio(cases: list[Case]) -> str:
    """Write the geometric mean of ratios, with its interval where they were measured."""
    estimate = pool(cases)
    mean, low, high = (f"{math.exp(each):.2f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{mean} [{low}, {high}]" if estimate.above else mean


def _growth(evidence: Evidence) -> Answer:
    """Fit the exponent of flops with which time grows on each curve."""
    lines = []
    for base in evidence.bases:
        for strategy in ACTS_EXPONENTS:
            rows = [(row, row.time.seconds) for row in evidence.rows((base, strategy)) if row.time]
            logs = [math.log(row.flops) for row, _ in rows]
            times = fit_line(logs, [math.log(seconds) for _, seconds in rows])
            acts = fit_line(logs, [math.log(row.acts) for row, _ in rows])
            if times and acts:
                ours = f"{times.slope:.2f} (activations: {acts.slope:.2f})"
                lines.append((f"{base} {strategy}", ACTS_EXPONENTS[strategy], ours, f"{times.n} networks"))
    text = "Runtime grows with flops to this power (fit of logarithms); the paper's is that of activations."
    return Answer("How does runtime grow?", tuple(lines), text=text)


def _rivals(evidence: Evidence) -> Answer:
    """Compare a fast-scaled RegNet with the original EfficientNet that takes about as long."""
    (regnet, efficientnet), paper = map(evidence.named, RIVALS), [numbers()["complexity"][name] for name in RIVALS]
    if regnet is None or efficientnet is None or regnet.time is None or efficientnet.time is None:
        return Answer("A fast-scaled RegNet or an EfficientNet?", ())
    ratios = {
        "time": (regnet.time.seconds / efficientnet.time.seconds, "time"),
        "flops": (regnet.flops / efficientnet.flops, "flops"),
        "activations": (regnet.acts / efficientnet.acts, "acts"),
    }
    lines = [
        (f"{' over '.join(RIVALS)}, {name}", f"{paper[0][key] / paper[1][key]:.2f}", f"{ratio:.2f}", "")
        for name, (ratio, key) in ratios.items()
    ]
    return Answer("A fast-scaled RegNet or an EfficientNet?", tuple(lines))


def _prediction(results: Results) -> Answer:
    """Measure how far off a fit is for networks that it has not seen."""
    lines = []
    for terms in (TIME_TERMS, ("acts",), ("flops",), ("params",)):
        if fit := fit_time(results.timings, terms):
            lines.append((" + ".join(terms), "—", f"{100 * fit.error:.1f} %", f"{len(fit.errors)} networks"))
    text = "Mean error for a network by a fit to all others (leave-one-out)."
    return Answer("How well can runtime be predicted?", tuple(lines), text=text)


def _bounds(results: Results) -> Answer:
    """Count the networks by what bounds them, and give the effective memory crossings of their activations."""
    rooflines = [Roofline.from_record(record) for record in results.records["profile"]]
    if not rooflines:
        return Answer("What bounds runtime?", ())
    bounds = Counter(roofline.bound for roofline in rooflines)
    crossings = sorted(roofline.crossings for roofline in rooflines)
    lines = [(f"bound by {limit}", "—", f"{n}", f"{len(rooflines)} networks") for limit, n in bounds.most_common()]
    ours = f"{statistics.median(crossings):.1f} ({crossings[0]:.1f} to {crossings[-1]:.1f})"
    lines.append(("effective memory crossings, median (range)", "—", ours, f"{len(rooflines)} networks"))
    return Answer(
        "What bounds runtime?",
        tuple(lines),
        text="By the measured peaks of the device; the roofline table has each network.",
    )

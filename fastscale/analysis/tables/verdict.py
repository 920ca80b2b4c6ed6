"""The verdict, from timings alone: whether fast scaling holds on this device.

Two statements must hold on every base that the sweep scales: activations go with runtime more closely than flops and
params do (section 4), and dWr is faster than dwr at equal realised flops (section 6.3). If one holds, the verdict is
"In part".
"""

import math
import statistics
from collections import Counter
from dataclasses import dataclass

from fastscale.analysis.claims.evidence import Evidence
from fastscale.analysis.rendering.table import Grid, Table, conditions
from fastscale.analysis.results.fits import fit_line
from fastscale.analysis.results.published import numbers
from fastscale.analysis.results.results import Results
from fastscale.cost.prediction import TIME_TERMS, fit_time
from fastscale.cost.roofline import Roofline
from fastscale.sweep.sweep import Sweep

COUNTS = ("acts", "flops", "params")
ACTS_EXPONENTS = {"dwr": "5/6 = 0.83", "dw": "3/4 = 0.75", "dWr": "3/5 = 0.60", "w": "1/2 = 0.50"}  # Tables 1, 2 and 4
RIVALS = ("RegNetY-4GF->16GF", "EN-B4")
HEADER = ("question", "case", "paper", "ours", "n")


@dataclass(frozen=True)
class Answer:
    """The answer to one question: a line per case, with its name, the paper's number, ours, and n with its unit."""

    question: str
    lines: tuple[tuple[str, str, str, str], ...]
    holds: bool | None = None  # None: nothing was measured, or there is nothing to judge
    text: str = ""


def table(sweep: Sweep, artefact: str, results: Results) -> Table:
    """Answer in words, then list the cases of each question on which the answer rests."""
    evidence = Evidence(sweep, results)
    correlations, speed = _correlations(evidence), _speed(evidence)
    answers = [correlations, speed, _growth(evidence), _rivals(evidence), _prediction(results), _bounds(results)]
    answers = [answer for answer in answers if answer.lines]
    body: list[str | Grid] = [_answer(correlations.holds, speed.holds), conditions(results)]
    for answer in answers:
        body += [f"## {answer.question}", answer.text, Grid(HEADER[1:], answer.lines)]
    lines = [(answer.question, *line) for answer in answers for line in answer.lines]
    return Table(f"Does fast scaling hold here? Sweep {sweep.name}", body, HEADER, lines)


def _answer(acts_predict: bool | None, is_faster: bool | None) -> str:
    """Write the verdict on both statements; None stands for a statement that was not measured."""
    if acts_predict is None and is_faster is None:
        return "**Not measured: no base is timed under several strategies.**"
    answer = {2: "Yes", 1: "In part", 0: "No"}[bool(acts_predict) + bool(is_faster)]
    verbs = {True: "does", False: "does not", None: "was not measured to"}
    return (
        f"**{answer}.** On every base, the number of activations {verbs[acts_predict]} go with runtime more closely "
        f"than flops and params do, and fast scaling (dWr) {verbs[is_faster]} give a faster network than uniform "
        "compound scaling (dwr) of the same flops."
    )


def _correlations(evidence: Evidence) -> Answer:
    """Correlate each count with runtime, over the scaled networks of each base and of all bases."""
    paper, scaled = numbers()["runtime_correlation"], evidence.scaled()
    groups = {base: (rows, "one_base") for base, rows in scaled.items()}
    if len(scaled) > 1:
        groups["all bases"] = [row for rows in scaled.values() for row in rows], "across_bases"
    lines, holds = [], []
    for name, (rows, kind) in groups.items():
        cases = {count: evidence.correlation(name, rows, count) for count in COUNTS}
        for count, case in cases.items():
            if case.number is not None:
                published = paper.get(f"{kind}_{count}", "—")
                lines.append((f"{name}, {count}", str(published), case.words, f"{case.n} networks"))
        if kind == "one_base" and cases["acts"].number is not None:
            holds.append(cases["acts"].number > max(cases["flops"].number or 0, cases["params"].number or 0))
    text = "Correlation (Pearson's) with runtime over all networks of a base, whatever the strategy (Figure 2)."
    return Answer("What goes with runtime?", tuple(lines), all(holds) if holds else None, text)


def _speed(evidence: Evidence) -> Answer:
    """Compare the time and the activations of dwr with those of dWr, at equal realised flops."""
    published = numbers()["complexity"]
    ratios: dict[str, list[tuple[str, float, int]]] = {"time": [], "acts": []}
    for base in evidence.bases:
        curves = [(base, "dwr"), (base, "dWr")]
        if not set(curves) <= set(evidence.curves()):
            continue
        for quantity, cases in ratios.items():
            if levels := evidence.levels(quantity, curves):
                flops = min(max(row.flops for row in evidence.rows(curve)) for curve in curves)
                ratio = levels[0].value / levels[1].value
                cases.append((f"{base}, {quantity} at {flops / 1e6:,.4g} M flops", ratio, levels[0].n))
    paper = {key: published["EN-B4"][key] / published["EN-B0->4GF"][key] for key in ratios}
    lines = [
        (
            name,
            f"{paper[quantity]:.2f} (EN-B4 over EN-B0->4GF)",
            f"{ratio:.2f}",
            f"{n} steps" if quantity == "time" else "",
        )
        for quantity, cases in ratios.items()
        for name, ratio, n in cases
    ]
    times = [ratio for _, ratio, _ in ratios["time"]]
    if times:
        mean = statistics.geometric_mean(times)
        lines.append(("geometric mean, time", "—", f"{mean:.2f}", f"{len(times)} bases"))
    text = "dwr over dWr at the largest realised flops that both reach, on lines through their networks over log flops."
    return Answer("How much faster is fast scaling?", tuple(lines), min(times) > 1 if times else None, text)


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

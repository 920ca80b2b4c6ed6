"""The claims page: verdicts are right in worlds where it is known which claims are true, and say what noise hides."""

import math
import re
from dataclasses import replace

import pytest
import yaml
from worlds import (
    PAPERS,
    ROOT,
    Truth,
    as_published,
    counted,
    differences,
    findings,
    measured,
    null,
    papers,
    rates,
    without_found,
)

from fastscale.analysis import claims
from fastscale.analysis.claims import complexity, large
from fastscale.analysis.claims.claim import Bound, Doubts, Finding, above, below, within
from fastscale.analysis.claims.evidence import Case, Evidence
from fastscale.analysis.claims.schedules import changes, unsettled
from fastscale.analysis.results import exponents
from fastscale.analysis.results.estimate import Interval, Part, Reading, combine, interval, mean
from fastscale.analysis.results.noise import Noise
from fastscale.analysis.results.reading import Error
from fastscale.analysis.results.results import Row, load
from fastscale.analysis.results.uncertainty import Spread
from fastscale.sweep.selection import Bases
from fastscale.sweep.sweep import Sweep

SWEEPS = 200
FEW = 0.05 * SWEEPS
BEYOND = 3  # times the half-width of its interval is an effect away from its bound that must be found

ALPHAS = "Any alpha below 1 is about as accurate, with a sizable gap to w"
FASTER = "dWr is much faster than dwr"
FLOP_BOUND = "Some big networks take longer than their activations predict: they are flop bound"
FOLLOWS = "Inference time goes with training time"
RANKING = "The ranking of families is consistent across flop regimes"
GAP_CLOSED = "The hybrid closes much of the gap between RegNetY and RegNetZ"
ACCURATE = "dWr is more accurate than w"


def verdicts(evidence: Evidence) -> dict[str, str]:
    return {text: finding.verdict for text, finding in findings(evidence).items()}


# Controls.


def test_in_the_papers_world_every_claim_holds() -> None:
    found = verdicts(measured(papers))
    assert {text: verdict for text, verdict in found.items() if verdict != "holds"} == {}


def effects(found: dict[str, Finding], typical: dict[str, Finding]) -> dict[str, float]:
    """By how many half-widths of a typical noisy interval the least certain group of each claim is within its bound."""
    shares = {}
    for text, finding in found.items():
        widths = {group.name: max(group.estimate.below, group.estimate.above) for group in typical[text].groups}
        far = [
            (_nearest(finding.claim.bound, group.estimate.value, group.limit)) / widths[group.name]
            for group in finding.groups
            if widths.get(group.name)
        ]
        shares[text] = (max if finding.claim.some else min)(far, default=0.0)
    return shares


def _nearest(bound: Bound, value: float, limit: float) -> float:
    return {"below": limit - value, "above": value - limit, "within": limit - abs(value)}[bound.side]


def test_noise_of_two_percent_refutes_no_true_claim_and_hides_only_small_effects() -> None:
    config, trials = "config.yaml", 2
    counts = rates(papers, config, 0.02, SWEEPS, trials)
    far = effects(
        findings(measured(papers, config, trials=trials)), findings(measured(papers, config, 0.02, 1, trials))
    )
    assert {text: count["fails"] for text, count in counts.items() if count["fails"] > FEW} == {}
    large_effects = {text for text, effect in far.items() if effect > BEYOND}
    assert len(large_effects) > 8
    assert {text: counts[text]["holds"] for text in large_effects if counts[text]["holds"] < 0.8 * SWEEPS} == {}


def test_where_no_strategy_and_no_family_is_better_no_difference_is_found() -> None:
    config, trials = "config.yaml", 2
    exact = findings(measured(null, config, trials=trials))
    none = differences(exact)
    assert {
        ALPHAS,
        ACCURATE,
        FLOP_BOUND,
        "Longer schedules lower errors",
        "RegNetZ has the best accuracy",
    } <= none
    counts = rates(null, config, 0.02, SWEEPS, trials)
    assert {text: counts[text]["holds"] for text in none if counts[text]["holds"] > FEW} == {}


def test_claims_fail_where_the_paper_is_wrong() -> None:
    """Time falls with activations, error rises with flops, and what the paper calls better is worse."""

    def wrong(row: Row, sweep: Sweep) -> Truth:
        right = papers(row, sweep)
        is_orig = row.point.base in {f"EN-B{i}" for i in range(1, 6)}
        penalty = 4 * is_orig + 2 * (row.point.strategy == "dWr") + 8 * ("4GF" in row.point.base)
        errors = {key: 99 - 3 * error + penalty for key, error in right.errors.items()}
        return Truth(1e9 / right.seconds * (3 if is_orig else 2 if row.point.strategy == "dWr" else 1), errors)

    found = verdicts(measured(wrong))
    # The order of families is turned round, and the same at both ends.
    assert {text for text, verdict in found.items() if verdict == "holds"} == {FOLLOWS, RANKING}
    assert {text for text, verdict in found.items() if verdict == "undecided"} == {
        "Flops predict runtime less well than activations",  # neither does here
        "Params predict runtime less well than activations",
        FLOP_BOUND,  # never refuted
    }


def test_the_published_numbers_bear_out_the_papers_claims() -> None:
    found = findings(measured(as_published))
    expected = {
        "A network that is optimised for a regime by search outperforms a scaled one": ("4x -0.60", "4x -0.10"),
        "Hybrid scaling, of a network optimised at an intermediate regime, is better than scaling a small one": (
            "-0.30",
        ),
        GAP_CLOSED: ("0.30 of +0.80",),
        "RegNetY-4GF->16GF is faster than EN-B4": ("0.85",),
        "RegNetY-4GF->16GF is more accurate than EN-B4": ("-0.70",),
        "The training setup outperforms the errors that EfficientNet's authors first reported": ("-1.40", "-0.10"),
        "The training setup lowers the errors of ResNet50 and ResNeXt50 by about 3 points": ("-3.40", "-2.70"),
        "Longer schedules lower errors": ("0 of 22",),
    }
    for text, parts in expected.items():
        line = " ".join(claims.shown(found[text]))
        assert all(part in line for part in parts), line
        assert found[text].verdict in ("holds", "undecided"), line
    orig = "Fast-scaled networks are asymptotically faster than the original EfficientNets"
    assert found[orig].verdict == "not measured"


# What keeps a claim from being decided.


def test_noisy_timings_leave_claims_on_time_undecided_and_no_others() -> None:
    evidence = measured(papers)
    noisy = replace(evidence, results=replace(evidence.results, noise=Noise(peaks=1.5)))
    before, after = findings(evidence), findings(noisy)
    assert {finding.why for finding in after.values() if finding.claim.kind == "time"} == {"too noisy"}
    others = [text for text, finding in after.items() if finding.claim.kind != "time"]
    assert all(after[text].verdict == before[text].verdict for text in others)


def test_short_trainings_leave_small_differences_undecided() -> None:
    """Where longer training lowers the error of some networks by 4 points more than of others, 1 point says nothing."""

    def short(row: Row, sweep: Sweep) -> Truth:
        right = papers(row, sweep)
        late = 4 * (sum(row.point.network.depths) % 2)
        return Truth(right.seconds, {**right.errors, "2x": right.errors["4x"] + 2 + late})

    evidence = measured(short)
    assert unsettled(evidence) == pytest.approx(4 * 0.5 * math.sqrt(2), rel=0.2)
    finding = ACCURATE, findings(evidence)[ACCURATE]
    assert (finding[1].verdict, finding[1].why) == ("undecided", "training is too short")
    assert {change.is_settled for change in changes(evidence) if change.base == "EN-B0"} == {True, False}
    page = claims.table(evidence.sweep, "claims", evidence.results).markdown()
    assert f"still changes the difference of two errors by {unsettled(evidence):.2f} points" in page


def test_missing_records_and_one_trial_are_said() -> None:
    evidence = measured(papers)
    points = evidence.sweep.points
    gap = {p.network.id for p in points if (p.base, p.strategy, p.scale) == ("RegNetZ-500MF", "dWr", 31.5)}

    def without(row: Row) -> Row:
        missing = row.point.network.id in gap
        errors = {key: Error(error.mean, None, 1) for key, error in row.errors.items()}
        return replace(row, time=None, errors={}) if missing else replace(row, errors=errors)

    rows = tuple(map(without, evidence.results.rows))
    found = findings(replace(evidence, results=replace(evidence.results, rows=rows)))
    best = found["RegNetZ has the best accuracy"]
    assert (best.verdict, best.n, best.why) == ("not measured", "0 of 2", "too few cases: not measured")
    accurate = found["dWr is as accurate as dwr"]
    assert (accurate.verdict, accurate.n) == ("undecided", "2 of 3 × 1 trials")  # one trial tells no spread


def test_a_family_that_a_claim_names_must_be_measured() -> None:
    text = "RegNetY and RegNetZ offer the best tradeoff of speed and accuracy"
    evidence = measured(papers)
    rows = [row if row.point.network.family != "RegNetY" else replace(row, errors={}) for row in evidence.results.rows]
    finding = findings(replace(evidence, results=replace(evidence.results, rows=tuple(rows))))[text]
    assert (finding.verdict, finding.why) == ("not measured", "RegNetY: not measured")


# Estimates.


def test_what_two_readings_share_cancels() -> None:
    parts = {name: Reading(value, {name: Part(1, Spread(0.3, 10))}) for name, value in (("a", 1), ("b", 2), ("c", 4))}
    a, b, c = parts.values()
    difference = combine((1, a), (-1, b))
    assert difference.spread == (pytest.approx(0.3 * math.sqrt(2)), pytest.approx(10))
    assert combine((1, difference), (1, combine((1, b), (-1, c)))).spread.sd == pytest.approx(0.3 * math.sqrt(2))
    assert mean([difference, combine((1, a), (-1, c))]).spread.sd == pytest.approx(0.3 * math.sqrt(1 + 0.25 + 0.25))
    low, high = interval(difference).low, interval(difference).high
    assert (low, high) == (
        pytest.approx(-1 - 2.228 * 0.3 * math.sqrt(2), abs=1e-3),
        pytest.approx(-1 + 0.9452, abs=1e-3),
    )


@pytest.mark.parametrize(
    ("bound", "ends", "verdict"),
    [
        (below(0), (-2, -1), "holds"),
        (below(0), (-2, 1), "undecided"),
        (below(0), (1, 2), "fails"),
        (below(0), (0, 0), "fails"),
        (above(1), (1.5, 2), "holds"),
        (above(1), (0.5, 2), "undecided"),
        (within(1), (-0.5, 0.9), "holds"),
        (within(1), (-0.5, 1.5), "undecided"),
        (within(1), (-3, -1.5), "fails"),
        (within(0), (0, 0), "holds"),
        (below(0), (math.nan, math.nan), "undecided"),
    ],
)
def test_a_bound_judges_the_whole_interval(bound: Bound, ends: tuple[float, float], verdict: str) -> None:
    middle = sum(ends) / 2
    assert bound.judge(Interval(middle, middle - ends[0], ends[1] - middle), bound.limit) == verdict


def finding_of(bound: Bound, *values: tuple[str, float], some: bool = False) -> Finding:
    """A finding of cases with these groups and values, each with a standard error of 1."""
    claim = replace(complexity.CLAIMS[0], bound=bound, some=some, kind="error")
    spread = Spread(1, math.inf)
    cases = [Case(f"{i}", Reading(value, {f"{i}": Part(1, spread)}), group) for i, (group, value) in enumerate(values)]
    return Finding(claim, tuple(cases), Doubts())


def test_cases_are_pooled_and_each_group_is_judged() -> None:
    assert finding_of(below(0), ("", -1.5)).verdict == "undecided"
    pooled = finding_of(below(0), ("", -1.5), ("", -1.5), ("", -4), ("", 0.5))
    assert (pooled.verdict, pooled.against) == ("holds", 1)
    assert finding_of(below(0), ("a", -3), ("b", -3)).verdict == "holds"
    assert finding_of(below(0), ("a", -3), ("b", 3)).verdict == "fails"
    assert finding_of(below(0), ("a", -3), ("b", 2.1)).verdict == "undecided"  # one of two is beyond 1.96 more often
    assert finding_of(above(0), ("a", -9), ("b", 3), some=True).verdict == "holds"
    assert finding_of(above(0), ("a", -9), ("b", 2.1), some=True).verdict == "undecided"
    assert finding_of(above(0), ("a", -9), ("b", -9), some=True).verdict == "undecided"


# Counts and the page.


def test_counted_claims_hold_and_fail_where_counts_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    every = [claim for part in claims.PARTS.values() for claim in part if claim.kind == "counted"]
    evidence = measured(papers)
    assert {claim.find(evidence, {}).verdict for claim in every} == {"holds"}
    monkeypatch.setattr(exponents, "measure", lambda *_: (exponents.Measured("EN-B0", (1.0, 0.3, 0.3), 1.0),))
    changed = {"complexity": {"EN-B0": {"flops": 0.5, "params": 5.3, "acts": 6.7}}}
    monkeypatch.setattr(complexity, "numbers", lambda: changed)
    monkeypatch.setattr(large, "OURS", "EN-B4")
    monkeypatch.setattr(large, "THEIRS", "RegNetY-4GF->16GF")
    rows = tuple(replace(row, acts=1 / row.acts, params=1 / row.params) for row in evidence.results.rows)
    swapped = replace(evidence, results=replace(evidence.results, rows=rows))
    assert {claim.text for claim in every if claim.find(swapped, {}).verdict != "fails"} == {
        "Optimised networks have fewer blocks in the last stage than scaled ones"
    }


@pytest.mark.parametrize("config", ["config.yaml", PAPERS])
def test_the_page_counts_measurements_and_counts_apart(config: str) -> None:
    sweep, results = counted(config)
    page = claims.table(sweep, "claims", results)
    numbers = [int(number) for number in re.findall(r"\d+", str(page.body[0]))]
    for kinds, (total, *tally) in zip(
        (("error", "time", "memory"), ("counted",)), (numbers[:5], numbers[5:]), strict=True
    ):
        found = [line for line in page.lines if line[-1] in kinds]
        assert total == len(found)
        assert tally == [sum(line[-3] == verdict for line in found) for verdict in claims.VERDICTS]
    kinds = [line[-1] for line in page.lines]
    assert kinds == sorted(kinds, key="counted".__eq__)  # counts come last
    requested = {line[0] for line in page.lines if line[5] != "0"}
    assert {"RegNetY is the fastest family", ALPHAS} <= requested


def test_a_found_base_is_compared_with_the_scaled_network_of_its_regime() -> None:
    found = {"family": "RegNetY", "depth": 4, "w0": 16, "wa": 8.0, "wm": 2.0, "group_width": 8, "resolution": 12}
    define = {"Found": {**found, "stem_width": 8}, "Found->3x": {"scale": "Found", "strategy": "dWr", "factor": 3}}
    config = without_found(yaml.safe_load((ROOT / "config.yaml").read_text()))
    config["define"] |= define
    config["tables"]["table7"] = {"networks": ["RegNetY-tiny->4x", "RegNetY-tiny->16x", *define]}
    sweep = Sweep.from_config({**config, "search": {}})
    results = load(sweep, "claims", "complexity")
    defined = {name: value for name, value in sweep.bases.defined.items() if name != "Found"}
    bases = Bases(defined, frozenset({"Found"}), {"Found": define["Found"]}, sweep.bases.classes)
    sweep = replace(sweep, expansion=replace(sweep.expansion, bases=bases))

    def verdict(gain: float) -> dict[str, tuple[str, str]]:
        errors = {row.point: 50 - row.flops / 1e6 - gain * ("Found" in row.point.base) for row in results.rows}
        rows = tuple(replace(row, errors={"2x": Error(errors[row.point], 0.1, 3)}) for row in results.rows)
        lines = claims.table(sweep, "claims", replace(results, rows=rows, val_images=None)).lines
        return {line[0]: (line[3], line[7]) for line in lines}

    better, worse = verdict(5), verdict(-5)
    for text, pair in (
        ("A network that is optimised for a regime by search outperforms a scaled one", "Found/RegNetY-tiny"),
        (
            "Hybrid scaling, of a network optimised at an intermediate regime, is better than scaling a small one",
            "Found->3x/RegNetY-tiny",
        ),
    ):
        assert pair in better[text][0], better[text]
        assert (better[text][1], worse[text][1]) == ("holds", "fails")

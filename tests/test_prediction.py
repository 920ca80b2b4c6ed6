"""Time and memory predicted by a network's costs, and advice by that: known coefficients, then real timings."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import write_records

from fastscale.analysis import aggregate
from fastscale.cli.main import main
from fastscale.cost.budget import largest_within
from fastscale.cost.prediction import FEWEST, TIME_TERMS, Costs, Prediction, Timing, fit, fit_time
from fastscale.networks import base_network
from fastscale.networks.complexity import count
from fastscale.networks.scaling import parse_strategy, scale
from fastscale.planning.advice import ALPHAS, probes
from fastscale.records.records import write_record
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parents[1]
PUBLISHED = yaml.safe_load((ROOT / "fastscale/analysis/results/published.yaml").read_text())["complexity"]
COSTS = [Costs.from_network(network) for name in ("EN-B0", "RegNetY-500MF") for network in probes(base_network(name))]
BATCH = 64

coefficients = st.fixed_dictionaries(
    {
        "flops": st.sampled_from([0.0, 1e-14, 1e-10]),
        "acts": st.sampled_from([0.0, 1e-12, 1e-8]),
        "layers": st.sampled_from([1e-7, 1e-4, 1e-2]),
    }
)


def timings(coefficients: Mapping[str, float], batch: int = BATCH) -> list[Timing]:
    """Timings that are exactly a sum of terms."""
    values = [costs.time_terms(batch) for costs in COSTS]
    return [
        Timing(
            costs,
            batch,
            sum(coefficients[term] * row[term] for term in coefficients),
            3 * costs.acts * batch + 16 * costs.params,
        )
        for costs, row in zip(COSTS, values, strict=True)
    ]


@settings(deadline=None)
@given(coefficients)
def test_known_coefficients_are_found(known: dict[str, float]) -> None:
    """Of a term that is negligible beside the others the coefficient may be off, the predictions may not."""
    prediction = Prediction.fit(timings(known))
    assert prediction is not None and prediction.memory is not None
    assert prediction.time.error < 1e-6 and prediction.memory.error < 1e-6
    assert prediction.memory.coefficients == pytest.approx({"acts": 3, "params": 16})
    for timing in timings(known, batch=BATCH // 8):
        assert prediction.seconds(timing.costs, timing.batch) == pytest.approx(timing.seconds, rel=1e-5)


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=len(COSTS), max_size=len(COSTS)))
def test_the_fit_is_the_best_one_without_negative_coefficients(targets: list[float]) -> None:
    """Where a coefficient is positive the sum of squares does not change with it; where it is 0, it does not fall."""
    rows = [costs.time_terms(BATCH) for costs in COSTS]
    best = fit(rows, targets, TIME_TERMS)
    assert best is not None and min(best.coefficients.values()) >= 0
    off = [best.predict(row) / target - 1 for row, target in zip(rows, targets, strict=True)]
    for term, coefficient in best.coefficients.items():
        column = [row[term] / target for row, target in zip(rows, targets, strict=True)]
        slope = sum(a * b for a, b in zip(off, column, strict=True)) / sum(a * a for a in column) ** 0.5
        assert abs(slope) < 1e-6 if coefficient else slope > -1e-6


@given(st.floats(1e-6, 1e6))
def test_units_do_not_matter(factor: float) -> None:
    exact = timings({"acts": 1e-8})
    noisy = [timing._replace(seconds=timing.seconds * (1 + 0.1 * (i % 3))) for i, timing in enumerate(exact)]
    in_seconds = fit_time(noisy)
    scaled = fit_time([timing._replace(seconds=timing.seconds * factor) for timing in noisy])
    assert in_seconds is not None and scaled is not None and scaled.errors == pytest.approx(in_seconds.errors)
    assert scaled.coefficients == pytest.approx({term: c * factor for term, c in in_seconds.coefficients.items()})


def test_an_error_is_that_of_a_network_which_the_fit_has_not_seen() -> None:
    exact = timings({"flops": 1e-10, "acts": 1e-8, "layers": 1e-3})
    fitted = fit_time([exact[0]._replace(seconds=10 * exact[0].seconds), *exact[1:]])
    assert fitted is not None and fitted.errors[0] == pytest.approx(0.9)
    assert fit_time(exact[: FEWEST - 1]) is None


def test_the_times_of_the_paper() -> None:
    """22 networks on V100s; the paper does not give their batches, which are taken as equal."""
    printed = [Timing(Costs.from_network(base_network(name)), 1, row["time"]) for name, row in PUBLISHED.items()]
    errors = [fit_time(printed, terms).error for terms in (TIME_TERMS, ("acts",), ("params",), ("flops",))]
    assert errors == sorted(errors) and errors[0] < 0.14 and errors[1] < 0.18 < 0.4 < errors[2]


def test_the_table_tells_the_terms_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are 2 ns per flop and 30 ns per activation; then too few networks are timed."""
    monkeypatch.chdir(tmp_path)
    config = {"sweep": "s", "data": {"kind": "fashion-mnist", "classes": 10}, "scales": [1, 4, 16]}
    config["grid"] = {"bases": ["EN-tiny", "RegNetY-tiny"], "strategies": ["w", "d", "r"]}
    sweep = Sweep.from_config(config)
    write_records(sweep, minutes=lambda cost: 1281167 / 60 * (2e-9 * cost.flops + 30e-9 * cost.acts))
    aggregate(sweep, "prediction")
    rows = {row["terms"]: row for row in csv.DictReader(sweep.artefacts["prediction"][0].open())}
    best, acts = rows["flops acts layers"], rows["acts"]
    assert float(best["per_flops"]) == pytest.approx(2e-9) and float(best["per_acts"]) == pytest.approx(30e-9)
    assert float(best["error"]) < 1e-6 < 0.01 < float(acts["error"]) < float(acts["largest_error"])
    assert (
        int(best["n"]) == len(sweep.networks) and "mean error of 0.0 %" in sweep.artefacts["prediction"][1].read_text()
    )

    path = sweep.profile_record("fixed")
    write_record(path, {"kind": "profiles", "records": json.loads(path.read_text())["records"][: FEWEST - 1]})
    (_, page, *_) = aggregate(sweep, "prediction", "partial")
    assert "Too few networks are timed: a fit needs 3." in page.read_text()


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(ALPHAS), st.floats(7e4, 1e8))
def test_no_larger_network_is_within_the_limit(alpha, limit: float) -> None:
    base, strategy = base_network("EN-tiny").with_classes(10), parse_strategy(f"alpha={alpha}")

    def flops(s: float) -> int:
        return count(scale(base, strategy, s)).flops

    s = largest_within(base, strategy, lambda network: count(network).flops, limit)
    assert flops(s) <= limit
    assert not any(flops(s) < flops(s * step / 20) <= limit for step in range(20, 30))


def output(*arguments: str, fails: bool = False) -> str:
    """Run a verb and return what it prints."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert (done.exit_code != 0) == fails, done.output
    return done.output


@pytest.mark.slow
def test_advice_from_real_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen networks are timed; the advised networks can be built, and are within the limit."""
    monkeypatch.chdir(tmp_path)
    request = ("advise", "EN-tiny", "--classes", "10")
    assert "`fastscale probes EN-tiny --record probes.json`" in output(*request, "--flops", "1e6")
    assert "needs timings of this device" in output(*request, "--seconds", "60", fails=True)
    output("probes", "EN-tiny", "--classes", "10", "--record", "probes.json")
    output("profile", "probes.json", "--record", "timed.json", "--batch", "16", "--repeats", "5", "--device", "cpu")
    timed = (*request, "--profiles", "timed.json")

    within = json.loads(output(*timed, "--flops", "1e6", "--json"))
    assert [choice["alpha"] for choice in within["frontier"]] == pytest.approx([float(alpha) for alpha in ALPHAS])
    assert within["error"] > 0 and all(0.5e6 < choice["flops"] <= 1e6 for choice in within["frontier"])
    deep, *_, wide = within["frontier"]
    assert deep["layers"] > wide["layers"]
    chosen = within["recommended"]
    scaled = ("scale", "EN-tiny", "--classes", "10", "--strategy", chosen["strategy"], "--scale", str(chosen["scale"]))
    assert chosen["strategy"] == "dWr" and json.loads(output(*scaled, "--json"))["flops"] == chosen["flops"]

    limit = chosen["seconds"]
    in_time = json.loads(output(*timed, "--seconds", str(limit), "--json"))
    assert all(choice["seconds"] <= limit for choice in in_time["frontier"])
    text = output(*timed, "--seconds", str(limit))
    assert "by 13 timed networks" in text and "the paper recommends alpha = 0.8" in text
    assert "hold no peak memory" in output(*timed, "--memory", "1GB", fails=True)
    assert "EN-tiny alone takes" in output(*timed, "--flops", "1000", fails=True)
    assert "2 limits are given" in output(*timed, "--flops", "1e6", "--seconds", "3", fails=True)


def write_timings(path: Path, coefficients: Mapping[str, float]) -> None:
    """Write made-up timings of a GPU, with 3 bytes per activation of each image and 16 per param."""
    records = [
        {
            "costs": timing.costs._asdict(),
            "device": {"type": "cuda", "name": "abacus"},
            "precision": "bfloat16",
            "images": 1281167,
            "batch": BATCH,
            "epoch_seconds": {"least": timing.seconds * 1281167},
            "peak_memory_bytes": timing.memory,
        }
        for timing in timings(coefficients)
    ]
    write_record(path, {"kind": "profiles", "records": records})


def test_a_limit_in_memory_and_its_time(tmp_path: Path) -> None:
    """Timings are 10 ps per activation and 1 us per layer."""
    write_timings(tmp_path / "timed.json", {"acts": 1e-11, "layers": 1e-6})
    timed = ("advise", "EN-B0", "--profiles", str(tmp_path / "timed.json"), "--json")
    for choice in json.loads(output(*timed, "--memory", "20GB"))["frontier"]:
        assert 10e9 < choice["memory"] <= 20e9
        assert choice["memory"] == pytest.approx(3 * BATCH * choice["acts"] + 16 * choice["params"])
        epoch = 1281167 * (1e-11 * choice["acts"] + 1e-6 * choice["layers"] / BATCH)
        assert choice["seconds"] == pytest.approx(epoch, rel=1e-4)
    within = json.loads(output(*timed, "--flops", "16e9"))
    deep, *_, wide = within["frontier"]
    assert deep["layers"] > wide["layers"] and deep["seconds"] > wide["seconds"]
    in_time = json.loads(output(*timed, "--seconds", str(within["recommended"]["seconds"])))
    assert in_time["recommended"]["flops"] >= within["recommended"]["flops"]


def test_strategies_that_reach_the_limit_at_no_scale_are_left_out(tmp_path: Path) -> None:
    """Where all time is that of layers, as noise may make it seem, width takes no time."""
    write_timings(tmp_path / "timed.json", {"layers": 1e-6})
    timed = ("advise", "EN-B0", "--profiles", str(tmp_path / "timed.json"), "--seconds")
    advice = json.loads(output(*timed, "2", "--json"))
    assert advice["left_out"] == ["w"]
    assert [choice["alpha"] for choice in advice["frontier"]] == pytest.approx([float(alpha) for alpha in ALPHAS[:-1]])
    assert all(choice["seconds"] <= 2 for choice in advice["frontier"])
    assert "Left out, as even scale 1,000,000 is predicted to be within the limit: w." in output(*timed, "2")
    assert "even dWr at scale 1,000,000 is within the limit of 1e+06; give a smaller one" in output(
        *timed, "1e6", fails=True
    )

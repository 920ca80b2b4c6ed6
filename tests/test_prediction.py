"""Time and memory by what a network costs, and the advice that rests on it: known coefficients, then real timings."""

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


def timings(known: Mapping[str, float], batch: int = BATCH) -> list[Timing]:
    """Timings that are exactly a sum of terms."""
    values = [costs.time_terms(batch) for costs in COSTS]
    return [
        Timing(costs, batch, sum(known[term] * row[term] for term in known), 3 * costs.acts * batch + 16 * costs.params)
        for costs, row in zip(COSTS, values, strict=True)
    ]


@settings(deadline=None)
@given(coefficients)
def test_known_coefficients_are_found(known: dict[str, float]) -> None:
    """To what matters: a term that is lost beside the others may be off, the predictions may not."""
    found = Prediction.fit(timings(known))
    assert found is not None and found.memory is not None
    assert found.time.error < 1e-6 and found.memory.error < 1e-6
    assert found.memory.coefficients == pytest.approx({"acts": 3, "params": 16})
    for one in timings(known, batch=BATCH // 8):
        assert found.seconds(one.costs, one.batch) == pytest.approx(one.seconds, rel=1e-5)


@settings(deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=len(COSTS), max_size=len(COSTS)))
def test_the_fit_is_the_best_one_without_negative_coefficients(targets: list[float]) -> None:
    """Where a coefficient is positive the sum of squares does not change with it; where it is 0, it does not fall."""
    rows = [costs.time_terms(BATCH) for costs in COSTS]
    found = fit(rows, targets, TIME_TERMS)
    assert found is not None and min(found.coefficients.values()) >= 0
    off = [found.predict(row) / target - 1 for row, target in zip(rows, targets, strict=True)]
    for term, coefficient in found.coefficients.items():
        column = [row[term] / target for row, target in zip(rows, targets, strict=True)]
        slope = sum(a * b for a, b in zip(off, column, strict=True)) / sum(a * a for a in column) ** 0.5
        assert abs(slope) < 1e-6 if coefficient else slope > -1e-6


@given(st.floats(1e-6, 1e6))
def test_units_do_not_matter(factor: float) -> None:
    noisy = [one._replace(seconds=one.seconds * (1 + 0.1 * (i % 3))) for i, one in enumerate(timings({"acts": 1e-8}))]
    found = fit_time(noisy)
    scaled = fit_time([one._replace(seconds=one.seconds * factor) for one in noisy])
    assert found is not None and scaled is not None and scaled.errors == pytest.approx(found.errors)
    assert scaled.coefficients == pytest.approx({term: c * factor for term, c in found.coefficients.items()})


def test_an_error_is_that_of_a_network_which_the_fit_has_not_seen() -> None:
    exact = timings({"flops": 1e-10, "acts": 1e-8, "layers": 1e-3})
    found = fit_time([exact[0]._replace(seconds=10 * exact[0].seconds), *exact[1:]])
    assert found is not None and found.errors[0] == pytest.approx(0.9)
    assert fit_time(exact[: FEWEST - 1]) is None


def test_the_times_of_the_paper() -> None:
    """22 networks on V100s, whose batches it does not give: taken as equal."""
    known = [Timing(Costs.from_network(base_network(name)), 1, row["time"]) for name, row in PUBLISHED.items()]
    errors = [fit_time(known, terms).error for terms in (TIME_TERMS, ("acts",), ("params",), ("flops",))]
    assert errors == sorted(errors) and errors[0] < 0.14 and errors[1] < 0.18 < 0.4 < errors[2]


def test_the_table_tells_the_terms_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of 2 ns a flop and 30 ns an activation; then too few of them."""
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
    (_, told, *_) = aggregate(sweep, "prediction", "partial")
    assert "Too few networks are timed" in told.read_text()


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(ALPHAS), st.floats(7e4, 1e8))
def test_no_larger_network_is_within_the_limit(alpha, limit: float) -> None:
    base, strategy = base_network("EN-tiny").with_classes(10), parse_strategy(f"alpha={alpha}")

    def flops(s: float) -> int:
        return count(scale(base, strategy, s)).flops

    s = largest_within(base, strategy, lambda network: count(network).flops, limit)
    assert flops(s) <= limit
    assert not any(flops(s) < flops(s * step / 20) <= limit for step in range(20, 30))


def told(*arguments: str, fails: bool = False) -> str:
    """What a verb prints."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert (done.exit_code != 0) == fails, done.output
    return done.output


@pytest.mark.slow
def test_advice_from_real_timings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dozen networks are timed here; what is advised can be built, and is within the limit."""
    monkeypatch.chdir(tmp_path)
    asked = ("advise", "EN-tiny", "--classes", "10")
    assert "`fastscale probes EN-tiny --record probes.json`" in told(*asked, "--flops", "1e6")
    assert "needs timings of this device" in told(*asked, "--seconds", "60", fails=True)
    told("probes", "EN-tiny", "--classes", "10", "--record", "probes.json")
    told("profile", "probes.json", "--record", "timed.json", "--batch", "16", "--repeats", "5", "--device", "cpu")
    timed = (*asked, "--profiles", "timed.json")

    within = json.loads(told(*timed, "--flops", "1e6", "--json"))
    assert [choice["alpha"] for choice in within["frontier"]] == pytest.approx([float(alpha) for alpha in ALPHAS])
    assert within["error"] > 0 and all(0.5e6 < choice["flops"] <= 1e6 for choice in within["frontier"])
    deep, *_, wide = within["frontier"]
    assert deep["layers"] > wide["layers"]
    chosen = within["recommended"]
    made = ("scale", "EN-tiny", "--classes", "10", "--strategy", chosen["strategy"], "--scale", str(chosen["scale"]))
    assert chosen["strategy"] == "dWr" and json.loads(told(*made, "--json"))["flops"] == chosen["flops"]

    limit = chosen["seconds"]
    in_time = json.loads(told(*timed, "--seconds", str(limit), "--json"))
    assert all(choice["seconds"] <= limit for choice in in_time["frontier"])
    text = told(*timed, "--seconds", str(limit))
    assert "by 13 timed networks" in text and "the paper recommends alpha = 0.8" in text
    assert "hold no peak memory" in told(*timed, "--memory", "1GB", fails=True)
    assert "EN-tiny alone takes" in told(*timed, "--flops", "1000", fails=True)
    assert "2 limits are given" in told(*timed, "--flops", "1e6", "--seconds", "3", fails=True)


def write_timings(path: Path, known: Mapping[str, float]) -> None:
    """Made-up timings of a GPU: 3 bytes an activation and image, 16 a param."""
    records = [
        {
            "costs": one.costs._asdict(),
            "device": {"type": "cuda", "name": "abacus"},
            "precision": "bfloat16",
            "images": 1281167,
            "batch": BATCH,
            "epoch_seconds": {"median": one.seconds * 1281167},
            "peak_memory_bytes": one.memory,
        }
        for one in timings(known)
    ]
    write_record(path, {"kind": "profiles", "records": records})


def test_a_limit_in_memory_and_what_it_takes_in_time(tmp_path: Path) -> None:
    """10 ps an activation, 1 us a layer."""
    write_timings(tmp_path / "timed.json", {"acts": 1e-11, "layers": 1e-6})
    timed = ("advise", "EN-B0", "--profiles", str(tmp_path / "timed.json"), "--json")
    for choice in json.loads(told(*timed, "--memory", "20GB"))["frontier"]:
        assert 10e9 < choice["memory"] <= 20e9
        assert choice["memory"] == pytest.approx(3 * BATCH * choice["acts"] + 16 * choice["params"])
        epoch = 1281167 * (1e-11 * choice["acts"] + 1e-6 * choice["layers"] / BATCH)
        assert choice["seconds"] == pytest.approx(epoch, rel=1e-4)
    within = json.loads(told(*timed, "--flops", "16e9"))
    deep, *_, wide = within["frontier"]
    assert deep["layers"] > wide["layers"] and deep["seconds"] > wide["seconds"]
    in_time = json.loads(told(*timed, "--seconds", str(within["recommended"]["seconds"])))
    assert in_time["recommended"]["flops"] >= within["recommended"]["flops"]


def test_what_does_not_reach_the_limit_at_any_scale_is_left_out(tmp_path: Path) -> None:
    """Where all time is that of layers, as noise may have it, width takes none."""
    write_timings(tmp_path / "timed.json", {"layers": 1e-6})
    timed = ("advise", "EN-B0", "--profiles", str(tmp_path / "timed.json"), "--seconds")
    advice = json.loads(told(*timed, "2", "--json"))
    assert advice["left_out"] == ["w"]
    assert [choice["alpha"] for choice in advice["frontier"]] == pytest.approx([float(alpha) for alpha in ALPHAS[:-1]])
    assert all(choice["seconds"] <= 2 for choice in advice["frontier"])
    assert "Left out: w, of which even scale 1,000,000 is predicted to be within the limit." in told(*timed, "2")
    assert "the limit of 1e+06 is beyond dWr at scale 1,000,000; give a smaller one" in told(*timed, "1e6", fails=True)

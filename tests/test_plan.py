"""What a sweep costs before it runs: from the paper's times, from timings, from trainings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from made_up import write_records

from fastscale.cli.main import main
from fastscale.errors import UserError
from fastscale.planning.plan import Plan, plan
from fastscale.records.records import write_record
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parents[1]
PUBLISHED = yaml.safe_load((ROOT / "fastscale/analysis/results/published.yaml").read_text())["complexity"]
SMALL = {
    "sweep": "small",
    "data": {"kind": "fashion-mnist", "classes": 10, "train_images": 4000, "val_images": 3000},
    "grid": {"bases": ["EN-tiny", "RegNetY-tiny"], "strategies": ["w", "dWr"], "scales": [1, 4, 16]},
    "schedules": {"1x": 10},
    "trials": 2,
}
EPOCH = (4000 + 3000 / 3) / 1281167  # of the timings' epochs; a validation image is a third of a step


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep.from_config(yaml.safe_load((ROOT / "workflow/sweeps/imagenet.yaml").read_text()))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """With all of its records: epochs proportional to activations, and 10 seconds for each training."""
    monkeypatch.chdir(tmp_path)
    return write_records(Sweep.from_config(SMALL), minutes=lambda cost: cost.acts / 1e4)


def told(sweep: Sweep, *options: str) -> str:
    """What `fastscale plan` prints."""
    write_record(sweep.description, dict(sweep.config))
    done = CliRunner().invoke(main, ["plan", "--sweep", str(sweep.description), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def bases(found: Plan) -> set[str]:
    return {job.basis for job in found.to_do}


def test_the_paper_is_priced_by_its_own_times(imagenet: Sweep) -> None:
    """Nothing is measured; what is published is met within the factor that the plan names, searches included."""
    found = plan(imagenet)
    assert bases(found) == {"paper"} and len(found.to_do) == len(found.jobs) > 450
    asked = [(job.network, job.schedule, job.trial) for job in found.jobs]
    assert len(asked) == len(set(asked))
    by_name = {point.base: point.network for point in found.sweep.points if point.scale == 1}
    for name, row in PUBLISHED.items():
        seconds, _ = found.epoch_times.estimate(by_name[name])
        ratio = seconds / (60 * 8 * row["time"]) / (1 + 50_000 / 3 / 1_281_167)
        assert max(ratio, 1 / ratio) < 1.01 * found.epoch_times.spread  # the paper rounds its activations
    assert set(found.sweep.assumed) == {"RegNetY-4GF-found", "RegNetZ-4GF-found"}
    assert any(point.base == "RegNetY-4GF-found->16GF" for point in found.sweep.points)
    text = told(imagenet)
    assert f"{len(found.jobs)} trainings, 0 of them done" in text and "one V100" in text and "first candidate" in text
    assert not imagenet.network_record("fixed").exists(), "it looks, and makes nothing"


def test_numbers_for_programs_are_those_for_people(imagenet: Sweep) -> None:
    found = json.loads(told(imagenet, "--json"))
    assert found["cost"] == pytest.approx(2 * found["device_hours"])
    assert found["device_hours"] == pytest.approx(sum(job["hours"] for job in found["jobs"]))
    assert found["epochs"] == sum(job["epochs"] for job in found["jobs"])
    assert f"{found['device_hours']:,.2f}" in told(imagenet) and f"{found['cost']:,.2f}" in told(imagenet)


def test_timings_price_what_was_not_trained(small: Sweep) -> None:
    shutil.rmtree(small.folder / "train")
    found = plan(small)
    assert bases(found) == {"timed"} and len(found.to_do) == len(found.jobs)
    (network, *_) = small.networks.values()
    acts = json.loads(small.network_record("fixed").read_text())["networks"][0]["acts"]
    assert found.epoch_times.estimate(network)[0] == pytest.approx(EPOCH * 60 * acts / 1e4)
    assert "CPU-hours" in told(small) and "as timed on abacus" in told(small)


def test_costs_price_what_was_not_timed(small: Sweep) -> None:
    """Times were made proportional to activations, so that the prediction meets what was left out."""
    shutil.rmtree(small.folder / "train")
    path = small.profile_record("fixed")
    *known, left = json.loads(path.read_text())["records"]
    write_record(path, {"kind": "profiles", "records": known})
    found = plan(small)
    seconds, basis = found.epoch_times.estimate(small.networks[left["network"]])
    assert basis == "predicted" and seconds == pytest.approx(EPOCH * left["epoch_seconds"]["median"])
    assert "1 by their flops, activations and layers" in told(small)


def test_trainings_say_how_much_more_than_a_step_they_take(small: Sweep) -> None:
    (asked, *_) = small.networks
    paths = [small.train_record(network, "1x", trial) for network in small.networks for trial in small.trials]
    for path in paths:
        if path.parent.name != asked:
            path.unlink()
    found = plan(small)
    assert len(found.jobs) - len(found.to_do) == 2 and bases(found) == {"timed"}
    assert found.epoch_times.estimate(small.networks[asked]) == (1.0, "trained")  # 10 seconds for 10 epochs
    assert found.epoch_times.overhead == pytest.approx(1 / found.epoch_times.timed[asked])
    assert not plan(write_records(small)).to_do


def test_nothing_is_said_of_a_cpu_that_nothing_was_timed_on(small: Sweep) -> None:
    shutil.rmtree(small.folder / "train")
    shutil.rmtree(small.folder / "profile")
    assert bases(plan(small)) == {"unknown"}
    assert json.loads(told(small, "--json"))["device_hours"] is None
    assert "unknown, as too few are timed on this CPU" in told(small, "--jobs")


def test_images_are_counted_where_they_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not taken to be ImageNet's; what is wrong with them is told."""
    monkeypatch.chdir(tmp_path)
    data = {"kind": "imagefolder", "path": "photos", "classes": 2}
    assert "1,281,167 images and validates on 50,000 (ImageNet's, as 'photos' is not on" in told(priced(data))
    for split, each in {"train": 5, "val": 3}.items():
        for name in ("a", "b"):
            Path("photos", split, name).mkdir(parents=True)
            for i in range(each):
                Path("photos", split, name, f"{i}.jpg").touch()
    assert "An epoch trains on 10 images and validates on 6," in told(priced(data))
    assert "An epoch trains on 4 images and validates on 6," in told(priced({**data, "train_images": 4}))
    for wrong, words in {"classes": "classes is 3, but photos holds 2", "train_images": "only 10 are there"}.items():
        sweep = priced({**data, wrong: 3 if wrong == "classes" else 99})
        with pytest.raises(UserError, match=words):
            plan(sweep)


def priced(data: dict[str, Any]) -> Sweep:
    return Sweep.from_config({**SMALL, "data": data})

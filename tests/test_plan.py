"""Plans of sweeps: costs from the paper's times, from timings and from trainings."""

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
# In epochs of the timings; a validation image takes a third of the time of a training image.
EPOCH = (4000 + 3000 / 3) / 1281167


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep.from_config(yaml.safe_load((ROOT / "workflow/sweeps/imagenet.yaml").read_text()))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """Write a small sweep with all records: epoch times proportional to activations, and 10 seconds per training."""
    monkeypatch.chdir(tmp_path)
    return write_records(Sweep.from_config(SMALL), minutes=lambda cost: cost.acts / 1e4)


def printed(sweep: Sweep, *options: str) -> str:
    """Return the output of `fastscale plan`."""
    write_record(sweep.description, dict(sweep.config))
    done = CliRunner().invoke(main, ["plan", "--sweep", str(sweep.description), *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def bases(planned: Plan) -> set[str]:
    return {job.basis for job in planned.to_do}


def test_the_paper_is_priced_by_its_own_times(imagenet: Sweep) -> None:
    """Without measurements, times agree with the published ones within the factor that the plan names."""
    planned = plan(imagenet)
    assert bases(planned) == {"paper"} and len(planned.to_do) == len(planned.jobs) > 450
    trainings = [(job.network, job.schedule, job.trial) for job in planned.jobs]
    assert len(trainings) == len(set(trainings))
    by_name = {point.base: point.network for point in planned.sweep.points if point.scale == 1}
    for name, row in PUBLISHED.items():
        seconds, _ = planned.epoch_times.estimate(by_name[name])
        ratio = seconds / (60 * 8 * row["time"]) / (1 + 50_000 / 3 / 1_281_167)
        assert max(ratio, 1 / ratio) < 1.01 * planned.epoch_times.spread  # the paper rounds its activations
    assert set(planned.sweep.assumed) == {"RegNetY-4GF-found", "RegNetZ-4GF-found"}
    assert any(point.base == "RegNetY-4GF-found->16GF" for point in planned.sweep.points)
    text = printed(imagenet)
    assert f"{len(planned.jobs)} trainings, 0 of them done" in text and "one V100" in text and "first candidate" in text
    assert not imagenet.network_record("fixed").exists(), "planning writes no record"


def test_numbers_for_programs_are_those_for_people(imagenet: Sweep) -> None:
    numbers = json.loads(printed(imagenet, "--json"))
    assert numbers["cost"] == pytest.approx(2 * numbers["device_hours"])
    assert numbers["device_hours"] == pytest.approx(sum(job["hours"] for job in numbers["jobs"]))
    assert numbers["epochs"] == sum(job["epochs"] for job in numbers["jobs"])
    text = printed(imagenet)
    assert f"{numbers['device_hours']:,.2f}" in text and f"{numbers['cost']:,.2f}" in text


def test_timings_price_what_was_not_trained(small: Sweep) -> None:
    shutil.rmtree(small.folder / "train")
    planned = plan(small)
    assert bases(planned) == {"timed"} and len(planned.to_do) == len(planned.jobs)
    (network, *_) = small.networks.values()
    acts = json.loads(small.network_record("fixed").read_text())["networks"][0]["acts"]
    assert planned.epoch_times.estimate(network)[0] == pytest.approx(EPOCH * 60 * acts / 1e4)
    assert "CPU-hours" in printed(small) and "as timed on abacus" in printed(small)


def test_costs_price_what_was_not_timed(small: Sweep) -> None:
    """Times are proportional to activations, so that the prediction for the removed network is exact."""
    shutil.rmtree(small.folder / "train")
    path = small.profile_record("fixed")
    *kept, removed = json.loads(path.read_text())["records"]
    write_record(path, {"kind": "profiles", "records": kept})
    planned = plan(small)
    seconds, basis = planned.epoch_times.estimate(small.networks[removed["network"]])
    assert basis == "predicted" and seconds == pytest.approx(EPOCH * removed["epoch_seconds"]["least"])
    assert "1 by their flops, activations and layers" in printed(small)


def test_trainings_say_how_much_more_than_a_step_they_take(small: Sweep) -> None:
    (trained, *_) = small.networks
    paths = [small.train_record(network, "1x", trial) for network in small.networks for trial in small.trials]
    for path in paths:
        if path.parent.name != trained:
            path.unlink()
    planned = plan(small)
    assert len(planned.jobs) - len(planned.to_do) == 2 and bases(planned) == {"timed"}
    assert planned.epoch_times.estimate(small.networks[trained]) == (1.0, "trained")  # 10 seconds for 10 epochs
    assert planned.epoch_times.overhead == pytest.approx(1 / planned.epoch_times.timed[trained])
    assert not plan(write_records(small)).to_do


def test_nothing_is_said_of_a_cpu_that_nothing_was_timed_on(small: Sweep) -> None:
    shutil.rmtree(small.folder / "train")
    shutil.rmtree(small.folder / "profile")
    assert bases(plan(small)) == {"unknown"}
    assert json.loads(printed(small, "--json"))["device_hours"] is None
    assert "unknown, as too few are timed on this CPU" in printed(small, "--jobs")


def test_images_are_counted_where_they_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not assumed to be ImageNet's, and mistakes in them are reported."""
    monkeypatch.chdir(tmp_path)
    data = {"kind": "imagefolder", "path": "photos", "classes": 2}
    assert "1,281,167 images and validates on 50,000 (ImageNet's, as 'photos' is not on" in printed(priced(data))
    for split, each in {"train": 5, "val": 3}.items():
        for name in ("a", "b"):
            Path("photos", split, name).mkdir(parents=True)
            for i in range(each):
                Path("photos", split, name, f"{i}.jpg").touch()
    assert "An epoch trains on 10 images and validates on 6," in printed(priced(data))
    assert "An epoch trains on 4 images and validates on 6," in printed(priced({**data, "train_images": 4}))
    for wrong, words in {"classes": "classes is 3, but photos holds 2", "train_images": "only 10 are there"}.items():
        sweep = priced({**data, wrong: 3 if wrong == "classes" else 99})
        with pytest.raises(UserError, match=words):
            plan(sweep)


def priced(data: dict[str, Any]) -> Sweep:
    return Sweep.from_config({**SMALL, "data": data})

"""Images that change under a sweep: what rests on them is made again, and nothing else."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkout import Checkout
from PIL import Image

from fastscale.analysis import aggregate
from fastscale.data import write_betons
from fastscale.errors import UserError
from fastscale.sweep.sweep import Sweep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def images(checkout: Checkout) -> Path:
    """A folder of pictures that a finished sweep has been trained on: one network, two trials."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 30), ("val", 5)):
        for name in ("a", "b"):
            folder = checkout.folder / "images" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    checkout.configure(
        data={"kind": "imagefolder", "path": "images", "classes": 2, "write_mode": "proportion"},
        grid={"bases": ["EN-tiny"], "strategies": ["w"]},
        figures={"fig6": {"bases": ["EN-tiny"], "strategies": ["w"]}},
        scales=[1],
        recipe={"batch": 20},
    )
    ran = checkout.snakemake("all")
    assert ran.returncode == 0, ran.stdout
    return checkout.folder / "images"


def planned(checkout: Checkout) -> dict[str, int]:
    """How often each rule is planned to run."""
    ran = checkout.snakemake("-n", "all")
    assert ran.returncode == 0, ran.stdout
    rules = re.findall(r"^(?:rule|checkpoint) (\w+):", ran.stdout, re.M)
    assert bool(rules) != ("Nothing to be done" in ran.stdout), ran.stdout
    return {rule: rules.count(rule) for rule in rules}


def run(checkout: Checkout) -> int:
    """Run the sweep; returns how many trainings that were."""
    ran = checkout.snakemake("all")
    assert ran.returncode == 0, ran.stdout
    return len(re.findall(r"Finished jobid: \d+ \(Rule: train\)", ran.stdout))


def records(checkout: Checkout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (checkout.folder / "results/small/train").glob("*/*.json")}


def hashes(checkout: Checkout) -> set[str]:
    return {json.loads(record)["data_hash"] for record in records(checkout).values()}


def test_one_image_replaced(checkout: Checkout, images: Path) -> None:
    assert planned(checkout) == {}
    before = hashes(checkout)
    kept = (images / "train/a/7.png").read_bytes()
    Image.new("RGB", (24, 24), (1, 2, 3)).save(images / "train/a/7.png")
    plan = planned(checkout)
    assert plan["data"] == 1 and plan["train"] == 2 and plan["fig6"] == 1
    assert run(checkout) == 2 and planned(checkout) == {}
    assert len(before) == len(hashes(checkout)) == 1 and hashes(checkout) != before
    (images / "train/a/7.png").write_bytes(kept)
    assert run(checkout) == 2 and hashes(checkout) == before


def test_one_image_more_and_one_less(checkout: Checkout, images: Path) -> None:
    before = hashes(checkout)
    (images / "val/a/3.png").rename(images / "val/b/9.png")
    assert planned(checkout)["train"] == 2
    assert run(checkout) == 2 and hashes(checkout) != before


def test_images_that_have_been_touched_alone(checkout: Checkout, images: Path) -> None:
    """Written again, as nobody knows better without reading them; no training is repeated."""
    before = records(checkout)
    for path in images.rglob("*.png"):
        path.write_bytes(path.read_bytes())
    assert planned(checkout)["data"] == 1
    assert run(checkout) == 0 and planned(checkout) == {}
    assert records(checkout) == before


def test_what_is_no_image_and_what_is_gone(checkout: Checkout, images: Path) -> None:
    (images / "train/a/notes.txt").touch()
    (images / "train/.ipynb_checkpoints").mkdir()
    assert planned(checkout) == {}
    images.rename(images.with_name("away"))
    assert planned(checkout) == {}, "they have been written"
    (next(iter(records(checkout)))).unlink()
    assert run(checkout) == 1
    shutil.rmtree(next((checkout.folder / "data").iterdir()))
    assert planned(checkout) == {}, "nothing needs them"
    images.with_name("away").rename(images)
    assert planned(checkout) == {}
    (next(iter(records(checkout)))).unlink()
    before = records(checkout)
    assert run(checkout) == 1, "the data is written again, for this one"
    assert before.items() <= records(checkout).items()


def test_records_of_other_data_are_refused(checkout: Checkout, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout.folder)
    sweep = Sweep.load(Path("results/small/sweep.json"))
    aggregate(sweep, "fig6")
    Image.new("RGB", (24, 24), (1, 2, 3)).save(images / "train/a/8.png")
    write_betons(sweep.config["data"], sweep.data_folder)
    with pytest.raises(UserError, match=r"1x-1.json was trained on other data \(hash .*\) than the sweep has now"):
        aggregate(sweep, "fig6")

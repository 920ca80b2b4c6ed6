"""Images that change under a sweep: what rests on them is made again, and nothing else. Its tests are one story."""

import json
import re
import shutil
from collections import Counter
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
    """A folder of pictures that Figure 6 of a sweep has been made of: one network, two trials."""
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
    assert run(checkout)[1]["train"] == 2
    return checkout.folder / "images"


def run(checkout: Checkout, *targets: str) -> tuple[dict[str, int], dict[str, int]]:
    """Make Figure 6, or other targets; returns how often each rule was planned to run, and how often it ran."""
    ran = checkout.snakemake(*(targets or ["fig6"]))
    assert ran.returncode == 0, ran.stdout
    table = re.search(r"^Job stats:\n.*\n[- ]+\n([^-]*?)^total", ran.stdout, re.M)
    planned = {rule: int(n) for rule, n in map(str.split, table[1].splitlines())} if table else {}
    assert bool(planned) != ("Nothing to be done" in ran.stdout), ran.stdout
    return planned, dict(Counter(re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", ran.stdout)))


def records(checkout: Checkout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (checkout.folder / "results/small/train").glob("*/*.json")}


@pytest.fixture(scope="module")
def trainings(checkout: Checkout, images: Path) -> list[str]:
    """The train records, as targets."""
    return [str(path.relative_to(checkout.folder)) for path in records(checkout)]


@pytest.fixture(scope="module")
def original(checkout: Checkout, images: Path) -> tuple[set[str], bytes]:
    """The hash of the first data, and the image that is going to be replaced."""
    return hashes(checkout), (images / "train/a/7.png").read_bytes()


def hashes(checkout: Checkout) -> set[str]:
    return {json.loads(record)["data_hash"] for record in records(checkout).values()}


def test_one_image_replaced(checkout: Checkout, images: Path, original: tuple[set[str], bytes]) -> None:
    Image.new("RGB", (24, 24), (1, 2, 3)).save(images / "train/a/7.png")
    planned, ran = run(checkout)
    assert planned == ran == {"data": 1, "train": 2, "fig6": 1}
    assert len(original[0]) == len(hashes(checkout)) == 1 and hashes(checkout) != original[0]


def test_what_is_no_image(checkout: Checkout, images: Path) -> None:
    (images / "train/a/notes.txt").touch()
    (images / "train/.ipynb_checkpoints").mkdir()
    assert run(checkout) == ({}, {})


def test_images_that_have_been_touched_alone(checkout: Checkout, images: Path) -> None:
    """Written again, as nobody knows better without reading them; no training is repeated."""
    before = records(checkout)
    for path in images.rglob("*.png"):
        path.write_bytes(path.read_bytes())
    planned, ran = run(checkout)
    assert planned["data"] == 1 and ran["data"] == 1 and "train" not in ran
    assert records(checkout) == before
    assert run(checkout) == ({}, {})


def test_one_image_more_and_one_less(
    checkout: Checkout, images: Path, trainings: list[str], original: tuple[set[str], bytes]
) -> None:
    before = hashes(checkout)
    (images / "val/a/3.png").rename(images / "val/b/9.png")
    planned, ran = run(checkout, *trainings)
    assert planned == ran == {"data": 1, "train": 2}
    assert hashes(checkout) not in (before, original[0])

    (images / "val/b/9.png").rename(images / "val/a/3.png")
    (images / "train/a/7.png").write_bytes(original[1])
    assert run(checkout, *trainings)[1] == {"data": 1, "train": 2} and hashes(checkout) == original[0]


def test_what_is_gone(checkout: Checkout, images: Path, trainings: list[str]) -> None:
    images.rename(images.with_name("away"))
    (next(iter(records(checkout)))).unlink()
    assert run(checkout, *trainings)[1] == {"train": 1}, "they have been written"
    shutil.rmtree(next((checkout.folder / "data").iterdir()))
    assert run(checkout, *trainings) == ({}, {}), "nothing needs them"
    images.with_name("away").rename(images)
    assert run(checkout, *trainings) == ({}, {})
    (next(iter(records(checkout)))).unlink()
    before = records(checkout)
    assert run(checkout, *trainings)[1] == {"data": 1, "train": 1}, "the data is written again, for this one"
    assert before and before.items() <= records(checkout).items()


def test_records_of_other_data_are_refused(checkout: Checkout, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout.folder)
    sweep = Sweep.load(Path("results/small/sweep.json"))
    aggregate(sweep, "fig6")
    Image.new("RGB", (24, 24), (1, 2, 3)).save(images / "train/a/8.png")
    write_betons(sweep.config["data"], sweep.data_folder)
    with pytest.raises(UserError, match=r"1x-1.json was trained on other data \(hash .*\) than the sweep has now"):
        aggregate(sweep, "fig6")

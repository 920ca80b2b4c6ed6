"""What Snakemake says of a configuration, and of the data that it names, before anything runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import SMALL, Checkout
from forks import snakemake
from PIL import Image

from fastscale.sweep.sweep import Sweep

pytestmark = pytest.mark.slow

SCRIPT = str(Path(sys.executable).with_name("snakemake"))
# All that a folder's name may hold: what Snakemake, JSON and shells take for something else, and a line's end.
HOSTILE = 'it\'s {x} {params.config} "q" $HOME `id` %s \\n \n über; --folder'


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, with three pictures each for training and for validation."""
    folder = tmp_path_factory.mktemp("images") / HOSTILE
    for n, (split, name) in enumerate((split, name) for split in ("train", "val") for name in ("a", "b")):
        (folder / split / name).mkdir(parents=True)
        for i in range(3):
            pixels = np.full((20, 20, 3), 20 * n + i, np.uint8)
            Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def configure(checkout: Checkout, text: str) -> None:
    (checkout.folder / "config.yaml").write_text(text)


def folder_of(where: Path | str, **changes: object) -> dict[str, object]:
    data = {"kind": "imagefolder", "classes": 2, "path": str(where), "max_resolution": 28, "write_mode": "raw"}
    return {key: value for key, value in (data | changes).items() if value is not None}


def planned(output: str) -> set[str]:
    return set(re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", output, re.M))


@pytest.mark.parametrize(
    ("targets", "changes", "words"),
    [
        (["-n", "all"], {"classes": 3}, "classes is 3, but"),
        (["all"], {"kind": "fashion-mnist", "path": None, "classes": 9}, "classes is 9, but fashion-mnist holds 10"),
        (["plan"], {"classes": 3}, "classes is 3, but"),
    ],
    ids=["-n all", "all", "plan"],
)
def test_wrong_classes_are_told_at_once(
    checkout: Checkout, images: Path, changes: dict, words: str, targets: list[str]
) -> None:
    checkout.configure(data=folder_of(images, **changes), sweep="classes")
    ran = snakemake(checkout.folder, *targets)
    assert ran.returncode and words in ran.stdout and "Traceback" not in ran.stdout, ran.stdout
    assert "-n" in targets or planned(ran.stdout) <= {"describe", "plan"}, "nothing else was begun"


def test_missing_data_are_told_at_once_but_to_those_whose_nodes_may_see_them(checkout: Checkout) -> None:
    checkout.configure(data=folder_of("nowhere"), sweep="missing")
    for targets in (["-n", "all"], ["fig6"]):
        ran = snakemake(checkout.folder, *targets)
        assert ran.returncode and "nowhere/train is missing" in ran.stdout, ran.stdout
        assert "Traceback" not in ran.stdout and ("-n" in targets or not planned(ran.stdout)), ran.stdout
    ran = snakemake(checkout.folder, "-n", "--jobs", "9", "all")
    assert not ran.returncode and "This does not matter if the nodes see that folder" in ran.stdout, ran.stdout


def test_a_folder_of_images_may_have_any_name_and_is_counted(checkout: Checkout, images: Path) -> None:
    checkout.configure(data=folder_of(images, name="mine"), sweep="hostile")
    ran = snakemake(checkout.folder, "plan")
    assert not ran.returncode and "An epoch trains on 6 images and validates on 6" in ran.stdout, ran.stdout
    sweep = Sweep.load(checkout.folder / "results/hostile/sweep.json")
    assert sweep.config["data"]["path"] == str(images)
    ran = snakemake(checkout.folder, str(sweep.data_folder / "data.json"))
    assert not ran.returncode and planned(ran.stdout) == {"data"}, ran.stdout
    record = checkout.folder / sweep.data_folder / "data.json"
    assert json.loads(record.read_text())["images"] == {"train": 6, "val": 6}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trials: 2\ntrials: 3\n", "config.yaml: the key 'trials' stands twice in one mapping, on lines"),
        ("recipe: {lr: 1, batch: 64, lr: 2}\n", "the key 'lr' stands twice"),
        ("schedules: {1x: 1, 1x: 2}\n", "the key '1x' stands twice"),
        ("define: {50: {depthwise: EN-tiny}}\n", "define: the key 50 is a number"),
        ("on: 1\n", "the key true is true or false to YAML"),
        ("define: {2020-01-01: {depthwise: EN-tiny}}\n", "is a date; a key is text"),
        ("results: a{x}b\n", "results is 'a{x}b'"),
        (
            "grid: {bases: [EN-tny], strategies: [w]}\n",
            "config.yaml: grid.bases: unknown base 'EN-tny': did you mean EN-tiny",
        ),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(checkout: Checkout, text: str, words: str) -> None:
    kept = {key: value for key, value in SMALL.items() if key != text.partition(":")[0]}
    if "trials" in text:
        kept = {key: value for key, value in kept.items() if key != "trials"}
    configure(checkout, yaml.safe_dump(kept) + text)
    ran = snakemake(checkout.folder, "-n", "all")
    assert ran.returncode and words in ran.stdout and "Traceback" not in ran.stdout, ran.stdout


def test_anchors_and_merges_are_no_repeats(checkout: Checkout) -> None:
    configure(checkout, yaml.safe_dump({**SMALL, "figures": {}}) + MERGED)
    ran = snakemake(checkout.folder, "-n", "fig1", "fig2")
    assert ran.returncode and "the key 'figures' stands twice" in ran.stdout, "the test's own slip is seen too"
    configure(checkout, yaml.safe_dump({key: value for key, value in SMALL.items() if key != "figures"}) + MERGED)
    ran = snakemake(checkout.folder, "-n", "fig1", "fig2")
    assert not ran.returncode and {"fig1", "fig2"} <= planned(ran.stdout), ran.stdout


MERGED = """
figures:
  fig1: &one {bases: [EN-tiny], strategies: [w]}
  fig2: {<<: *one, strategies: [dWr]}
"""


def test_the_command_line_is_checked_as_the_file_is(checkout: Checkout) -> None:
    checkout.configure()
    for given, words in {
        "recipe={lr: 1, lr: 2}": "--config recipe: the key 'lr' stands twice",
        "recipe={lr: fast}": "recipe.lr is 'fast'; allowed is a number",
        "trials=0": "trials is 0",
        "sweep=2024": "text that YAML takes for something else stands in quotes",
    }.items():
        ran = snakemake(checkout.folder, "-n", "all", "--config", given)
        assert ran.returncode and words in ran.stdout and "Traceback" not in ran.stdout, ran.stdout
    given = ["recipe={lr: 1e-1, batch: 50, flip: false}", "data={train_images: 100, val_images: 50}", "trials=1"]
    ran = snakemake(checkout.folder, "describe", "--forcerun", "describe", "--config", *given)
    assert not ran.returncode, ran.stdout
    made = json.loads((checkout.folder / "results/small/sweep.json").read_text())
    assert (made["recipe"], made["data"]["train_images"], made["trials"]) == (
        {"batch": 50, "lr": 0.1, "flip": False},
        100,
        1,
    )


def test_an_artefact_that_the_sweep_lacks_says_why(checkout: Checkout) -> None:
    checkout.configure()
    for target, words in {
        "fig7": "the sweep 'small' does not say what fig7 shows; add it under figures",
        "table5": "add it under tables",
        "searches": "the sweep 'small' has none",
    }.items():
        ran = snakemake(checkout.folder, "-n", target)
        assert ran.returncode and words in ran.stdout and "Traceback" not in ran.stdout, ran.stdout


def test_nothing_is_imported_from_the_folder_of_the_workflow(checkout: Checkout) -> None:
    """A file there may be named like any module, of Python itself too. What needs no data does not miss any."""
    checkout.configure(data=folder_of("nowhere"), sweep="hostile")
    names = {name for name in sys.stdlib_module_names if not name.startswith("_")}
    names |= {"click", "fastscale", "matplotlib", "numpy", "pydantic", "sympy", "tabulate", "torch", "yaml"}
    hostile = [checkout.folder / f"{name}.py" for name in names]
    try:
        for path in hostile:
            path.write_text(f"raise SystemExit('imported {path.stem} from the current folder')\n")
        ran = subprocess.run(
            [SCRIPT, "complexity", "plan"], cwd=checkout.folder, env=os.environ, capture_output=True, text=True
        )
    finally:
        for path in hostile:
            path.unlink()
    assert ran.returncode == 0 and "from the current folder" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr
    assert "(ImageNet's, as 'nowhere' is not on this machine)" in ran.stdout, ran.stdout

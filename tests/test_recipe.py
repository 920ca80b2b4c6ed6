"""Recipes of before: what is older than a setting of today was trained without it, and is not trained anew for it."""

import json
from pathlib import Path

import pytest
import yaml
from made_up import write_records

from fastscale.analysis import aggregate
from fastscale.errors import UserError
from fastscale.recipe import LATER, Recipe
from fastscale.records.records import write_record
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def test_a_recipe_of_before_keeps_its_hash() -> None:
    """By which its checkpoints are found; both are of f14075b, which knew no other settings, and no 1 for a 1.0."""
    was = "11e685233e5ae3cccd8bc6566b92040f9ec43f759e948075631ebf1ade32d84c"
    assert Recipe(augment="imagenet").hash == was
    short = Recipe(epochs=2, batch=64, lr=4.0, augment=None, crop_scale=(0.75, 1.0)).for_family("RegNetY")
    assert short.hash == "c929afdd02aace59ec2252d4cc83bf1c7c6c71496d5a7c52b632d39779c0436d"
    changed = [Recipe(augment="imagenet", **{key: value}) for key, value in zip(LATER, (True, 8192, 0.1), strict=True)]
    assert len({was, Recipe().hash, *[recipe.hash for recipe in changed]}) == 5


@pytest.mark.parametrize("changes", [{}, {"nesterov": True}, {"precise_bn": 8192}, {"lighting": 0.1}])
def test_records_of_before_are_those_of_a_recipe_without(
    changes: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = write_records(Sweep.from_config({**CONFIG, "recipe": {**CONFIG["recipe"], **changes}}))
    for path in sweep.folder.glob("train/**/*.json"):
        record = json.loads(path.read_text())
        recipe = {key: value for key, value in record["recipe"].items() if key not in LATER}
        write_record(path, {**record, "recipe": recipe})
    if not changes:
        aggregate(sweep, "fig6")
        assert sweep.artefacts["fig6"][0].exists()
        return
    ((key, value),) = changes.items()
    difference = f"{key} is {LATER[key]} in the record and {value} in the sweep"
    with pytest.raises(UserError, match=f"another recipe than the sweep's .{difference}"):
        aggregate(sweep, "fig6")


@pytest.mark.parametrize("name", ["imagenet", "fashion"])
def test_the_papers_sweeps_have_the_authors_policy(name: str) -> None:
    config = yaml.safe_load((ROOT / f"workflow/sweeps/{name}.yaml").read_text())
    assert Recipe.from_dict(config["recipe"]).augment == config["recipe"]["augment"] == Recipe().augment == "v0"


@pytest.mark.parametrize(
    ("images", "batch", "steps", "batches"),
    [
        (8192, 1024, 1251, 8),
        (8192, 512, 2502, 16),
        (8192, 64, 31, 31),
        (100, 64, 31, 1),
        (10, 64, 31, 1),
        (0, 64, 31, 0),
    ],
)
def test_precise_statistics_are_of_whole_batches(images: int, batch: int, steps: int, batches: int) -> None:
    """At least one, and an epoch at most."""
    assert Recipe(batch=batch, precise_bn=images, norm_batch=None).precise_batches(steps) == batches

"""A sweep's configuration: what it expands to, and what a mistake in it is told."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastscale.errors import UserError
from fastscale.sweep import Sweep

CONFIG = yaml.safe_load((Path(__file__).parent.parent / "config.yaml").read_text())


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, key = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[key] = value
    return config


def test_the_default_sweep_is_what_is_promised() -> None:
    sweep = Sweep.from_config(CONFIG)
    bases = {point.base for point in sweep.points}
    assert len(bases) >= 3
    for base in bases:
        points = [point for point in sweep.points if point.base == base]
        assert {"d", "w", "dwr", "dWr"} <= {point.strategy for point in points}
        assert max(point.scale for point in points) == 16
    assert {"networks", "table1", "table2", "table3", "table4", "fig1", "fig2", "fig6"} <= set(sweep.artefacts)


def test_equal_networks_are_one() -> None:
    """Every strategy at scale 1 is the base, and alpha=1 is w: the same points, the same networks."""
    grid = {"bases": ["EN-tiny"], "strategies": ["w", "alpha=1", "d"], "scales": [1, 4]}
    sweep = Sweep.from_config(changed("grid", grid) | {"figures": {}})
    assert [(point.strategy, point.scale) for point in sweep.points] == [("base", 1), ("w", 4), ("d", 4)]
    paths = [path for name in sweep.artefacts for path in sweep.records(name)]
    assert len({path.name.lower() for path in paths if path.parent.name == "networks"}) == 3


def test_a_thousand_networks_have_names_that_any_disk_tells_apart() -> None:
    scales = [1 + 0.07 * step for step in range(120)]
    bases = ["EN-B0", "RegNetY-500MF", "RegNetZ-500MF"]
    sweep = Sweep.from_config(changed("grid", {"bases": bases, "strategies": ["dwr", "dWr", "w"], "scales": scales}))
    assert len(sweep.networks) > 800
    assert len({name.lower() for name in sweep.networks}) == len(sweep.networks)


def test_the_description_says_it_all() -> None:
    sweep = Sweep.from_config(CONFIG)
    again = Sweep.from_config(json.loads(json.dumps(sweep.config)))
    assert again.config == sweep.config and again.points == sweep.points


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("trails", 3, "unknown key 'trails' at the top level; did you mean 'trials'?"),
        ("grid.scale", [1], "unknown key 'scale' at grid; did you mean 'scales'?"),
        ("trials", 0, "trials is 0"),
        ("grid.bases", ["EN-tny"], "did you mean EN-tiny?"),
        ("grid.strategies", ["q"], "unknown strategy 'q'"),
        ("grid.strategies", ["alpha=1.5"], "must lie in [0, 1]"),
        ("grid.scales", [0.001], "below the smallest that quantises"),
        ("grid.scales", [], "grid.scales is []"),
        ("figures.fig99", {}, "unknown key 'fig99' at figures"),
        ("schedule", "9x", "schedule is '9x'"),
        ("data.kind", "cifar", "data.kind is 'cifar'"),
        ("data.kind", "imagefolder", "data.path is missing"),
        ("recipe.learning_rate", 1, "learning_rate"),
        ("recipe.batch", -1, "batch"),
        ("define", {"Mine": {"family": "VGG"}}, "allowed are RegNetY"),
    ],
)
def test_mistakes_are_sentences(path: str, value: Any, told: str) -> None:
    with pytest.raises(UserError) as error:
        Sweep.from_config(changed(path, value))
    assert told in str(error.value) and "\n" not in str(error.value)

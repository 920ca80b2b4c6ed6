"""A sweep's configuration: its expansion, and the messages for mistakes."""

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastscale.errors import UserError
from fastscale.networks import base_network, grown
from fastscale.networks.complexity import count
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())
IMAGENET = ROOT / "workflow/sweeps/imagenet.yaml"
PUBLISHED = ROOT / "fastscale/analysis/results/published.yaml"


def changed(path: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(CONFIG)
    *parents, key = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[key] = value
    return config


def test_the_default_sweep_is_what_is_promised() -> None:
    """It has three bases by at least four strategies up to scale 16, and every table and figure of the paper."""
    sweep = Sweep.from_config(CONFIG)
    for base in ("EN-tiny", "RegNetY-tiny", "RegNetZ-tiny"):
        points = [point for point in sweep.points if point.base == base]
        assert {"d", "w", "dwr", "dWr"} <= {point.strategy for point in points}
        assert max(point.scale for point in points) == 16
    assert {f"table{i}" for i in range(1, 9)} | {f"fig{i}" for i in range(1, 13)} <= set(sweep.artefacts)


def test_equal_networks_are_one() -> None:
    """Every strategy at scale 1 is the base, and alpha=1 is w: equal points are one point, with one network."""
    grid = {"bases": ["EN-tiny"], "strategies": ["w", "alpha=1", "d"], "scales": [1, 4]}
    sweep = Sweep.from_config({**CONFIG, "grid": grid, "figures": {}, "tables": {}, "define": {}, "search": {}})
    assert [(point.strategy, point.scale) for point in sweep.points] == [("base", 1), ("w", 4), ("d", 4)]
    assert len(sweep.networks) == len(sweep.trainings(sweep.everything)) == 3


def test_budgets_are_met_as_nearly_as_a_strategy_can() -> None:
    """Each strategy has the base and a network for each budget; of all scales none comes nearer to the budget."""
    asked = {"bases": ["EN-tiny"], "strategies": ["w", "dWr", "d"]}
    sweep = Sweep.from_config({**CONFIG, "grid": {**asked, "flops": ["0.4MF", 1.6e6]}, "figures": {}, "tables": {}})
    assert sweep.everything[0].budgets == (0.4e6, 1.6e6)
    for curve in sweep.everything[0].curves:
        base, *scaled = curve.points
        assert base.scale == 1 and len(scaled) == 2
        every = [grown(base.network, curve.strategy, s / 10) for s in range(10, 1000)]
        for point, budget in zip(scaled, (0.4e6, 1.6e6), strict=True):
            off = abs(count(point.network).flops - budget)
            assert off <= min(abs(count(network).flops - budget) for network in every)
            assert count(grown(base.network, curve.strategy, point.scale)) == count(point.network)
    flops = count(base_network("EN-tiny").with_classes(10)).flops
    near = Sweep.from_config({**CONFIG, "grid": {**asked, "flops": [flops, flops + 4]}, "figures": {}, "tables": {}})
    assert [len(curve.points) for curve in near.everything[0].curves] == [1, 1, 1], "both are the base"


def test_the_paper_trains_no_network_twice() -> None:
    """A network is trained once under all of its names: RegNetY-500MF->4GF is RegNetY-500MF dWr 8.25."""
    sweep = Sweep.from_config(yaml.safe_load(IMAGENET.read_text()))
    pairs = [(sweep.networks[network].hash, schedule) for network, schedule in sweep.trainings(sweep.everything)]
    assert len(pairs) == len(set(pairs)) > 130
    names = {point.network.hash: [] for point in sweep.points}
    for point in sweep.points:
        names[point.network.hash].append((point.base, point.strategy))
    assert sum(len(points) > 1 for points in names.values()) >= 6
    assert {"RegNetY-4GF-found", "RegNetZ-4GF-found", "RegNetY-4GF-found->16GF"} == set(sweep.needs.waiting("table7"))
    assert {len(candidates) for candidates in sweep.candidates.values()} == {32}
    published = yaml.safe_load(PUBLISHED.read_text())["complexity"]
    shown = {point.base for point in sweep.points if point.scale == 1}
    assert set(published) <= shown


def test_what_shows_no_error_is_not_trained() -> None:
    sweep = Sweep.from_config(yaml.safe_load(IMAGENET.read_text()))
    trained = {network for network, _ in sweep.trainings(sweep.everything)}
    timed = [point for point in sweep.points if point.network.id not in trained]
    assert timed and all(point.scale > 8 or point.strategy == "dw" for point in timed)
    assert not any("train/" in str(path) for path in sweep.records("fig2"))


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
    ("path", "value", "message"),
    [
        ("trails", 3, "unknown key 'trails' at the top level; did you mean 'trials'?"),
        ("figures.fig6.scale", [1], "unknown key 'scale' at figures.fig6; did you mean 'scales'?"),
        ("trials", 0, "trials is 0"),
        ("figures.fig6.bases", ["EN-tny"], "did you mean EN-tiny?"),
        ("figures.fig6.strategies", ["q"], "unknown strategy 'q'"),
        ("figures.fig6.strategies", ["alpha=1.5"], "must lie in [0, 1]"),
        ("figures.fig6", {"bases": ["EN-tiny"]}, "figures.fig6 has 'bases', which needs 'strategies' beside it"),
        ("grid", {"strategies": ["w"]}, "grid has 'strategies', which needs 'bases' beside it"),
        ("scales", [0.001], "below the smallest that quantises"),
        ("scales", [], "scales is []"),
        ("grid", {"networks": ["EN-tiny"], "flops": [1e6]}, "grid has 'flops', which needs 'bases' beside it"),
        ("figures.fig6.flops", ["4 apples"], "figures.fig6.flops.0 is '4 apples'; allowed is a number from 1 to"),
        ("figures.fig6.flops", "4MF", "write [4MF]"),
        ("figures.fig6.flops", ["4MF", 4e6], "and none stands twice"),
        ("figures.fig6.flops", [10], "figures.fig6: EN-tiny: flops 10: dwr gives this EfficientNet at least"),
        ("figures.fig6.flops", [1e17], "figures.fig6: EN-tiny: flops 1e+17: dwr gives this EfficientNet at most"),
        (
            "grid",
            {"bases": ["EN-tiny"], "strategies": ["w"], "flops": [1e6], "scales": [4]},
            "grid has both scales and flops; give one of them",
        ),
        ("figures.fig99", {}, "unknown key 'fig99' at figures"),
        ("figures.fig3", {}, "unknown key 'fig3' at figures"),
        ("tables.table5.schedules", ["8x"], "schedules is '8x'; allowed are those of schedules: 1x, 2x"),
        ("search.RegNetY-found.family", "ResNet", "search.RegNetY-found.family is 'ResNet'; allowed are RegNetY and"),
        ("search.RegNetY-found.flops", [2e6, 1e6], "flops is [2000000.0, 1000000.0]; allowed is a list of 2"),
        ("search.RegNetY-found.flops", [1, 2], "0 of 4 networks lie between 1 and 2 flops"),
        ("search.RegNetY-found.schedule", "8x", "search.RegNetY-found.schedule is '8x'"),
        ("search.RegNetY-found.space", {"width": 3}, "unknown key 'width' at search.RegNetY-found.space"),
        ("search.RegNetY-found.space", {"depth": 3}, "search.RegNetY-found.space.depth is 3"),
        ("search", {"a/b": {}}, "'a/b'"),
        ("schedule", "9x", "schedule is '9x'"),
        ("data.kind", "cifar", "data.kind is 'cifar'"),
        ("data.kind", "imagefolder", "data.path is missing"),
        ("recipe.learning_rate", 1, "learning_rate"),
        ("recipe.batch", -1, "batch"),
        ("recipe", {"batch": 200, "norm_batch": 128}, "batch 200 with norm_batch 128 cannot be cut into equal parts"),
        ("define.Mine", {"family": "VGG"}, "allowed are RegNetY"),
        ("define.Mine", {"depthwise": "Mine"}, "define: Mine -> Mine: a base cannot be derived from itself"),
    ],
)
def test_mistakes_are_sentences(path: str, value: Any, message: str) -> None:
    with pytest.raises(UserError) as error:
        Sweep.from_config(changed(path, value))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_full_size_bases_on_small_images_are_the_papers_at_another_resolution() -> None:
    config = yaml.safe_load((IMAGENET.parent / "fashion.yaml").read_text())
    sweep = Sweep.from_config(config)
    for name in config["define"]:
        ours, paper = sweep.bases.network(name), base_network(name.removesuffix("-48"))
        assert replace(ours, resolution=paper.resolution, classes=paper.classes) == paper
    assert {f"fig{n}" for n in range(4, 9)} <= set(sweep.artefacts) and len(sweep.networks) >= 36

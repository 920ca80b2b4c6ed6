"""Configurations in, a sweep or a sentence out: whatever a user writes, in YAML or on Snakemake's command line."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schema
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from junk import KEYS, VALUES, at, places

from fastscale.errors import UserError
from fastscale.networks import base_network, known_bases
from fastscale.recipe import Recipe
from fastscale.sweep.sweep import Sweep

ROOT = Path(__file__).parents[1]
BASES = yaml.safe_load((ROOT / "fastscale/networks/bases.yaml").read_text())

# Every key that a configuration may have.
WHOLE: dict[str, Any] = {
    "sweep": "whole",
    "results": "results",
    "define": {
        "Y": {"family": "RegNetY", "depth": 3, "w0": 8, "wa": 8.0, "wm": 1.7, "group_width": 8, "resolution": 16},
        "E": {**BASES["EN-tiny"]},
        "R": {"family": "ResNet", "depths": [1, 1], "widths": [16, 32], "resolution": 16, "ratio": 0.5, "groups": 2},
        "M": {"multiply": "E", "width": 1.0, "depth": 1.5, "resolution": 28},
        "G": {"depthwise": "Y"},
        "S": {"scale": "F", "strategy": "dWr", "factor": 4},
    },
    "search": {
        "F": {
            "family": "RegNetY",
            "flops": [0.05e6, 0.5e6],
            "networks": 1,
            "schedule": "1x",
            "seed": 1,
            "space": {
                "depth": [2, 6],
                "w0": [8, 16],
                "wa": [4, 24],
                "wm": [2, 3],
                "group_width": [4, 8],
                "resolution": [12, 28, 4],
                "stages": [1, 3],
                "stem_width": 8,
                "head_width": 0,
            },
        }
    },
    "scales": [1, 4],
    "grid": [{"bases": ["Y", "E"], "strategies": ["w", "alpha=0.6"], "scales": [1, 2], "schedules": ["1x"]}],
    "figures": {
        "fig6": {"bases": ["E"], "strategies": ["dWr"]},
        "fig7": [{"bases": ["Y"], "strategies": ["dWr"], "flops": [1e6]}],
        "fig8": [{"networks": ["R", "F"], "curve": "mine"}],
    },
    "tables": {"table7": [{"networks": ["M", "S"], "label": "scaled", "schedules": ["1x", "2x"]}]},
    "schedules": {"1x": 1, "2x": 2},
    "schedule": "2x",
    "trials": 2,
    "train": True,
    "data": {
        "kind": "imagefolder",
        "name": "mine",
        "classes": 10,
        "path": "images",
        "train_images": 100,
        "val_images": 50,
        "max_resolution": 28,
        "write_mode": "raw",
        "jpeg_quality": 90,
    },
    "recipe": Recipe(batch=128).to_dict() | {"weight_decay": 1e-5, "warmup_epochs": 1.0},
    "profile": {
        "images": 1000,
        "repeats": 10,
        "formats": ["channels_last"],
        "modes": ["eager"],
        "convolutions": ["plain"],
        "largest_batch": 64,
        "devices": 8,
    },
    "gpus": 0,
    "gpu_hour_price": 2.0,
    "train_threads": 1,
}
del WHOLE["recipe"]["epochs"]
PLACES = list(places(WHOLE))


def changed(place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    config = copy.deepcopy(WHOLE)
    at(config, place[:-1])[place[-1]] = value
    return config


def told(config: Any) -> str:
    """The sentence that refuses a configuration."""
    with pytest.raises(UserError) as error:
        Sweep.from_config(config, "my.yaml")
    sentence = str(error.value)
    assert sentence.isprintable() and sentence.startswith("my.yaml: ")
    return sentence


def test_every_key_is_known() -> None:
    assert Sweep.from_config(WHOLE).config["recipe"]["batch"] == 128


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), value=VALUES, key=st.none() | KEYS)
def test_whatever_stands_at_a_key_is_a_sweep_or_a_sentence(place: tuple[Any, ...], value: Any, key: Any) -> None:
    """In the place of each value of each key, or beside it; what is taken says of itself what it was taken for."""
    beside = key is not None and isinstance(at(WHOLE, place[:-1]), dict)
    config = changed((*place[:-1], key) if beside else place, value)
    try:
        sweep = Sweep.from_config(config)
    except UserError as error:
        assert str(error).isprintable()
    else:
        again = Sweep.from_config(json.loads(json.dumps(sweep.config)))
        assert json.dumps(again.config) == json.dumps(sweep.config) and again.points == sweep.points


@given(VALUES)
def test_whatever_a_configuration_is(value: Any) -> None:
    with pytest.raises(UserError):
        Sweep.from_config(value)


NUMBERS = [place for place in PLACES if type(at(WHOLE, place)) in (int, float)]


@pytest.mark.parametrize("place", NUMBERS, ids=lambda place: ".".join(map(str, place)))
def test_a_number_is_one_however_it_is_written(place: tuple[Any, ...]) -> None:
    """4, "4" and "4e0" give the same sweep, to the last hash: YAML takes 1e9 for text, `--config` takes all.

    4.0 does, too, where a number need not be whole; where it must be, 4.0 is no integer.
    """
    number, config = at(WHOLE, place), Sweep.from_config(WHOLE).config
    numbers = {int(number) if number == int(number) else number, str(number), f"{number:.17e}"}
    if type(at(config, place)) is int and type(number) is int:
        with pytest.raises(UserError, match=re.escape(f" is {float(number)}; allowed is a whole number")):
            Sweep.from_config(changed(place, float(number)))
    else:
        numbers.add(float(number))
    for same in numbers:
        assert json.dumps(Sweep.from_config(changed(place, same)).config) == json.dumps(config), f"{same!r}"


def test_a_recipe_has_one_hash_however_it_is_written() -> None:
    hashes = {Recipe.from_dict({"lr": lr, "crop_scale": [0.5, one]}).hash for lr in (4, 4.0, "4") for one in (1, 1.0)}
    assert len(hashes) == 1


def test_flops_have_units() -> None:
    plain = Sweep.from_config(WHOLE).candidates["F"]
    for flops in (["50kF", "0.5MF"], ["50e3", "500 KFlops"], [5e4, "0.0005GF"]):
        assert Sweep.from_config(changed(("search", "F", "flops"), flops)).candidates["F"] == plain
    assert "16GX" in (sentence := told(changed(("search", "F", "flops"), ["1GF", "16GX"]))) and "16GF" in sentence


def test_text_of_the_command_line_is_what_it_stands_for() -> None:
    """Snakemake reads `--config data='{train_images: null}' recipe='{flip: false}'` as text alone."""
    config = changed(("data", "train_images"), "null")
    config["recipe"] |= {"flip": "false", "augment": "null", "lr": "1e-5", "batch": "64", "norm_batch": "64"}
    config["train"] = "true"
    sweep = Sweep.from_config(config)
    assert sweep.config["data"]["train_images"] is None and sweep.config["train"] is True
    recipe = Recipe.from_dict(sweep.recipe("1x"))
    assert (recipe.flip, recipe.augment, recipe.lr, recipe.batch) == (False, None, 1e-5, 64)


@pytest.mark.parametrize("name", BASES)
def test_a_base_of_ones_own_says_what_a_built_in_one_says(name: str) -> None:
    """Each line of bases.yaml, copied into `define` under another name: the same network."""
    config = {**WHOLE, "define": {**WHOLE["define"], "Copy": BASES[name]}, "grid": {"networks": ["Copy"]}}
    network = Sweep.from_config(config).bases.network("Copy")
    assert network == base_network(name).with_classes(10)


def test_the_schema_for_editors_is_that_of_the_forms() -> None:
    assert schema.PATH.read_text() == schema.text(), "if this is meant: python tests/schema.py"


@pytest.mark.parametrize("path", ["config.yaml", *sorted((ROOT / "workflow/sweeps").glob("*.yaml"))], ids=str)
def test_an_editor_takes_what_a_sweep_takes(path: Path) -> None:
    config = yaml.safe_load((ROOT / path).read_text())
    editor = jsonschema.Draft202012Validator(json.loads(schema.PATH.read_text()))
    assert editor.is_valid(config) and editor.is_valid(WHOLE)
    for place in (
        ("trails",),
        ("schedules", "a/b"),
        ("define", "Y", "wdith"),
        ("grid", 0, "base"),
        ("figures", "fig3"),
    ):
        assert not editor.is_valid(changed(place, 3))
    assert not editor.is_valid(changed(("search", "F", "flops"), [0, "1GF"]))


def test_where_an_unknown_name_stands_and_which_are_close() -> None:
    config = copy.deepcopy(WHOLE)
    del config["define"]["E"]
    assert "grid.bases: unknown base 'E'" in told(config)
    assert "figures.fig6.bases: unknown base 'E'" in told({**config, "grid": []})
    config["figures"]["fig6"]["bases"] = ["M"]
    assert "figures.fig6.bases: define.M: unknown base 'E'" in told({**config, "grid": []})
    config["grid"].append(config["grid"][0])
    assert "grid.0.bases: unknown base 'E'" in told(config)
    for name, close in {"efficientnet_b0": "EN-B0", "resnext50": "ResNeXt50", "RegNety-500mf": "RegNetY-500MF"}.items():
        sentence = told(changed(("grid", 0, "bases"), [name]))
        assert f"unknown base {name!r}: did you mean {close}?" in sentence and "define" in sentence
        assert sum(known in sentence for known in known_bases()) <= 5


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("define", 50), {}, "the key 50 is a number"),
        (("figures", 6), {}, "the key 6 is a number"),
        (("schedules", True), 1, "the key true is true or false to YAML, which reads on"),
        (("define", None), {}, "the key null is empty"),
        (("figures", "fig13"), {}, "unknown key 'fig13' at figures; did you mean 'fig1'? allowed are fig1, fig2, fig4"),
        (("figures", "fig6"), [], "figures.fig6 is []; allowed is a list of 1 or more"),
        (("sweep",), 2024, "sweep is 2024; allowed is text of letters"),
        (("sweep",), "a\n", r"sweep is 'a\n'"),
        (("results",), "{x}", "results is '{x}'"),
        (("results",), "-x", "results is '-x'"),
        (("schedules", "a/b"), 1, "schedules: the name 'a/b' cannot be"),
        (("schedules", "{x}"), 1, "schedules: the name '{x}' cannot be"),
        (("schedules", "1X"), 1, "schedules: '1x' and '1X' differ in case alone"),
        (("define", "a{x}"), {}, "define: the name 'a{x}' cannot be"),
        (("define", "a/b"), {}, "define: the name 'a/b' cannot be"),
        (("define", "$_$"), {}, "define: the name '$_$' cannot be"),
        (("tables", "table7", 0, "label"), "a|b", "tables.table7.0.label is 'a|b'"),
        (
            ("define", "EN-B0"),
            {"depthwise": "EN-B0"},
            "define: 'EN-B0' stands in fastscale/networks/bases",
        ),
        (("define", "F"), {"depthwise": "EN-B0"}, "define: 'F' stands under search too"),
        (("search", "EN-B0"), WHOLE["search"]["F"], "search.EN-B0: a base of that name is built in"),
        (("define", "Y", "group_width"), 0, "define.Y.group_width is 0; allowed is a whole number from 1"),
        (("define", "Y", "depth"), "three", "define.Y.depth is 'three'"),
        (("define", "Y", "resolution"), -16, "define.Y.resolution is -16"),
        (("define", "Y", "w0"), 12, "define.Y: a RegNet of depth=3, w0=12"),
        (
            ("define", "E", "kernels"),
            [3, 4],
            "define.E.kernels.1 is 4; allowed is a whole number from 1",
        ),
        (("define", "E", "kernels"), [3], "define.E: EfficientNet: one value per stage is needed"),
        (("define", "R", "groups"), 3, "define.R: ResNet: 0.5 of the width"),
        (("define", "S", "strategy"), "q", "define.S.strategy: unknown strategy 'q'"),
        (("define", "S", "factor"), 1e9, "define.S.factor is 1000000000.0"),
        (("define", "M", "family"), "RegNetY", "unknown key 'family' at define.M"),
        (("define", "X"), {}, "define.X has no family (RegNetY, RegNetZ, EfficientNet, ResNet), nor a base"),
        (("define", "X"), 3, "define.X is 3"),
        (("define", "Y", "resolution"), 999_999, "acts are more than any device holds"),
        (("scales",), [1, 1e9], "scales.1 is 1000000000.0; allowed is a number from 1e-06 to 1,000,000"),
        (("scales",), [1, 1.0], "none stands twice"),
        (("trials",), 10**9, "trials is 1000000000; allowed is a whole number from 1 to 1,000"),
        (("trials",), "three", "trials is 'three'; allowed is a whole number"),
        (("grid", 0, "bases"), "E", "grid.0.bases is 'E'; allowed is a list of 1 or more: each entry is text"),
        (("grid", 0, "networks"), ["E"], "grid.0 has both bases and networks"),
        (("grid", 0), {"schedules": ["1x"]}, "grid.0 has neither bases nor networks"),
        (("grid", 0), {"networks": ["E"], "scales": [4]}, "grid.0 has 'scales', which needs 'bases' beside it"),
        (("grid", 0, "strategies"), ["q"], "grid.strategies: unknown strategy 'q'"),
        (("grid", 0, "scales"), [1e-5], "grid: Y: scale 1e-05 by w is below the smallest"),
        (("recipe", "epochs"), 5, "recipe.epochs: a sweep's epochs are those of its schedules"),
        (("recipe", "lr"), 10**400, "recipe.lr is 1000"),
        (("recipe",), [], "recipe is []"),
        (("data",), None, "data is null; allowed is a mapping"),
        (("data",), {"knd": "imagefolder", "classes": 2}, "unknown key 'knd' at data; did you mean 'kind'?"),
        (("data",), {"classes": 2}, "data lacks the key 'kind'; its keys are kind, classes, path"),
        (("grid",), {"bases": ["E"], "strategies": []}, "grid.strategies is []; allowed is a list of 1 or more"),
        (("recipe", "crop_scale"), [0.5], "recipe.crop_scale is [0.5]; allowed is a list of 2"),
        (("recipe", "norm_batch"), 1, "recipe.norm_batch is 1; allowed is a whole number from 2 or null"),
        (("data", "kind"), "fashion-mnist", "data.path is given, but fashion-mnist has none"),
        (("data", "path"), "a\0", "characters that no file can hold"),
    ],
)
def test_mistakes_are_sentences(place: tuple[Any, ...], value: Any, words: str) -> None:
    assert words in told(changed(place, value))


@pytest.mark.parametrize("length", [1, 2, 5, 500])
def test_no_base_is_derived_from_itself(length: int) -> None:
    own = {f"X{i}": {"depthwise": f"X{(i + 1) % length}"} for i in range(length)}
    assert "a base cannot" in told({**WHOLE, "define": {**WHOLE["define"], **own}})


@pytest.mark.parametrize("asked", [{}, {"grid": []}, {"figures": {}, "tables": {}}])
def test_a_sweep_that_asks_for_nothing_says_so(asked: dict[str, Any]) -> None:
    sentence = told({"sweep": "nothing", "data": WHOLE["data"], **asked})
    assert "nothing is asked for; add grid, figures, tables or search" in sentence


def test_anchors_that_multiply_or_name_themselves_are_refused() -> None:
    itself: list[Any] = []
    itself.append(itself)
    assert "more than 20 lists within one another" in told(changed(("scales",), itself))
    many: Any = [1] * 10
    for _ in range(9):
        many = [many] * 10
    assert "more than 100,000 values" in told(changed(("scales",), many))

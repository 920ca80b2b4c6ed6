"""Scaling and counting, compared with the authors' code, and properties of any scaled network."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscale.cli.main import main
from fastscale.errors import UserError
from fastscale.models.build import build
from fastscale.networks import Network, base_network, is_consistent, known_bases
from fastscale.networks.complexity import Complexity, count
from fastscale.networks.scaling import NAMED, compound, parse_strategy, round_group_width, scale

AUTHORS = Path(__file__).with_name("authors.csv")
OWN = yaml.safe_load(AUTHORS.with_suffix(".yaml").read_text())["bases"]
ROWS = list(csv.DictReader(AUTHORS.open()))


def network_of(row: dict[str, str]) -> Network:
    base = base_network(row["base"], OWN)
    return scale(base, parse_strategy(row["strategy"]), float(row["scale"])) if row["strategy"] else base


def authors_count(row: dict[str, str]) -> Complexity:
    return Complexity(*(int(row[key]) for key in Complexity._fields))


@pytest.mark.parametrize("base", dict.fromkeys(row["base"] for row in ROWS))
def test_each_network_costs_what_the_authors_code_says(base: str) -> None:
    """flops, params and acts are equal (authors.yaml says how the authors' counts were made)."""
    rows = [row for row in ROWS if row["base"] == base]
    ours = {(row["strategy"], row["scale"]): count(network_of(row)) for row in rows}
    assert ours == {(row["strategy"], row["scale"]): authors_count(row) for row in rows}


def test_the_authors_networks_are_of_all_bases_and_strategies() -> None:
    assert len(ROWS) > 1000
    assert {row["strategy"] for row in ROWS} >= {*NAMED} - {"orig"}
    assert {row["base"] for row in ROWS} == {*known_bases(), *OWN} - {"EN-B6", "EN-B7"}  # the authors' zoo lacks these


def roundings(network: Network) -> set[float]:
    """Return the differences of a network's squeeze-excitation widths from a quarter of the width, but 0."""
    widths = [*network.stage_inputs(), *network.widths]
    return {network.se_width(width) - width * network.se_ratio for width in widths if network.se_ratio} - {0.0}


def test_what_is_built_has_the_parameters_that_the_authors_count() -> None:
    """Of each block kind and each rounding of a squeezed width, the network with the fewest blocks is built.

    So is one network per block kind with rounded group widths.
    """
    kinds: dict[object, list[dict[str, str]]] = {}
    for row in ROWS:
        network = network_of(row)
        for rounded in roundings(network):
            kinds.setdefault((network.block, rounded), []).append(row)
        if network.group_widths[0] == 4 and row["scale"] == "2":
            kinds.setdefault(network.block, []).append(row)
    assert {("inverted", off) for off in (-0.5, -0.25, 0.25, 0.5)} <= {*kinds} and ("mbconv", -0.5) in kinds
    for rows in kinds.values():
        row = min(rows, key=lambda row: sum(network_of(row).depths))
        with torch.device("meta"):
            model = build(network_of(row))
        assert sum(parameter.numel() for parameter in model.parameters()) == authors_count(row).params, row


def test_the_command_line_gives_the_authors_numbers() -> None:
    """Every 25th network is compared, and RegNetY-500MF by dWr 2, whose group widths of 5.28 become 4.

    That network has 1.047 GF and 9.60 M params.
    """
    scaled = [row for row in ROWS if row["strategy"] and row["base"] in known_bases()]
    by_point = {(row["base"], row["strategy"], row["scale"]): row for row in scaled}
    rounded = by_point["RegNetY-500MF", "dWr", "2"]
    assert authors_count(rounded)[:2] == (1047175162, 9600538)
    for row in [rounded, *scaled[::25]]:
        command = ["scale", row["base"], "--strategy", row["strategy"], "--scale", row["scale"], "--json"]
        ran = CliRunner().invoke(main, command)
        shown = json.loads(ran.output)
        assert Complexity(*(shown[key] for key in Complexity._fields)) == authors_count(row), row


@pytest.mark.parametrize(
    ("wide", "rounded"), [(0.2, 1), (2.4, 2), (2.6, 4), (5.28, 4), (5.6, 8), (84.45, 80), (84.6, 88)]
)
def test_group_widths_are_whole_before_they_are_rounded_further(wide: float, rounded: int) -> None:
    assert round_group_width(wide) == rounded


@given(st.floats(0.01, 2000), st.floats(0.01, 2000))
def test_group_widths_never_fall_where_they_grow(first: float, second: float) -> None:
    low, high = map(round_group_width, sorted((first, second)))
    assert low <= high and round_group_width(low) == low and (low in (1, 2, 4) or low % 8 == 0)


regnets = st.fixed_dictionaries(
    {
        "family": st.sampled_from(["RegNetY", "RegNetZ"]),
        "depth": st.integers(1, 30),
        "w0": st.integers(1, 32).map(lambda eighths: 8 * eighths),
        "wa": st.floats(0, 256),
        "wm": st.floats(1.05, 3.2),
        "group_width": st.integers(1, 128),
        "resolution": st.integers(8, 320),
        "stem_width": st.integers(3, 64),
        "head_width": st.sampled_from([0, 10, 1000]),
    }
)
strategies = st.sampled_from(list(NAMED.values())) | st.fractions(0, 1, max_denominator=20).map(compound)
scales = st.floats(-3, 3).map(lambda decades: 10**decades).filter(lambda s: s != 1)


@given(regnets, strategies, scales)
@settings(deadline=None)
def test_a_scaled_regnet_is_quantised_by_the_rule(definition, strategy, s: float) -> None:
    base = base_network("Mine", {"Mine": definition})
    try:
        grown = scale(base, strategy, s)
    except UserError as error:
        assert s < 1 and "use a scale above" in str(error)
        return
    d, w, r, g = strategy.multipliers(s)
    is_depthwise = set(base.group_widths) == {1}
    assert is_consistent(grown) and grown.resolution % 4 == 0
    assert abs(grown.resolution - base.resolution * r) <= 2 or grown.resolution == 4
    assert (grown.stem, grown.head_width, len(grown.stages)) == (base.stem, base.head_width, len(base.stages))
    for was, stage in zip(base.stages, grown.stages, strict=True):
        off = stage.depth - was.depth * d
        assert stage.depth == 1 or (-1e-9 <= off < 1 if strategy.name == "orig" else abs(off) <= 0.5)
        width = 8 * max(1, round(was.width * w / 8)) * stage.ratio  # inner width, before it is rounded to groups
        assert stage.group_width == (1 if is_depthwise else min(round_group_width(was.group_width * g), width))
        inner, step = stage.width * stage.ratio, math.lcm(stage.group_width, int(stage.ratio))
        assert inner % step == 0 and (abs(inner - width) <= step / 2 or inner == step)
        assert grown.se_width(stage.width) - stage.width / 4 in (-0.5, -0.25, 0, 0.25, 0.5)


@given(
    st.sampled_from([0.1, 0.25, 0.3, 1 / 3, 0.7, 0.75, 0.9, 1, 1.5, 2, 2.2, 2.5, 3]),
    st.sampled_from([1, 2, 8]),
    st.lists(st.integers(1, 60).map(lambda eighths: 8 * eighths), min_size=1, max_size=4),
    strategies,
    scales,
)
@settings(deadline=None)
def test_a_scaled_resnet_of_any_ratio_can_be_built(ratio: float, groups: int, widths: list[int], strategy, s) -> None:
    """The width is adjusted so that the inner width is a whole number of groups, also for a fractional ratio."""
    shape = {"depths": [1] * len(widths), "widths": widths, "ratio": ratio, "groups": groups, "resolution": 64}
    try:
        base = base_network("Mine", {"Mine": {"family": "ResNet", **shape}})
        grown = scale(base, strategy, s)
    except UserError as error:
        assert "cannot be divided into" in str(error) or "use a scale above" in str(error)
        return
    assert is_consistent(grown)


@given(regnets, strategies.filter(lambda strategy: strategy.name != "g-only"))
@settings(deadline=None, max_examples=30)
def test_eight_times_the_scale_is_more_flops_whatever_rounding_does(definition, strategy) -> None:
    base = base_network("Mine", {"Mine": definition})
    flops = [count(scale(base, strategy, s)).flops for s in (2, 16, 128)]
    assert flops == sorted(set(flops))

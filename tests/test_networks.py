"""Networks, scaling and complexity: the published numbers, torch's own counts, and what holds for any network."""

import csv
import json
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from importlib.resources import files

import golden
import pytest
import torch
import yaml
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fastscale
from fastscale.cli.main import main
from fastscale.cost.budget import scale_to_flops
from fastscale.errors import UserError
from fastscale.models.build import build
from fastscale.networks import Network, base_network, is_consistent, known_bases
from fastscale.networks.complexity import count, count_layers
from fastscale.networks.scaling import NAMED, compound, parse_strategy, scale

PUBLISHED = yaml.safe_load(files("fastscale.analysis.results").joinpath("published.yaml").read_text())
STRATEGIES = [*NAMED, "alpha=0.6"]


@pytest.mark.parametrize("row", PUBLISHED["complexity"])
def test_flops_params_and_acts_are_the_published_ones(row: str) -> None:
    flops, params, acts = count(base_network(row))
    ours = {"flops": round(flops / 1e9, 1), "params": round(params / 1e6, 1), "acts": round(acts / 1e6, 1)}
    assert ours == {key: PUBLISHED["complexity"][row][key] for key in ours}


def test_counts_are_the_golden_ones() -> None:
    """The golden counts were right when they were written: the tests above and below compare with others' counts."""
    golden_rows = list(csv.reader(golden.PATH.open()))
    assert len(golden_rows) > 200
    assert golden_rows == [golden.HEADER, *golden.rows()], "if this is meant: python tests/golden.py"


# One base of each kind by one strategy, and a small base of each family by all strategies, as torch takes a second to
# count a large network. For all other combinations test_scaling.py compares counts with those of the authors' code.
KINDS = ["RegNetY-500MF", "RegNetY-4GF", "RegNetY-G1-500MF", "RegNetZ-500MF", "RegNetZ-4GF", "RegNetZ-G1-500MF"]
KINDS += ["EN-B0", "EN-B3", "ResNet50", "ResNeXt50", "RegNetZ-500MF->4GF"]
COUNTED = [(base, STRATEGIES[i % len(STRATEGIES)]) for i, base in enumerate(KINDS)]
COUNTED += [(base, strategy) for base in ("RegNetY-tiny", "RegNetZ-tiny", "EN-tiny") for strategy in STRATEGIES]


@pytest.mark.parametrize(("base", "strategy"), dict.fromkeys(COUNTED))
def test_counts_are_those_of_the_torch_module(base: str, strategy: str) -> None:
    """torch's flop counter leaves out the additions of biases, one per output of a layer with a bias."""
    network = scale(base_network(base), parse_strategy(strategy), 1.25)
    outputs, biased = [], []
    with torch.device("meta"), torch.no_grad():
        model = build(network).eval()
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.MaxPool2d):
                module.register_forward_hook(lambda module, _, output: outputs.append((module, output.numel())))
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, network.resolution, network.resolution))
    biased = [size for module, size in outputs if getattr(module, "bias", None) is not None]
    flops, params, acts = count(network)
    assert flops == counter.get_total_flops() // 2 + sum(biased)
    assert params == sum(parameter.numel() for parameter in model.parameters())
    assert acts == sum(size for _, size in outputs)
    assert count_layers(network) == sum(not isinstance(module, nn.MaxPool2d) for module, _ in outputs)


def test_logits_on_real_tensors() -> None:
    for base in ("RegNetY-tiny", "RegNetZ-tiny", "EN-tiny"):
        network = base_network(base).with_classes(10)
        logits = build(network)(torch.randn(2, 3, network.resolution, network.resolution))
        assert logits.shape == (2, 10) and logits.isfinite().all()


alphas = st.fractions(0, 1, max_denominator=20)
named = st.sampled_from([name for name in NAMED if name not in ("orig", "w-only", "g-only")])
strategies = named.map(NAMED.get) | alphas.map(compound)


@given(strategies)
def test_every_strategy_spends_all_flops(strategy) -> None:
    """f = d w^2 r^2 grows by s: the exponents add up to 1 (equations 2 and 5)."""
    assert strategy.e_d + strategy.e_w + strategy.e_r == 1


@given(st.sampled_from(list(known_bases())), strategies, st.floats(1, 64))
@settings(deadline=None)
def test_what_scaling_gives_can_be_built(base: str, strategy, s: float) -> None:
    network = base_network(base)
    grown = scale(network, strategy, s)
    assert is_consistent(grown)
    assert grown.resolution % 4 == 0 or grown.resolution == network.resolution
    assert len(grown.stages) == len(network.stages)
    assert all(g == 1 for stage, g in zip(network.stages, grown.group_widths, strict=True) if stage.group_width == 1)
    assert Network.from_dict(json.loads(json.dumps(grown.to_dict()))) == grown


@given(st.sampled_from([name for name in known_bases() if "tiny" not in name]), strategies)
@settings(deadline=None)
def test_realised_flops_follow_the_scale(base: str, strategy) -> None:
    """Flops follow the scale up to rounding, and always grow where the scale is four times as large."""
    network = base_network(base)
    flops = [count(scale(network, strategy, s)).flops for s in (1, 4, 16, 64)]
    assert flops == sorted(set(flops))
    assert 0.5 < flops[-1] / flops[0] / 64 < 1.6


@pytest.mark.parametrize("base", [name for name in known_bases() if name.startswith("RegNet") and "tiny" not in name])
def test_group_widths_grow_with_the_width_unless_told_otherwise(base: str) -> None:
    """Table 3, on the group convs of a whole network: w, w-only, g-only."""
    network = base_network(base)
    if set(network.group_widths) == {1}:  # a depthwise network stays depthwise, so that w is w-only
        assert scale(network, NAMED["w"], 4) == scale(network, NAMED["w-only"], 4)
        return
    both, w_only, g_only = (scale(network, NAMED[name], 4) for name in ("w", "w-only", "g-only"))
    first = network.group_widths[0]
    assert both.group_widths[0] == 2 * first and w_only.group_widths[0] == first
    assert g_only.group_widths[0] == min(4 * first, network.inner_width(network.stages[0], 0))
    # a width changes by a third at most, so that the group width divides it (section 3.5)
    assert all(abs(w / was - 1) <= 1 / 3 for w, was in zip(g_only.widths, network.widths, strict=True))
    assert count(w_only).flops < count(both).flops and count(w_only).acts == pytest.approx(count(both).acts, rel=0.15)


@given(st.sampled_from([name for name in known_bases() if "tiny" not in name]), strategies, st.floats(8, 11))
@example("EN-B0->4GF", NAMED["r"], 8.0625)
@settings(deadline=None, max_examples=25)
def test_scale_for_flops_is_the_nearest_step(base: str, strategy, decades: float) -> None:
    network, target = base_network(base), 10**decades
    try:
        s = scale_to_flops(network, strategy, target)
    except UserError as error:
        assert "smallest that quantises" in str(error) or "gives this" in str(error)
        return
    off = abs(count(scale(network, strategy, s)).flops - target)
    for factor in (0.5, 0.7, 0.9, 0.98, 1.02, 1.1, 1.4, 2):
        with suppress(UserError):  # a network would vanish
            assert off <= abs(count(scale(network, strategy, s * factor)).flops - target)
    # Where `r` makes a large base small, a step of its resolution is larger.
    assert off < 0.35 * target or (strategy.e_r == 1 and network.resolution * s**0.5 < 100)


@pytest.mark.parametrize("row", [name for name in PUBLISHED["complexity"] if "->" in name])
def test_flops_on_the_command_line_come_as_near_as_the_paper_s(row: str) -> None:
    base, regime = row.split("->")
    target = float(regime.replace("GF", "e9"))
    ran = CliRunner().invoke(main, ["scale", base, "--flops", str(target), "--json"])
    shown = json.loads(ran.output)
    assert shown["flops"] == count(scale(base_network(base), NAMED["dWr"], shown["scale"])).flops
    assert abs(shown["flops"] - target) <= abs(count(base_network(row)).flops - target)


def test_flops_out_of_reach_are_a_sentence() -> None:
    for strategy, flops in {"g-only": 1e12, "w": -1}.items():
        ran = CliRunner().invoke(main, ["scale", "RegNetY-500MF", "--strategy", strategy, "--flops", str(flops)])
        assert ran.exit_code == 1 and ran.output.startswith(f"Error: flops {flops:g}")
    both = CliRunner().invoke(main, ["scale", "EN-B0", "--scale", "2", "--flops", "1e9"])
    assert both.exit_code == 1 and "are both given" in both.output


def test_one_call_gives_a_module_for_ones_own_training() -> None:
    model = fastscale.create_model("RegNetZ-tiny", "dWr", scale=4, classes=7)
    assert isinstance(model, nn.Module)
    assert model(torch.randn(2, 3, model.resolution, model.resolution)).shape == (2, 7)


def test_named_members_of_the_family_are_the_strategies() -> None:
    for alpha, name in {"0": "dr", "1/3": "dwr", "0.8": "dWr", "1": "w"}.items():
        assert parse_strategy(f"alpha={alpha}") is NAMED[name]
    assert parse_strategy("alpha=0.6").e_w == Fraction(3, 5)


def test_scale_one_is_the_base_by_every_strategy() -> None:
    base = base_network("EN-B0")
    assert {scale(base, parse_strategy(name), 1) for name in STRATEGIES} == {base}


def test_original_scaling_leads_from_b0_to_b1() -> None:
    """EfficientNet's rule gives about the next network of its authors: the same depths, a resolution within 8 %."""
    b0, b1 = base_network("EN-B0"), base_network("EN-B1")
    grown = scale(b0, NAMED["orig"], 2)
    assert grown.depths == b1.depths
    assert abs(grown.resolution / b1.resolution - 1) < 0.1


@pytest.mark.parametrize(
    ("base", "strategy", "s", "message"),
    [
        ("EN-B9", "w", 2, "unknown base 'EN-B9': did you mean EN-B"),
        ("EN-B0", "dW", 2, "unknown strategy 'dW': allowed are d, w, r"),
        ("EN-B0", "alpha=1.2", 2, "must lie in [0, 1]"),
        ("EN-B0", "alpha=x", 2, "a number or a fraction"),
        ("EN-B0", "d", 0.1, "even depth 4 of this EfficientNet would round to 0; use a scale above 0.125"),
        ("EN-B0", "w", 5e-6, "even width 1280 of this EfficientNet would round to 0"),
        ("EN-B0", "r", 1e-5, "even resolution 224 of this EfficientNet would round to 0"),
        *(("EN-B0", "w", s, "positive finite") for s in (0, -1, float("inf"), float("nan"), 1e300, 10**400, 1e-9)),
    ],
)
def test_mistakes_are_sentences(base: str, strategy: str, s: float, message: str) -> None:
    with pytest.raises(UserError) as error:
        scale(base_network(base), parse_strategy(strategy), s)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("base", ["EN-B0", "RegNetZ-tiny"])
def test_the_smallest_scale_that_is_named_is_the_smallest(base: str, strategy: str) -> None:
    network, parsed = base_network(base), parse_strategy(strategy)
    try:
        assert is_consistent(scale(network, parsed, 1e-6))
    except UserError as error:
        smallest = float(str(error).rsplit(" ", 1)[1])
        assert is_consistent(scale(network, parsed, smallest * 1.01))
        with pytest.raises(UserError):
            scale(network, parsed, smallest * 0.99)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_few_flops_lead_to_a_small_scale_or_to_what_there_is(strategy: str) -> None:
    """A target is met down to the smallest network of a strategy; below it the message names the flops in reach."""
    network, parsed = base_network("EN-tiny"), parse_strategy(strategy)
    for target in (5e4, 4e4, 3e4, 2e4, 1e4, 1e3):
        try:
            s = scale_to_flops(network, parsed, target)
            assert count(scale(network, parsed, s)).flops < 2 * target
        except UserError as error:
            assert f"flops {target:g}: {strategy} gives this EfficientNet at least" in str(error)


def test_a_base_of_ones_own() -> None:
    mine = {"family": "RegNetZ", "depth": 4, "w0": 8, "wa": 8, "wm": 2, "group_width": 8, "resolution": 32}
    assert base_network("Mine", {"Mine": mine}).depths
    for change, message in {"wdith": "unknown key 'wdith'", "family": "allowed are RegNetY"}.items():
        with pytest.raises(UserError, match=message):
            base_network("Mine", {"Mine": {**mine, change: 3}})


def test_scale_on_the_command_line() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "fastscale.cli.main", "scale", "RegNetY-500MF"]
    ran = subprocess.run([*command, "--scale", "8.25", "--json"], capture_output=True, text=True, check=True)
    shown = json.loads(ran.stdout)
    assert shown["flops"] == count(scale(base_network("RegNetY-500MF"), NAMED["dWr"], 8.25)).flops
    assert shown["group_widths"] == [8, 8, 8, 8] and shown["resolution"] == 248
    assert " torch" not in ran.stderr and " numpy" not in ran.stderr

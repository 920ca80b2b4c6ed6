"""A training step: our networks beside timm's and pycls' of the same design, each in its fastest way to be executed.

python benchmarks/step.py [--network EN-B0] [--device cuda] [--batch 128] [--rounds 15]
"""

import gc
import statistics
from collections.abc import Callable
from typing import Any

import click
import timm
import torch
from compare import OURS, row, turns, write
from torch import nn

from fastscale.execution import FORMATS, Execution, Mode, combinations, fastest
from fastscale.models.build import build
from fastscale.models.placement import WARM_UP_CALLS
from fastscale.networks import Network, base_network
from fastscale.networks.complexity import count
from fastscale.profiling import peaks
from fastscale.profiling.autotune import CHOICE_REPEATS, autotune, time_executions
from fastscale.profiling.steps import time_steps, training_step
from fastscale.runtime.devices import choose_device
from fastscale.runtime.host_memory import keep_freed_memory

try:
    from pycls.models.anynet import AnyNet
    from pycls.models.effnet import EffNet
except ImportError:  # it runs on few stacks
    AnyNet = EffNet = None

TIMM: dict[str, dict[str, Any]] = {
    "RegNetY-4GF-224": {"model_name": "regnety_040"},
    "RegNetZ-4GF": {"model_name": "regnetz_040_h", "num_features": 1000},  # its own head is wider than the paper's
    "EN-B0": {"model_name": "efficientnet_b0"},
    "EN-B4": {"model_name": "efficientnet_b4"},
    "ResNet50": {"model_name": "resnet50"},
}
BATCHES = {"EN-B4": 64}  # on a GPU, which has to hold the graphs of all sides; 128 of the others
SMALL = ("EN-B0", "ResNet50")  # enough for a CPU
MODES_OF_PEERS: tuple[Mode, ...] = ("eager", "compiled")  # for which timm has options


@click.command()
@click.option(
    "--network", "names", type=click.Choice(list(TIMM)), multiple=True, help="A table of its own; else of all on a GPU."
)
@click.option("--device", "device_name", default=None)
@click.option("--batch", default=None, type=int, help="By default 128 (EN-B4: 64) on a GPU, 2 on a CPU.")
@click.option("--rounds", default=15)
@click.option("--threads", default=1)
def main(names: tuple[str, ...], device_name: str | None, batch: int | None, rounds: int, threads: int) -> None:
    """Find each side's fastest way, let them take turns, and write the table with the crossings of each."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    device = choose_device(device_name)
    on_gpu = device.type == "cuda"
    table = "-".join(["step" if on_gpu else "step-cpu", *names])
    names = names or (tuple(TIMM) if on_gpu else SMALL)
    reached = peaks.measure(device)
    where = (
        f"{torch.cuda.get_device_name(device) if on_gpu else 'cpu'}, "
        f"{reached['flops_per_second'] / 1e12:.3g} Tflop/s, {reached['bytes_per_second'] / 1e9:.4g} GB/s, measured"
    )
    rows, told, ratios = [], [], {}
    for name in names:
        network, images = base_network(name), batch or (BATCHES.get(name, 128) if on_gpu else 2)
        found = turns({who: best(who, name, make, images, device, told) for who, make in makers(name).items()}, rounds)
        rows += row(
            f"{name}, {network.resolution} px, batch {images}", found, unit=steps_of_a_turn(device) * images / 1e3
        )
        for peer in found.keys() - {OURS}:
            ratio = statistics.median(a / b for a, b in zip(found[peer], found[OURS], strict=True))
            ratios.setdefault(peer, []).append(ratio)
        seconds = {who: statistics.median(times) / steps_of_a_turn(device) / images for who, times in found.items()}
        crossing = count(network).acts * reached["bytes_per_value"] / reached["bytes_per_second"]
        crossed = ", ".join(f"{who} {s / crossing:.1f}" for who, s in seconds.items())
        told.append(f"{name}: crossings {crossed}; {seconds[OURS] * 1281167 / 60:.1f} minutes an epoch of ImageNet.")
        means = [f"{statistics.geometric_mean(r):.2f} ({who}, n = {len(r)})" for who, r in sorted(ratios.items())]
        title = (
            f"Milliseconds of a training step for an image, {reached['precision']}, {threads} thread(s): "
            f"each side in its fastest way.\n\nGeometric means of the ratios: {', '.join(means)}. Device: {where}.\n\n"
        )
        lines = "\n".join(f"- {line}" for line in told)
        write(
            table, f"{title}{lines}", rows, ["timm", "pycls"] if AnyNet else ["timm"]
        )  # after each: a GPU may be lent
        torch.compiler.reset()
        gc.collect()


def steps_of_a_turn(device: torch.device) -> int:
    """Several on a GPU, which computes one while the next is launched."""
    return 10 if device.type == "cuda" else 1


def makers(name: str) -> dict[str, Callable[[Network], nn.Module]]:
    """Who makes this network, and how; that it is the same one, the parameters tell."""
    network = base_network(name)
    made: dict[str, Callable[[Network], nn.Module]] = {OURS: build, "timm": lambda _: timm.create_model(**TIMM[name])}
    if AnyNet and network.block in ("bottleneck", "mbconv"):  # pycls has no inverted block with groups
        made["pycls"] = pycls_model
    for who, make in made.items():
        params = sum(p.numel() for p in make(network).parameters())
        assert params == count(network).params, (who, name, params, count(network).params)
    return made


def pycls_model(network: Network) -> nn.Module:
    """The network in the terms of pycls."""
    stages, stem = network.stages, network.stem
    common = {
        "stem_w": stem.width,
        "ds": network.depths,
        "ws": network.widths,
        "ss": [stage.stride for stage in stages],
        "se_r": network.se_ratio or None,
        "nc": network.classes,
    }
    ratios = [stage.ratio for stage in stages]
    if network.block == "mbconv":
        return EffNet(**common, exp_rs=ratios, ks=[stage.kernel for stage in stages], head_w=network.head_width)
    stem_type = "res_stem_in" if stem.pool else "simple_stem_in"
    groups = network.group_widths
    return AnyNet(**common, stem_type=stem_type, block_type="res_bottleneck_block", bms=ratios, gws=groups)


def best(
    who: str, name: str, make: Callable[[Network], nn.Module], batch: int, device: torch.device, told: list[str]
) -> Callable[[], object]:
    """A step of one side, in the fastest of its ways; which these are, is told.

    Ours are those that a long training tries. A peer has both formats, eager and, on a GPU, compiled.
    """
    network, modes = base_network(name), MODES_OF_PEERS if device.type == "cuda" else MODES_OF_PEERS[:1]
    tried = autotune(10**9, network, batch, device, graphs=True) if who == OURS else []
    tried = tried or time_executions(network, batch, device, combinations(FORMATS, modes), CHOICE_REPEATS, make)
    step = training_step(network, batch, device, fastest(tried), make=make)
    time_steps(step, WARM_UP_CALLS, device)
    told.append(f"{name}, {who}: {'; '.join(map(_way, tried))}")
    return lambda: time_steps(step, steps_of_a_turn(device), device)


def _way(one: dict) -> str:
    return f"{Execution.from_record(one)}: " + (
        one["gap"] if "gap" in one else f"{1e3 * one['step_seconds']['median']:.4g} ms"
    )


if __name__ == "__main__":
    main()

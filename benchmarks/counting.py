"""Counting flops, parameters and activations of 100 networks: ours beside fvcore, which runs them as torch modules.

python benchmarks/counting.py [--rounds 2]
"""

import logging
import time
import warnings

import click
import torch
from compare import OURS, row, turns, write
from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis, parameter_count

from fastscale.models.build import build
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.sweep.sweep import Sweep

HUNDRED = {
    "sweep": "hundred",
    "data": {"kind": "fashion-mnist", "classes": 10},
    "grid": {
        "bases": ["EN-B0", "RegNetY-500MF", "RegNetZ-500MF", "ResNet50"],
        "strategies": ["w", "dw", "dwr", "dWr"],
        "scales": [1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4],
    },
}
COUNTED = ("conv", "linear", "addmm")


def by_fvcore(network: Network, model: torch.nn.Module) -> tuple[int, int, int]:
    """What fvcore counts: multiply-adds of convolutions and matrix products, parameters, outputs of convolutions."""
    image = torch.zeros(1, 3, network.resolution, network.resolution)
    flops, acts = FlopCountAnalysis(model, image), ActivationCountAnalysis(model, image)
    for analysis in (flops, acts):
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator = flops.by_operator()
    return sum(by_operator[name] for name in COUNTED), parameter_count(model)[""], acts.total()


@click.command()
@click.option("--rounds", default=2, help="Each takes fvcore minutes.")
def main(rounds: int) -> None:
    """Count each way, check that they agree, and write the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    networks = list(Sweep.from_config(HUNDRED).networks.values())[:100]
    assert len(networks) == 100
    began = time.perf_counter()
    models = [build(network).eval() for network in networks]
    building = time.perf_counter() - began
    for network, model in zip(networks[::10], models[::10], strict=True):
        ours, theirs = count(network), by_fvcore(network, model)
        assert ours.params == theirs[1], network.id
        assert abs(ours.flops / theirs[0] - 1) < 1e-3, network.id  # fvcore leaves biases out

    found = turns(
        {
            OURS: lambda: [count(network) for network in networks],
            "fvcore": lambda: [by_fvcore(*pair) for pair in zip(networks, models, strict=True)],
        },
        rounds,
        warm_up=0,
    )
    title = (
        f"Seconds to count flops, parameters and activations of {len(networks)} networks. fvcore needs them as torch "
        f"modules, which takes {building:.0f} s more."
    )
    write("counting", title, row("100 networks", found), ["fvcore"])


if __name__ == "__main__":
    main()

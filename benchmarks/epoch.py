"""An epoch of training (load, augment, step) of networks of the default sweep on a CPU: ours beside torchvision's.

python benchmarks/epoch.py [--cores 1] [--rounds 5] [--images 2000] [--alone] [--device cuda]

Alone, and on a GPU: just what AutoAugment adds to ours.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import torch
import yaml
from compare import OURS, row, turns, write
from reference import Reference
from tqdm import tqdm

from fastscale.data import Dataset
from fastscale.data.beton import write_betons
from fastscale.data.sources import open_source
from fastscale.devices import choose_device
from fastscale.memory import keep_freed_memory
from fastscale.networks import Network
from fastscale.recipe import Recipe
from fastscale.sweep import Sweep
from fastscale.training import Training

ROOT = Path(__file__).parents[1]
CHOSEN = [
    ("EN-tiny", "base", 1),
    ("EN-tiny", "dwr", 16),
    ("RegNetY-tiny", "base", 1),
    ("RegNetY-tiny", "dWr", 16),
    ("RegNetZ-tiny", "base", 1),
    ("RegNetZ-tiny", "dWr", 16),
]


@click.command()
@click.option("--cores", default=1, help="For each, also its worker processes; the default sweep has 1 a training.")
@click.option("--rounds", default=5)
@click.option("--images", default=2000, help="Of an epoch.")
@click.option("--alone", is_flag=True, help="Without torchvision, whose epochs take most of the time.")
@click.option("--device", "device_name", default="cpu")
def main(cores: int, rounds: int, images: int, alone: bool, device_name: str) -> None:
    """Train, and write the tables epoch and augment."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    keep_freed_memory()
    device = choose_device(device_name)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["data"] |= {"train_images": images, "val_images": 100}
    sweep = Sweep.from_config(config)
    rows, augmented = [], []
    with tempfile.TemporaryDirectory() as name:
        dataset = write_betons(sweep.config["data"], Path(name), threads=cores)
        split = open_source(sweep.config["data"], downloads=Path(name)).train
        for base, strategy, scale in CHOSEN:
            point = next(p for p in sweep.points if (p.base, p.strategy, p.scale) == (base, strategy, scale))
            what = f"{base} {strategy} s = {scale}, {point.network.resolution} px"
            recipe = Recipe.from_dict(sweep.recipe("1x")).for_family(point.network.family)
            ours = {
                policy: our_epoch(point.network, dataset, recipe, policy, cores, device)
                for policy in (None, "imagenet")
            }
            if alone or device.type != "cpu":
                found = turns({OURS: ours[None], "with AutoAugment": ours["imagenet"]}, rounds)
                augmented += row(what, found)
                continue
            theirs = {
                policy: Reference(point.network, split, dataset.mean, dataset.std, recipe, cores, bool(policy)).epoch
                for policy in ours
            }
            found = turns(
                {OURS: ours[None], "with": ours["imagenet"], "theirs": theirs[None], "both": theirs["imagenet"]}, rounds
            )
            rows += row(what, {OURS: found[OURS], "torchvision": found["theirs"]})
            rows += row(f"{what}, AutoAugment", {OURS: found["with"], "torchvision": found["both"]})
            augmented += row(what, {OURS: found[OURS], "with AutoAugment": found["with"]})
    where = f"{cores} core(s)" if device.type == "cpu" else torch.cuda.get_device_name(device)
    title = f"Seconds for an epoch of {images} images of Fashion-MNIST on {where}, batch {recipe.batch}"
    if rows:
        write("epoch", f"{title}: load, augment, step.", rows, ["torchvision", "ffcv"])
    name = "augment" if device.type == "cpu" else "augment-cuda"
    write(name, f"{title}: what AutoAugment adds to ours.", augmented, ["torchvision", "ffcv"])


def our_epoch(
    network: Network, dataset: Dataset, recipe: Recipe, policy: str | None, threads: int, device: torch.device
) -> Callable[[], None]:
    """One epoch of a training of ours, without its validation."""
    training = Training(network, dataset, replace(recipe, augment=policy), 0, threads, device, [])

    def epoch() -> None:
        training.step = 0
        assert training._train_epoch(tqdm(disable=True), lambda: False)
        training.loss_sum.item()  # it is over

    return epoch


if __name__ == "__main__":
    main()

"""An epoch of training (load, augment, step) of networks of the default sweep on a CPU: ours beside torchvision's.

python benchmarks/epoch.py [--cores 1] [--rounds 5] [--images 2000] [--whole] [--alone] [--device cuda]

Alone, and on a GPU: just what AutoAugment adds to ours.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import torch
import yaml
from compare import OURS, row, turns, write
from reference import Reference
from tqdm import tqdm

from fastscale.data import Dataset, write_betons
from fastscale.data.images import open_source
from fastscale.networks import Network
from fastscale.recipe import Recipe
from fastscale.runtime.devices import choose_device
from fastscale.runtime.host_memory import keep_freed_memory
from fastscale.sweep.sweep import Sweep
from fastscale.training.trainer import Training

ROOT = Path(__file__).parents[1]
AUGMENTED = f"{OURS} with AutoAugment"
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
@click.option("--whole", is_flag=True, help="All networks of the sweep beside torchvision's, without AutoAugment.")
@click.option("--alone", is_flag=True, help="What AutoAugment adds, without torchvision, whose epochs take most time.")
@click.option("--device", "device_name", default="cpu")
def main(cores: int, rounds: int, images: int, whole: bool, alone: bool, device_name: str) -> None:
    """Train, and write the tables epoch and augment; or epoch-whole, or augment."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(cores)
    keep_freed_memory()
    device = choose_device(device_name)
    is_alone = alone or device.type != "cpu"
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["data"] |= {"train_images": images, "val_images": 100}
    sweep = Sweep.from_config(config)
    points = {point.network.id: point for point in reversed(sweep.points)}.values()
    if not whole:
        points = [point for point in points if (point.base, point.strategy, point.scale) in CHOSEN]
    rows, augmented = [], []
    with tempfile.TemporaryDirectory() as name:
        dataset = write_betons(sweep.config["data"], Path(name), threads=cores)
        split = open_source(sweep.config["data"], downloads=Path(name)).train
        for network, what in ((point.network, f"{point.base} {point.strategy} {point.scale:g}") for point in points):
            what += f", {network.resolution} px"
            recipe = Recipe.from_dict(sweep.recipe("1x")).for_family(network.family)
            contenders = {}
            for policy, who in ((None, ""), ("imagenet", " with AutoAugment"))[: 1 if whole else 2]:
                own = recipe.changed(augment=policy)
                contenders[f"{OURS}{who}"] = our_epoch(network, dataset, own, cores, device)
                if not is_alone:
                    theirs = Reference(network, split, dataset.mean, dataset.std, recipe, cores, bool(policy))
                    contenders[f"torchvision{who}"] = theirs.epoch
            found = turns(contenders, rounds)
            if not is_alone:
                rows += row(what, {who: found[who] for who in (OURS, "torchvision")})
            if not is_alone and not whole:
                both = {OURS: found[AUGMENTED], "torchvision": found["torchvision with AutoAugment"]}
                rows += row(f"{what}, AutoAugment", both)
            if not whole:
                augmented += row(what, {OURS: found[OURS], "with AutoAugment": found[AUGMENTED]})
    where = f"{cores} core(s)" if device.type == "cpu" else torch.cuda.get_device_name(device)
    title = f"Seconds for an epoch of {images} images of Fashion-MNIST on {where}, batch {recipe.batch}"
    packages = ["torchvision", "ffcv"]
    if rows:
        ratios = [row["ratio"] for row in rows if row["who"] != OURS]
        told = f"{title}: load, augment, step. Medians of {min(ratios):.2f} to {max(ratios):.2f} times ours."
        write("epoch-whole" if whole else "epoch", told, rows, packages)
    if augmented:
        name = "augment" if device.type == "cpu" else "augment-cuda"
        write(name, f"{title}: what AutoAugment adds to ours.", augmented, packages)


def our_epoch(
    network: Network, dataset: Dataset, recipe: Recipe, threads: int, device: torch.device
) -> Callable[[], None]:
    """One epoch of a training of ours, without its validation."""
    training = Training(network, dataset, recipe, 0, threads, device, [])

    def epoch() -> None:
        training.step = 0
        assert training.train_epoch(tqdm(disable=True), lambda: False)
        training.loss_sum.item()  # it is over

    return epoch


if __name__ == "__main__":
    main()

"""Loading photographs for training (decode, crop to 224, flip): ours beside torchvision's ImageFolder with workers.

    python benchmarks/loading.py [--cores 2] [--rounds 5] [--images 5000]

The photographs are parts of those that come with scikit-learn and scikit-image.
"""

import os
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch
from compare import OURS, row, turns, write
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from fastscale.data import write_betons
from fastscale.data.images import IMAGENET_MEAN, IMAGENET_STD
from fastscale.data.loaders import training_batches
from fastscale.data.normalise import Normalise
from fastscale.recipe import Recipe
from fastscale.runtime.host_memory import keep_freed_memory

SIDE, BATCH, CLASSES = 400, 64, 10


@click.command()
@click.option("--cores", default=2)
@click.option("--rounds", default=5)
@click.option("--images", default=5000)
def main(cores: int, rounds: int, images: int) -> None:
    """Load each way, and write the table."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = cut_up(folder, images)
        rows = []
        transform = v2.Compose(
            [
                v2.RandomResizedCrop(224, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )
        theirs = DataLoader(
            ImageFolder(folder / "train", transform),
            BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=cores,
            persistent_workers=True,
        )
        normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD, 224, torch.device("cpu"))
        for mode in ("jpg", "proportion", "raw"):
            config = {"kind": "imagefolder", "name": "photos", "path": str(folder), "classes": CLASSES}
            began = time.perf_counter()
            dataset = write_betons(config | {"write_mode": mode}, folder / mode, threads=cores)
            writing = time.perf_counter() - began
            print(f"written as {mode} in {writing:.0f} s", flush=True)
            recipe = Recipe(epochs=1, batch=BATCH, augment=None)
            epochs = iter(range(1000))

            def ours(dataset=dataset, recipe=recipe, epochs=epochs) -> None:
                for pictures, _, _ in training_batches(dataset, 224, recipe, cores, 0, next(epochs)):
                    normalise(pictures)

            found = turns({OURS: ours, "torchvision": lambda: [None for _ in theirs]}, rounds)
            rows += row(f"stored as {mode} ({writing:.0f} s to write)", found)
    title = (
        f"Seconds for an epoch of {images} photographs of {SIDE} px ({size / 1000:.0f} kB each) on {cores} cores: "
        "read, decode, random crop to 224, flip, normalise."
    )
    write("loading", title, rows, ["torchvision", "ffcv"])


def cut_up(folder: Path, images: int) -> float:
    """Write `images` JPEG files, squares of photographs, drawn at random; returns their mean size in bytes."""
    draw = np.random.default_rng(0)
    photos = [*load_sample_images().images, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    sources = [photo.resize((640, 640)) for photo in map(Image.fromarray, photos)]
    sizes = []
    for split, count in (("train", images), ("val", CLASSES)):
        for number in range(count):
            source = sources[number % len(sources)]
            side = int(draw.integers(SIDE, 641))
            left, top = (int(draw.integers(0, length - side + 1)) for length in source.size)
            part = source.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            path = folder / split / str(number % CLASSES) / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            part.save(path, quality=92)
            sizes.append(path.stat().st_size)
    return float(np.mean(sizes))


if __name__ == "__main__":
    main()

"""How long an epoch takes: as measured where it was, else by a stated model."""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fastscale.analysis.results.published import UNITS, numbers
from fastscale.cost.prediction import FEWEST, Costs, Prediction, Timing
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.recipe import Recipe
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

# How the time of an epoch is known, best first.
Basis = Literal["trained", "timed", "predicted", "paper", "unknown"]

# The paper's epoch times are of 8 V100 on ImageNet. A validation image takes a forward pass, a third of a step.
PAPER_GPUS, PAPER_IMAGES, VALIDATION = 8, 1_281_167, 1 / 3
START_MINUTES = 30  # to load torch and the data, and to compile
PAPER_SPLITS = {"train": PAPER_IMAGES, "val": 50_000}


class Images(NamedTuple):
    """Training and validation images of an epoch; `unseen` is the folder that ought to hold them and is not here."""

    train: int
    val: int
    unseen: str | None = None


class Clock:
    """Device-seconds of an epoch of training with its validation; `trained` has them of networks that were trained."""

    def __init__(self, sweep: Sweep, trained: Mapping[str, float]):
        self.is_cpu = not sweep.config["gpus"]
        self.images = images(sweep)
        self.steps = self.images.train + VALIDATION * self.images.val  # an epoch's, in training images
        timings = [
            record
            for path in map(sweep.profile_record, sorted({*sweep.sources.values()}))
            if path.exists()
            for record in read_record(path, "profiles")["records"]
            if (record["device"]["type"] == "cpu") == self.is_cpu
        ]
        self.devices = sorted({record["device"]["name"] for record in timings})
        self.trained = trained
        self.timed = {one["network"]: one["epoch_seconds"]["median"] / one["images"] * self.steps for one in timings}
        both = [trained[name] / seconds for name, seconds in self.timed.items() if name in trained]
        self.overhead = statistics.median(both) if both else 1.0  # the loader's, the average's ...
        known = {name: seconds * self.overhead for name, seconds in self.timed.items()} | dict(trained)
        recipe = Recipe.from_dict(sweep.config["recipe"])
        part = min(recipe.batch, recipe.norm_batch or recipe.batch)  # what a training computes at once
        batches = {one["network"]: one["batch"] for one in timings}
        self.prediction = Prediction.fit(
            [
                Timing(Costs.from_network(network), batches.get(name, part), known[name] / self.steps)
                for name, network in sweep.expansion.trained.items()
                if name in known
            ]
        )
        published = numbers()["complexity"].values()
        rates = [60 * PAPER_GPUS * row["time"] / PAPER_IMAGES / (row["acts"] * UNITS["acts"]) for row in published]
        self.paper = statistics.median(rates)  # V100-seconds for an image and an activation
        self.spread = max(max(rates) / self.paper, self.paper / min(rates))

    def epoch(self, network: Network) -> tuple[float | None, Basis]:
        """Device-seconds of an epoch, and how they are known; the paper's GPUs say nothing of a CPU."""
        if network.id in self.trained:
            return self.trained[network.id], "trained"
        if network.id in self.timed:
            return self.timed[network.id] * self.overhead, "timed"
        if self.prediction:
            return self.prediction.seconds(Costs.from_network(network)) * self.steps, "predicted"
        if self.is_cpu:
            return None, "unknown"
        return self.paper * self.steps * count(network).acts, "paper"

    def minutes(self, network: Network, epochs: int, gpus: int, longest: int) -> int:
        """The minutes to reserve for a training: twice what timings say and time to start; `longest` if they do not."""
        seconds, basis = self.epoch(network)
        if seconds is None or basis == "paper":
            return longest
        return min(longest, math.ceil(2 * epochs * seconds / max(1, gpus) / 60) + START_MINUTES)

    def words(self, networks: Mapping[Basis, int]) -> Iterator[str]:
        """How the times of so many networks are known."""
        if n := networks.get("trained"):
            yield f"{n} as they trained"
        if n := networks.get("timed"):
            ratio = f", times {self.overhead:.2f} (trained / timed, median)" if self.overhead != 1 else ""
            yield f"{n} as timed on {', '.join(self.devices)}{ratio}"
        if (n := networks.get("predicted")) and self.prediction:
            model = self.prediction.time
            yield (
                f"{n} by their flops, activations and layers, fitted on {len(model.errors)} known times (each of which "
                f"the others predict with an error of {100 * model.error:.0f} % in the mean)"
            )
        if n := networks.get("paper"):
            yield (
                f"{n} by the paper, as nothing is timed here: hours of one V100, {self.paper * 1e12:.0f} seconds for a "
                f"million images and a million activations (median of its 22 networks, each within a factor of "
                f"{self.spread:.1f})"
            )
        if n := networks.get("unknown"):
            yield f"{n} unknown, as too few are timed on this CPU: {FEWEST} networks, timed or trained, tell of others"


def images(sweep: Sweep) -> Images:
    """Count the images of an epoch: those that are packed, else those that lie where the configuration says.

    Where that folder is not seen from this machine, as from a login node, they are taken to be ImageNet's.

    Raises:
        UserError: a broken record, or data that are not as configured.
    """
    from fastscale.data.sources import count_images

    packed, data = sweep.data_folder / "data.json", sweep.config["data"]
    if packed.exists():
        return Images(**read_record(packed, "data")["images"])
    seen = "path" not in data or Path(data["path"]).exists()
    if seen and sweep.config["train"]:
        counted: dict[str, Any] = {**count_images(data)}
        return Images(**counted)
    asked: dict[str, Any] = {split: data[f"{split}_images"] or number for split, number in PAPER_SPLITS.items()}
    return Images(**asked, unseen=None if seen else data["path"])

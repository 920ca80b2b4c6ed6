"""Estimates of the time of an epoch: as measured where possible, else by a stated model."""

import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from fastscale.analysis.results.epoch import PAPER_IMAGES
from fastscale.analysis.results.published import UNITS, numbers
from fastscale.cost.prediction import FEWEST, Costs, Prediction, Timing
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.recipe import Recipe
from fastscale.records.records import read_record
from fastscale.sweep.sweep import Sweep

# The origin of an epoch time, best first.
Basis = Literal["trained", "timed", "predicted", "paper", "unknown"]

# The paper's epoch times were measured on 8 V100 GPUs with ImageNet. A validation image takes only a forward pass,
# about a third of the time of a training image.
PAPER_GPUS, VALIDATION = 8, 1 / 3
START_MINUTES = 30  # to load torch and the data, and to compile the network
PAPER_SPLITS = {"train": PAPER_IMAGES, "val": 50_000}


class Images(NamedTuple):
    """Numbers of images per epoch; `unseen` is the configured folder where this machine does not see it."""

    train: int
    val: int
    unseen: str | None = None


class EpochTimes:
    """Estimates of the device-seconds of an epoch, training and validation, for the networks of a sweep.

    `trained` are the measured device-seconds per epoch of networks that were trained, by id.
    """

    def __init__(self, sweep: Sweep, trained: Mapping[str, float]):
        self.is_cpu = not sweep.config["gpus"]
        self.images = images(sweep)
        # Training images that take as long as an epoch with its validation.
        self.epoch_images = self.images.train + VALIDATION * self.images.val
        timings = [
            record
            for path in map(sweep.profile_record, sorted({*sweep.sources.values()}))
            if path.exists()
            for record in read_record(path, "profiles")["records"]
            if (record["device"]["type"] == "cpu") == self.is_cpu
        ]
        self.devices = sorted({record["device"]["name"] for record in timings})
        self.trained = trained
        self.timed = {
            timing["network"]: timing["epoch_seconds"]["least"] / timing["images"] * self.epoch_images
            for timing in timings
        }
        # A training takes longer than its timed steps: it also loads images and averages weights, for example.
        ratios = [trained[name] / seconds for name, seconds in self.timed.items() if name in trained]
        self.overhead = statistics.median(ratios) if ratios else 1.0
        known = {name: seconds * self.overhead for name, seconds in self.timed.items()} | dict(trained)
        recipe = Recipe.from_dict(sweep.config["recipe"])
        part = min(recipe.batch, recipe.norm_batch or recipe.batch)  # images that a training computes at once
        batches = {timing["network"]: timing["batch"] for timing in timings}
        self.prediction = Prediction.fit(
            [
                Timing(Costs.from_network(network), batches.get(name, part), known[name] / self.epoch_images)
                for name, network in sweep.expansion.trained.items()
                if name in known
            ]
        )
        published = numbers()["complexity"].values()
        rates = [60 * PAPER_GPUS * row["time"] / PAPER_IMAGES / (row["acts"] * UNITS["acts"]) for row in published]
        self.paper = statistics.median(rates)  # V100-seconds per image and activation
        self.spread = max(max(rates) / self.paper, self.paper / min(rates))

    def estimate(self, network: Network) -> tuple[float | None, Basis]:
        """Estimate the device-seconds of an epoch; return them with their origin.

        The seconds are None for a CPU without timings: the paper's times are of GPUs.
        """
        if network.id in self.trained:
            return self.trained[network.id], "trained"
        if network.id in self.timed:
            return self.timed[network.id] * self.overhead, "timed"
        if self.prediction:
            return self.prediction.seconds(Costs.from_network(network)) * self.epoch_images, "predicted"
        if self.is_cpu:
            return None, "unknown"
        return self.paper * self.epoch_images * count(network).acts, "paper"

    def minutes(self, network: Network, epochs: int, gpus: int, longest: int) -> int:
        """Return the minutes to reserve for a training of `epochs` epochs on `gpus` GPUs, at most `longest`.

        They are twice the estimated time, plus the time to start; `longest` where nothing measured gives an estimate.
        """
        seconds, basis = self.estimate(network)
        if seconds is None or basis == "paper":
            return longest
        return min(longest, math.ceil(2 * epochs * seconds / max(1, gpus) / 60) + START_MINUTES)

    def explain(self, counts: Mapping[Basis, int]) -> Iterator[str]:
        """Yield a phrase on each origin of epoch times, with the number of networks that have it."""
        if n := counts.get("trained"):
            yield f"{n} as they trained"
        if n := counts.get("timed"):
            ratio = f", times {self.overhead:.2f} (trained / timed, median)" if self.overhead != 1 else ""
            yield f"{n} as timed on {', '.join(self.devices)}{ratio}"
        if (n := counts.get("predicted")) and self.prediction:
            fit = self.prediction.time
            yield (
                f"{n} by their flops, activations and layers, fitted on {len(fit.errors)} known times (each of which "
                f"the others predict with an error of {100 * fit.error:.0f} % in the mean)"
            )
        if n := counts.get("paper"):
            yield (
                f"{n} by the paper, as nothing is timed here: hours of one V100, {self.paper * 1e12:.0f} seconds for a "
                f"million images and a million activations (median of its 22 networks, each within a factor of "
                f"{self.spread:.1f})"
            )
        if n := counts.get("unknown"):
            yield (
                f"{n} unknown, as too few are timed on this CPU: a prediction needs {FEWEST} networks, timed or trained"
            )


def images(sweep: Sweep) -> Images:
    """Count the images of an epoch: the packed images, or else those in the folder that the configuration names.

    Where this machine does not see that folder, as on a login node, take the numbers that the configuration limits the
    images to, or else ImageNet's.

    Raises:
        UserError: a record is broken, or the images are not as configured.
    """
    from fastscale.data.sources import count_images

    packed, data = sweep.data_folder / "data.json", sweep.config["data"]
    if packed.exists():
        return Images(**read_record(packed, "data")["images"])
    is_seen = "path" not in data or Path(data["path"]).exists()
    if is_seen and sweep.config["train"]:
        counted: dict[str, Any] = {**count_images(data)}
        return Images(**counted)
    assumed: dict[str, Any] = {split: data[f"{split}_images"] or number for split, number in PAPER_SPLITS.items()}
    return Images(**assumed, unseen=None if is_seen else data["path"])

"""Which alpha and scale, for a base and a limit in flops, time or memory: the largest network of each alpha within it.

Of accuracy nothing is predicted: what is said of it is the paper's.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from tabulate import tabulate

from fastscale.analysis.results.reading import device_name
from fastscale.cost.budget import largest_within
from fastscale.cost.prediction import FEWEST, Costs, Prediction, Timing
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.scaling import LARGEST_SCALE, NAMED, parse_strategy, scale
from fastscale.records.records import read_record

# From uniform compound scaling (dwr) to width alone (w).
ALPHAS = tuple(map(Fraction, ("1/3", "1/2", "2/3", "4/5", "9/10", "1")))
RECOMMENDED = Fraction(4, 5)  # by the paper, where runtime counts (section 5)

# What a device is timed by: a base, and the base grown in each dimension and in all of them.
PROBE_STRATEGIES, PROBE_SCALES = ("d", "w", "r", "dWr"), (2, 4, 8)

Quantity = Literal["flops", "seconds", "memory"]
UNITS = {"flops": "flops", "seconds": "seconds an epoch", "memory": "bytes"}


def probes(base: Network) -> list[Network]:
    """A base and a dozen networks of it, that tell flops, activations and layers from one another when timed."""
    grown = [scale(base, parse_strategy(name), s) for name in PROBE_STRATEGIES for s in PROBE_SCALES]
    return list({network.hash: network for network in (base, *grown)}.values())


@dataclass(frozen=True)
class Device:
    """What timings say of a device: a prediction, for an epoch of `images` in steps of `batch` images."""

    name: str
    prediction: Prediction
    images: int
    batch: float
    flops: tuple[int, int]  # least and most of the timed networks

    @classmethod
    def read(cls, paths: Sequence[Path], batch: int | None = None) -> "Device":
        """By profiles records; `batch` is by default that of the timings (their median).

        Raises:
            UserError: a broken record, records of several devices, or of too few networks.
        """
        told = ", ".join(map(str, paths))
        records = [record for path in paths for record in read_record(path, "profiles")["records"]]
        try:
            return cls._of(records, told, batch)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{told}: no timings as this fastscale has them ({error!r}); time the networks again"
            ) from None

    @classmethod
    def _of(cls, records: Sequence[Mapping[str, Any]], told: str, batch: int | None) -> "Device":
        for what, found in (
            ("devices", {device_name(record) for record in records}),
            ("epochs of images", {record["images"] for record in records}),
        ):
            if len(found) > 1:
                raise UserError(f"{told}: {what} {' and '.join(sorted(map(str, found)))}; give profiles of one of them")
        if any("costs" not in record for record in records):
            raise UserError(f"{told}: timed by an older fastscale, without the networks' costs; time them again")
        timings = [Timing.from_record(Costs(**record["costs"]), record) for record in records]
        if (prediction := Prediction.fit(timings)) is None:
            raise UserError(f"{told}: {len(timings)} networks are timed; {FEWEST} or more tell of others, so time more")
        flops = sorted(timing.costs.flops for timing in timings)
        name, images = device_name(records[0]), records[0]["images"]
        return cls(name, prediction, images, batch or prediction.batch, (flops[0], flops[-1]))

    def seconds(self, costs: Costs) -> float:
        """Seconds of an epoch."""
        return self.prediction.seconds(costs, self.batch) * self.images

    def memory(self, costs: Costs) -> float | None:
        """Peak bytes of a step; None where no memory was measured."""
        memory = self.prediction.memory
        return memory.predict(costs.memory_terms(self.batch)) if memory else None


@dataclass(frozen=True)
class Choice:
    """The largest network of an alpha; `strategy` and `scale` make it of its base. None: not measured."""

    alpha: float
    strategy: str
    scale: float
    resolution: int
    flops: int
    params: int
    acts: int
    layers: int
    seconds: float | None
    memory: float | None


@dataclass(frozen=True)
class Advice:
    """The frontier within a limit: a choice for each alpha, but for those that do not reach it at any scale."""

    base: str
    quantity: Quantity
    limit: float
    device: Device | None
    choices: tuple[Choice, ...]
    left_out: tuple[str, ...] = ()  # strategies

    def to_dict(self) -> dict[str, Any]:
        """The advice for programs."""
        prediction = self.device and self.device.prediction
        return {
            "base": self.base,
            "limit": {self.quantity: self.limit},
            "device": self.device and self.device.name,
            "error": prediction and prediction.time.error,
            "frontier": list(map(asdict, self.choices)),
            "left_out": list(self.left_out),
            "recommended": asdict(self.recommended),
        }

    @property
    def recommended(self) -> Choice:
        """The paper's alpha."""
        return next(choice for choice in self.choices if choice.alpha == float(RECOMMENDED))

    def text(self) -> str:
        """The advice for people."""
        header = ["alpha", "strategy", "scale", "px", "flops", "params", "acts", "layers", "epoch (s)", "memory (GB)"]
        formats = [".3g", "", "g", "d", ".4g", ".4g", ".4g", "d", ".4g", ".3g"]
        lines = [[*asdict(choice).values()] for choice in self.choices]
        for line in lines:
            line[-1] = line[-1] and line[-1] / 1e9
        if self.device is None or self.device.prediction.memory is None:
            header, lines = header[:-1], [line[:-1] for line in lines]
        table = tabulate(lines, header, floatfmt=formats, intfmt=formats, missingval="—")
        title = f"{self.base} within {self.limit:.4g} {UNITS[self.quantity]}: the most flops of each alpha."
        return "\n\n".join([title, table, " ".join(self._conditions()), " ".join(self._recommendation())])

    def _conditions(self) -> Iterator[str]:
        """Where the times are from."""
        if self.device is None:
            yield (
                f"No time is known. To time this device: `fastscale probes {self.base} --record probes.json`, then "
                "`fastscale profile probes.json --record profiles.json`, then this with `--profiles profiles.json`."
            )
            return
        if self.left_out:
            yield (
                f"Left out: {', '.join(self.left_out)}, of which even scale {LARGEST_SCALE:,.0f} is predicted to be "
                "within the limit."
            )
        model, (least, most) = self.device.prediction.time, self.device.flops
        yield (
            f"Seconds are predicted, of an epoch of {self.device.images:,} images in steps of {self.device.batch:g} on "
            f"{self.device.name}, by {len(model.errors)} timed networks of {least:.3g} to {most:.3g} flops, each of "
            f"which the others predict with an error of {100 * model.error:.0f} % in the mean."
        )
        if (largest_here := max(choice.flops for choice in self.choices)) > 2 * most:
            yield f"The largest network here has {largest_here / most:.0f} times the flops of any that is timed."

    def _recommendation(self) -> Iterator[str]:
        """The paper's alpha, and which one is the fastest here, or the largest at equal cost."""
        mine = self.recommended
        yield (
            f"Recommended: `--strategy {mine.strategy} --scale {mine.scale:g}`, as the paper recommends alpha = 0.8 "
            "where runtime counts (section 5);"
        )
        if self.quantity != "flops":
            best = max(self.choices, key=lambda choice: choice.flops)
            gain = f"the most flops within the limit, {100 * (best.flops / mine.flops - 1):.1f} % more"
        elif self.device:
            best = min(self.choices, key=lambda choice: (choice.seconds or 0) / choice.flops)
            ratio = (best.seconds or 0) / best.flops / ((mine.seconds or 1) / mine.flops)
            gain = f"the least predicted time for its flops, {100 * (1 - ratio):.1f} % less"
        else:
            best = min(self.choices, key=lambda choice: choice.acts / choice.flops)
            ratio = best.acts / best.flops / (mine.acts / mine.flops)
            gain = f"the fewest activations for its flops, {100 * (1 - ratio):.1f} % less"
        if best is mine:
            yield f"no other alpha has {gain.partition(',')[0].removeprefix('the ')} here."
        else:
            yield f"{best.strategy} (alpha = {best.alpha:g}) has {gain}."
            if best.alpha == 1:
                yield "The paper found w less accurate on EfficientNet-B0 (section 6.3)."


def advise(name: str, base: Network, quantity: Quantity, limit: float, device: Device | None) -> Advice:
    """The largest network of each alpha that is within the limit, in flops, seconds of an epoch or bytes of memory.

    Raises:
        UserError: the base alone is beyond the limit, the paper's alpha does not reach it at any scale, or times or
            memory are asked for and not known.
    """
    if not (math.isfinite(limit) and limit > 0):
        raise UserError(f"--{quantity} {limit:g}: a limit must be a positive number")
    if quantity != "flops" and device is None:
        raise UserError(
            f"--{quantity} needs timings of this device: `fastscale probes {name} --record probes.json`, then "
            "`fastscale profile probes.json --record profiles.json`, then this with --profiles profiles.json"
        )
    if quantity == "memory" and device and device.prediction.memory is None:
        raise UserError(f"--memory: the profiles, of {device.name}, hold no peak memory; time the probes on a GPU")

    def cost(network: Network) -> float:
        costs = Costs.from_network(network)
        if device is None or quantity == "flops":
            return costs.flops
        return device.seconds(costs) if quantity == "seconds" else device.memory(costs) or 0

    if (least := cost(base)) > limit:
        raise UserError(
            f"{name} alone takes {least:.4g} {UNITS[quantity]}, more than the limit of {limit:.4g}; give a larger "
            "limit or a smaller base"
        )
    choices, left_out = [], []
    for alpha in ALPHAS:
        strategy = parse_strategy(f"alpha={alpha}")
        told = strategy.name if strategy.name in NAMED else f"alpha={alpha}"
        if (s := largest_within(base, strategy, cost, limit)) is None:
            if alpha == RECOMMENDED:
                raise UserError(
                    f"the limit of {limit:.4g} is beyond {told} at scale {LARGEST_SCALE:,.0f}; give a smaller one"
                )
            left_out.append(told)
            continue
        network = scale(base, strategy, s)
        costs = Costs.from_network(network)
        measured = (device.seconds(costs), device.memory(costs)) if device else (None, None)
        choices.append(Choice(float(alpha), told, s, network.resolution, *costs, *measured))
    return Advice(name, quantity, limit, device, tuple(choices), tuple(left_out))

"""Advice on alpha and scale: for a base, the largest network of each alpha within a limit in flops, time or memory.

Accuracy is not predicted: statements on accuracy are the paper's.
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

# From uniform compound scaling (1/3 is dwr) to width alone (1 is w).
ALPHAS = tuple(map(Fraction, ("1/3", "1/2", "2/3", "4/5", "9/10", "1")))
RECOMMENDED = Fraction(4, 5)  # by the paper, where runtime counts (section 5)

# Probes are a base, and the base scaled in each dimension and in all dimensions at once.
PROBE_STRATEGIES, PROBE_SCALES = ("d", "w", "r", "dWr"), (2, 4, 8)

Quantity = Literal["flops", "seconds", "memory"]
UNITS = {"flops": "flops", "seconds": "seconds per epoch", "memory": "bytes"}


def probes(base: Network) -> list[Network]:
    """List networks to time on a device: a base and up to twelve scaled ones, whose flops and acts grow differently."""
    scaled = [scale(base, parse_strategy(name), s) for name in PROBE_STRATEGIES for s in PROBE_SCALES]
    return list({network.hash: network for network in (base, *scaled)}.values())


@dataclass(frozen=True)
class Device:
    """A timed device: the prediction fitted on its timings, for an epoch of `images` in steps of `batch` images."""

    name: str
    prediction: Prediction
    images: int
    batch: float
    flops: tuple[int, int]  # the least and the most flops among the timed networks

    @classmethod
    def read(cls, paths: Sequence[Path], batch: int | None = None) -> "Device":
        """Read a device from profiles records; `batch` None is the median batch of the timings.

        Raises:
            UserError: a record is broken, or the records are of several devices or of too few networks.
        """
        source = ", ".join(map(str, paths))
        records = [record for path in paths for record in read_record(path, "profiles")["records"]]
        try:
            return cls._from_records(records, source, batch)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{source} has no timings that this fastscale can read ({error!r}); time the networks again"
            ) from None

    @classmethod
    def _from_records(cls, records: Sequence[Mapping[str, Any]], source: str, batch: int | None) -> "Device":
        for what, values in (
            ("devices", {device_name(record) for record in records}),
            ("numbers of images per epoch", {record["images"] for record in records}),
        ):
            if len(values) > 1:
                listed = " and ".join(sorted(map(str, values)))
                raise UserError(f"{source}: timed with several {what} ({listed}); give profiles of one of them")
        if any("costs" not in record for record in records):
            raise UserError(f"{source}: timed by an older fastscale, without the networks' costs; time them again")
        timings = [Timing.from_record(Costs(**record["costs"]), record) for record in records]
        if (prediction := Prediction.fit(timings)) is None:
            raise UserError(f"{source}: {len(timings)} networks are timed; {FEWEST} are needed for a prediction")
        flops = sorted(timing.costs.flops for timing in timings)
        name, images = device_name(records[0]), records[0]["images"]
        return cls(name, prediction, images, batch or prediction.batch, (flops[0], flops[-1]))

    def seconds(self, costs: Costs) -> float:
        """Predict the seconds per epoch."""
        return self.prediction.seconds(costs, self.batch) * self.images

    def memory(self, costs: Costs) -> float | None:
        """Predict the peak bytes of a step; return None where no memory was measured."""
        memory = self.prediction.memory
        return memory.predict(costs.memory_terms(self.batch)) if memory else None


@dataclass(frozen=True)
class FrontierPoint:
    """The largest network of an alpha within a limit: the base, scaled by `strategy` to `scale`.

    `seconds` are per epoch, `memory` is in bytes; both are None where no device was timed.
    """

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
    """The frontier within a limit: the largest network of each alpha.

    `limit` is in flops, seconds per epoch or bytes, as `quantity` says. `left_out` names the strategies whose networks
    are within the limit even at the largest scale; these have no place on the frontier.
    """

    base: str
    quantity: Quantity
    limit: float
    device: Device | None
    frontier: tuple[FrontierPoint, ...]
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as plain data, for JSON."""
        prediction = self.device and self.device.prediction
        return {
            "base": self.base,
            "limit": {self.quantity: self.limit},
            "device": self.device and self.device.name,
            "error": prediction and prediction.time.error,
            "frontier": list(map(asdict, self.frontier)),
            "left_out": list(self.left_out),
            "recommended": asdict(self.recommended),
        }

    @property
    def recommended(self) -> FrontierPoint:
        """Return the network of the alpha that the paper recommends."""
        return next(point for point in self.frontier if point.alpha == float(RECOMMENDED))

    def text(self) -> str:
        """Write the advice for people."""
        header = ["alpha", "strategy", "scale", "px", "flops", "params", "acts", "layers", "epoch (s)", "memory (GB)"]
        formats = [".3g", "", "g", "d", ".4g", ".4g", ".4g", "d", ".4g", ".3g"]
        lines = [[*asdict(point).values()] for point in self.frontier]
        for line in lines:
            line[-1] = line[-1] and line[-1] / 1e9
        if self.device is None or self.device.prediction.memory is None:
            header, lines = header[:-1], [line[:-1] for line in lines]
        table = tabulate(lines, header, floatfmt=formats, intfmt=formats, missingval="—")
        title = f"{self.base} within {self.limit:.4g} {UNITS[self.quantity]}: the most flops of each alpha."
        return "\n\n".join([title, table, " ".join(self._conditions()), " ".join(self._recommendation())])

    def _conditions(self) -> Iterator[str]:
        """Yield sentences on the origin of the times, and their limits."""
        if self.device is None:
            yield (
                f"No time is known. To time this device: `fastscale probes {self.base} --record probes.json`, then "
                "`fastscale profile probes.json --record profiles.json`, then this with `--profiles profiles.json`."
            )
            return
        if self.left_out:
            yield (
                f"Left out, as even scale {LARGEST_SCALE:,.0f} is predicted to be within the limit: "
                f"{', '.join(self.left_out)}."
            )
        fit, (least, most) = self.device.prediction.time, self.device.flops
        yield (
            f"Seconds are predicted, of an epoch of {self.device.images:,} images in steps of {self.device.batch:g} on "
            f"{self.device.name}, by {len(fit.errors)} timed networks of {least:.3g} to {most:.3g} flops, each of "
            f"which the others predict with an error of {100 * fit.error:.0f} % in the mean."
        )
        if (largest := max(point.flops for point in self.frontier)) > 2 * most:
            yield f"The largest network here has {largest / most:.0f} times the flops of any that is timed."

    def _recommendation(self) -> Iterator[str]:
        """Yield the recommendation, and which alpha is best here: fastest per flop, or largest within the limit."""
        recommended = self.recommended
        yield (
            f"Recommended: `--strategy {recommended.strategy} --scale {recommended.scale:g}`, as the paper recommends "
            "alpha = 0.8 where runtime counts (section 5);"
        )
        if self.quantity != "flops":
            best = max(self.frontier, key=lambda point: point.flops)
            gain = f"the most flops within the limit, {100 * (best.flops / recommended.flops - 1):.1f} % more"
        elif self.device:
            best = min(self.frontier, key=lambda point: (point.seconds or 0) / point.flops)
            ratio = (best.seconds or 0) / best.flops / ((recommended.seconds or 1) / recommended.flops)
            gain = f"the least predicted time for its flops, {100 * (1 - ratio):.1f} % less"
        else:
            best = min(self.frontier, key=lambda point: point.acts / point.flops)
            ratio = best.acts / best.flops / (recommended.acts / recommended.flops)
            gain = f"the fewest activations for its flops, {100 * (1 - ratio):.1f} % less"
        if best is recommended:
            yield f"no other alpha has {gain.partition(',')[0].removeprefix('the ')} here."
        else:
            yield f"{best.strategy} (alpha = {best.alpha:g}) has {gain}."
            if best.alpha == 1:
                yield "The paper found w less accurate on EfficientNet-B0 (section 6.3)."


def advise(name: str, base: Network, quantity: Quantity, limit: float, device: Device | None) -> Advice:
    """Find the largest network of each alpha within a limit in flops, seconds per epoch or bytes of memory.

    Raises:
        UserError: the base itself is beyond the limit, even the largest scale of the paper's alpha is within it, or a
            limit in time or memory is given without timings that measured it.
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
    frontier, left_out = [], []
    for alpha in ALPHAS:
        strategy = parse_strategy(f"alpha={alpha}")
        label = strategy.name if strategy.name in NAMED else f"alpha={alpha}"  # alpha=1/2, not its decimals
        if (s := largest_within(base, strategy, cost, limit)) is None:
            if alpha == RECOMMENDED:
                raise UserError(
                    f"even {label} at scale {LARGEST_SCALE:,.0f} is within the limit of {limit:.4g}; give a smaller one"
                )
            left_out.append(label)
            continue
        network = scale(base, strategy, s)
        costs = Costs.from_network(network)
        predicted = (device.seconds(costs), device.memory(costs)) if device else (None, None)
        frontier.append(FrontierPoint(float(alpha), label, s, network.resolution, *costs, *predicted))
    return Advice(name, quantity, limit, device, tuple(frontier), tuple(left_out))

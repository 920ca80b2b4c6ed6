"""Advice on alpha and scale: for a base, the largest network of each alpha within a limit in flops, time or memory.

Errors are those that a sweep has measured, where one is given; all other statements on accuracy are the paper's.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any, Literal

from tabulate import tabulate

from fastscale.analysis.rendering.cells import GAP
from fastscale.cost.budget import largest_within
from fastscale.cost.prediction import Costs
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.scaling import LARGEST_SCALE, NAMED, parse_strategy, scale
from fastscale.planning.device import Device
from fastscale.planning.measured import Measured

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
class FrontierPoint:
    """The largest network of an alpha within a limit: the base, scaled by `strategy` to `scale`.

    `alpha` is None for a strategy that has none. `seconds` are per epoch, `memory` is in bytes; both are None where no
    device was timed. `error` is in percent, with half the width of its 95 % interval, where a sweep has measured it.
    """

    alpha: float | None
    strategy: str
    scale: float
    resolution: int
    flops: int
    params: int
    acts: int
    layers: int
    seconds: float | None
    memory: float | None
    error: float | None = None
    error_half_width: float | None = None


@dataclass(frozen=True)
class Advice:
    """The frontier within a limit: the largest network of each alpha, and of each other strategy of a sweep.

    `limit` is in flops, seconds per epoch or bytes, as `quantity` says. `left_out` names the strategies whose networks
    are within the limit even at the largest scale; these have no place on the frontier. `errors` says where errors
    come from, and how they rank.
    """

    base: str
    quantity: Quantity
    limit: float
    device: Device | None
    frontier: tuple[FrontierPoint, ...]
    left_out: tuple[str, ...] = ()
    errors: str = ""

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
        columns = {"alpha": ".3g", "strategy": "", "scale": "g", "px": "d", "flops": ".4g", "params": ".4g"}
        columns |= {"acts": ".4g", "layers": "d", "epoch (s)": ".4g", "memory (GB)": ".3g", "error (%)": ""}
        lines = [[*[*asdict(point).values()][:-2], _error(point)] for point in self.frontier]
        for line in lines:
            line[-2] = line[-2] and line[-2] / 1e9
        lacking = {"memory (GB)": not (self.device and self.device.prediction.memory), "error (%)": not self.errors}
        kept = [index for index, column in enumerate(columns) if not lacking.get(column)]
        header, formats = ([[*each][index] for index in kept] for each in (columns, columns.values()))
        lines = [[line[index] for index in kept] for line in lines]
        table = tabulate(lines, header, floatfmt=formats, intfmt=formats, missingval=GAP)
        each = "strategy" if self.errors else "alpha"
        title = f"{self.base} within {self.limit:.4g} {UNITS[self.quantity]}: the most flops of each {each}."
        parts = [title, table, " ".join(self._conditions()), self.errors, " ".join(self._recommendation())]
        return "\n\n".join(filter(None, parts))

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
        recommended, frontier = self.recommended, [point for point in self.frontier if point.alpha is not None]
        yield (
            f"Recommended: `--strategy {recommended.strategy} --scale {recommended.scale:g}`, as the paper recommends "
            "alpha = 0.8 where runtime counts (section 5);"
        )
        if self.quantity != "flops":
            best = max(frontier, key=lambda point: point.flops)
            gain = f"the most flops within the limit, {100 * (best.flops / recommended.flops - 1):.1f} % more"
        elif self.device:
            best = min(frontier, key=lambda point: (point.seconds or 0) / point.flops)
            ratio = (best.seconds or 0) / best.flops / ((recommended.seconds or 1) / recommended.flops)
            gain = f"the least predicted time for its flops, {100 * (1 - ratio):.1f} % less"
        else:
            best = min(frontier, key=lambda point: point.acts / point.flops)
            ratio = best.acts / best.flops / (recommended.acts / recommended.flops)
            gain = f"the fewest activations for its flops, {100 * (1 - ratio):.1f} % less"
        if best is recommended:
            yield f"no other alpha has {gain.partition(',')[0].removeprefix('the ')} here."
        else:
            yield f"{best.strategy} (alpha = {best.alpha:g}) has {gain}."
            if best.alpha == 1:
                yield "The paper found w less accurate on EfficientNet-B0 (section 6.3)."


def advise(
    name: str,
    base: Network,
    quantity: Quantity,
    limit: float,
    device: Device | None,
    measured: Measured | None = None,
) -> Advice:
    """Find the largest network of each strategy within a limit in flops, seconds per epoch or bytes of memory.

    The strategies are those of `ALPHAS`, and those by which a sweep has scaled the base, if it is given as `measured`.

    Raises:
        UserError: the base itself is beyond the limit, even the largest scale of the paper's alpha is within it, or a
            limit in time or memory is given without timings that measured it.
    """
    cost = partial(_cost, quantity, device)
    _refuse(name, quantity, limit, device)
    if (least := cost(base)) > limit:
        raise UserError(
            f"{name} alone takes {least:.4g} {UNITS[quantity]}, more than the limit of {limit:.4g}; give a larger "
            "limit or a smaller base"
        )
    frontier, left_out = [], []
    for label, alpha in _strategies(measured).items():
        strategy = parse_strategy(label)
        if (s := largest_within(base, strategy, cost, limit)) is None:
            if alpha == float(RECOMMENDED):
                raise UserError(
                    f"even {label} at scale {LARGEST_SCALE:,.0f} is within the limit of {limit:.4g}; give a smaller one"
                )
            left_out.append(label)
            continue
        network = scale(base, strategy, s)
        costs = Costs.from_network(network)
        predicted = (device.seconds(costs), device.memory(costs)) if device else (None, None)
        frontier.append(FrontierPoint(alpha, label, s, network.resolution, *costs, *predicted))
    advice = Advice(name, quantity, limit, device, tuple(frontier), tuple(left_out))
    return _with_errors(advice, measured) if measured else advice


def _cost(quantity: Quantity, device: Device | None, network: Network) -> float:
    costs = Costs.from_network(network)
    if device is None or quantity == "flops":
        return costs.flops
    return device.seconds(costs) if quantity == "seconds" else device.memory(costs) or 0


def _refuse(name: str, quantity: Quantity, limit: float, device: Device | None) -> None:
    """Refuse a limit that is no number, or that nothing was measured for."""
    if not (math.isfinite(limit) and limit > 0):
        raise UserError(f"--{quantity} {limit:g}: a limit must be a positive number")
    if quantity != "flops" and device is None:
        raise UserError(
            f"--{quantity} needs timings of this device: `fastscale probes {name} --record probes.json`, then "
            "`fastscale profile probes.json --record profiles.json`, then this with --profiles profiles.json"
        )
    if quantity == "memory" and device and device.prediction.memory is None:
        raise UserError(f"--memory: the profiles, of {device.name}, hold no peak memory; time the probes on a GPU")


def _strategies(measured: Measured | None) -> dict[str, float | None]:
    """List the strategies of `ALPHAS` and those that were measured, each once, with its alpha."""
    known = {}
    for alpha in ALPHAS:
        strategy = parse_strategy(f"alpha={alpha}")
        known[strategy.name] = strategy.name if strategy.name in NAMED else f"alpha={alpha}"  # not its decimals
    alphas: dict[str, float | None] = {label: float(alpha) for label, alpha in zip(known.values(), ALPHAS, strict=True)}
    for name in measured.strategies if measured else ():
        if name not in known:
            alpha_of = parse_strategy(name).alpha
            alphas[name] = None if alpha_of is None else float(alpha_of)
    return alphas


def _with_errors(advice: Advice, measured: Measured) -> Advice:
    """Add the errors that were measured at the flops of the advised networks."""
    names = {point.strategy: parse_strategy(point.strategy).name for point in advice.frontier}
    budget = measured.budget({names[point.strategy]: point.flops for point in advice.frontier})
    offers = {offer.strategy: offer for offer in budget.offers}
    frontier = [
        replace(point, error=offer.error.value if offer.error else None, error_half_width=offer.half_width)
        for point in advice.frontier
        for offer in [offers[names[point.strategy]]]
    ]
    return replace(advice, frontier=tuple(frontier), errors=measured.sentences(budget))


def _error(point: FrontierPoint) -> str:
    if point.error is None:
        return GAP
    return f"{point.error:.2f}" + (f" ± {point.error_half_width:.2f}" if point.error_half_width is not None else "")

"""The scale for a budget: nearest to a number of flops, or largest within a limit of any cost.

A network's flops differ from s times its base's by up to a quarter, as depths, widths and resolutions are whole. Its
cost is a staircase in s, and may even fall where s grows, as group widths are rounded. So bisection finds where the
cost crosses the budget, and the scales around this crossing are searched.
"""

import math
from collections.abc import Callable

from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.networks.complexity import count
from fastscale.networks.scaling import LARGEST_SCALE, Strategy, scale, smallest_scale

TOLERANCE = 1e-4  # of the bisection, relative to s
REACH = 1.1  # scales are searched up to this factor below and above the crossing
TRIALS = 100  # scales searched on each side of the crossing


def scale_to_flops(base: Network, strategy: Strategy, target: float) -> float:
    """Find the scale at which the quantised network's flops come nearest to `target`.

    The scale is rounded to the fewest digits that give the same flops.

    Raises:
        UserError: the target is no positive number, or the strategy cannot bring the base to it at any scale.
    """
    if not (math.isfinite(target) and target > 0):
        raise UserError(f"flops {target:g}: the target must be a positive number, such as 16e9")

    def flops(s: float) -> int:
        return count(scale(base, strategy, s)).flops

    smallest, *_ = smallest_scale(base, strategy)
    low = high = min(max(smallest, target / count(base).flops), LARGEST_SCALE)
    while flops(high) < target and high < LARGEST_SCALE:
        high = min(2 * high, LARGEST_SCALE)
    while flops(low) > target and low > smallest:
        low = max(low / 2, smallest)
    least, most = flops(low), flops(high)
    if not least <= target <= most:
        reach = f"at least {least:.4g}; give more" if target < least else f"at most {most:.4g}; give fewer"
        raise UserError(f"flops {target:g}: {strategy.name} gives this {base.family} {reach}")
    crossing = _crossing(low, high, lambda s: flops(s) < target)
    networks = _scaled(base, strategy, _around(crossing, smallest))
    counted = {network: count(network).flops for network in {*networks.values()}}
    near = {s: counted[network] for s, network in networks.items()}
    best = min(near, key=lambda s: (abs(near[s] - target), abs(math.log(s / crossing))))
    return _in_fewest_digits(best, smallest, lambda s: flops(s) == near[best])


def largest_within(base: Network, strategy: Strategy, cost: Callable[[Network], float], limit: float) -> float | None:
    """Find the scale of the network with the most flops whose `cost` is within `limit`.

    The cost of `base` itself must be within the limit. The scale is rounded to the fewest digits that give the same
    network.

    Returns:
        The scale, or None where even `LARGEST_SCALE` is within the limit.
    """

    def is_within(s: float) -> bool:
        return cost(scale(base, strategy, s)) <= limit

    low, high = 1.0, 2.0
    while is_within(high):
        if high == LARGEST_SCALE:
            return None
        low, high = high, min(2 * high, LARGEST_SCALE)
    near = {s: scale(base, strategy, s) for s in (1.0, *_around(_crossing(low, high, is_within), 1.0))}
    best = max((s for s, network in near.items() if cost(network) <= limit), key=lambda s: count(near[s]).flops)
    return _in_fewest_digits(best, 1.0, lambda s: scale(base, strategy, s) == near[best])


def _crossing(low: float, high: float, is_below: Callable[[float], bool]) -> float:
    """Bisect log s between `low`, below the budget, and `high`, above it; return the lower end of the last interval."""
    while high / low > 1 + TOLERANCE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if is_below(middle) else (low, middle)
    return low


def _scaled(base: Network, strategy: Strategy, scales: list[float]) -> dict[float, Network]:
    """Scale a base to each of some rising scales.

    No dimension falls where s grows, so that between two scales of the same network there is no other.
    """
    networks = {s: scale(base, strategy, s) for s in (scales[0], scales[-1])}

    def fill(low: int, high: int) -> None:
        first, last = networks[scales[low]], networks[scales[high]]
        if first == last:
            networks.update(dict.fromkeys(scales[low:high], first))
        elif (middle := (low + high) // 2) > low:
            networks[scales[middle]] = scale(base, strategy, scales[middle])
            fill(low, middle)
            fill(middle, high)

    fill(0, len(scales) - 1)
    return {s: networks[s] for s in scales}


def _around(crossing: float, smallest: float) -> list[float]:
    """List the scales to search around a crossing."""
    scales = (crossing * REACH ** (step / TRIALS) for step in range(-TRIALS, TRIALS + 1))
    return [s for s in scales if smallest <= s <= LARGEST_SCALE]


def _in_fewest_digits(best: float, smallest: float, is_same: Callable[[float], bool]) -> float:
    """Round the scale `best` to the fewest digits for which `is_same` holds."""
    rounded = (float(f"{best:.{digits}g}") for digits in range(1, 18))
    return next(s for s in rounded if smallest <= s <= LARGEST_SCALE and is_same(s))

"""Measured exponents of s: how the complexity of scaled, quantised networks grows. Theory: results/growth.py."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from fastscale.analysis.results.fits import fit_line
from fastscale.networks import Network, base_network
from fastscale.networks.complexity import count_stages
from fastscale.networks.scaling import parse_strategy, scale

BASES = ("EN-B0", "RegNetY-500MF", "RegNetZ-500MF")  # the bases that the paper scales by every strategy
SCALES = tuple(64 ** (step / 24) for step in range(25))  # 1 to 64
TOLERANCE = 0.03  # largest deviation from the theory that tables and claims accept


@dataclass(frozen=True)
class Measured:
    """Exponents of s in flops, params and acts of a base's stages under a strategy: slopes of log-log fits.

    `correlation` is the least correlation of the three fits, each through `n` points.
    """

    base: str
    exponents: tuple[float, float, float]
    correlation: float
    n: int = len(SCALES)

    def deviations(self, theory: tuple[float, ...]) -> tuple[float, ...]:
        """Subtract the theory from the measured exponents of flops, params and acts; four decimals, never -0."""
        return tuple(round(slope - expected, 4) + 0.0 for slope, expected in zip(self.exponents, theory, strict=True))


@cache
def measure(strategy: str, of_group_convs: bool = False) -> tuple[Measured, ...]:
    """Measure the exponents of each base over `SCALES`.

    With `of_group_convs` only the group convs of the RegNets are counted, as an EfficientNet's are depthwise. The
    exponents are then those of the growth of these convs' flops, which is what s means in Table 3, up to the scale at
    which the first group width reaches its stage's width.
    """
    measured = []
    for base in BASES:
        network = base_network(base)
        if of_group_convs and set(network.group_widths) == {1}:
            continue
        scaled = [scale(network, parse_strategy(strategy), s) for s in SCALES]
        if of_group_convs:
            scaled = list(takewhile(_has_narrow_groups, scaled))
        counts = [count_stages(each, of_group_convs) for each in scaled]
        growth = [count.flops / counts[0].flops for count in counts] if of_group_convs else SCALES
        logs = [math.log(s) for s in growth]
        fits = [fit_line(logs, [math.log(count[i]) for count in counts]) for i in range(3)]
        # There is no line where a count does not change: its exponent is 0.
        flops, params, acts = (fit.slope if fit else 0.0 for fit in fits)
        measured.append(Measured(base, (flops, params, acts), min(fit.correlation for fit in fits if fit), len(scaled)))
    return tuple(measured)


def _has_narrow_groups(network: Network) -> bool:
    """Say whether each group width is below its stage's width: where it cannot grow further, Table 3 does not apply."""
    return all(group < width for group, width in zip(network.group_widths, network.widths, strict=True))

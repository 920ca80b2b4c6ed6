"""Measured exponents of s: how the complexity of scaled, quantised networks grows. Theory: results/growth.py."""

import math
from dataclasses import dataclass
from functools import cache

from fastscale.analysis.results.fits import fit_line
from fastscale.networks import base_network
from fastscale.networks.complexity import count_stages
from fastscale.networks.scaling import parse_strategy, scale

BASES = ("EN-B0", "RegNetY-500MF", "RegNetZ-500MF")  # the bases that the paper scales by every strategy
SCALES = tuple(64 ** (step / 24) for step in range(25))  # 1 to 64
TOLERANCE = 0.03  # largest deviation from the theory that tables and claims accept


@dataclass(frozen=True)
class Measured:
    """Exponents of s in flops, params and acts of a base's stages under a strategy: slopes of log-log fits.

    `correlation` is the least correlation of those fits, each through `n` points, that have a slope; None without any.
    """

    base: str
    exponents: tuple[float, float, float]
    correlation: float | None
    n: int = len(SCALES)

    def deviations(self, theory: tuple[float, ...]) -> tuple[float, ...]:
        """Subtract the theory from the measured exponents of flops, params and acts; four decimals, never -0."""
        return tuple(round(slope - expected, 4) + 0.0 for slope, expected in zip(self.exponents, theory, strict=True))


@cache
def measure(strategy: str, of_group_conv: bool = False) -> tuple[Measured, ...]:
    """Measure the exponents of each base over `SCALES`.

    With `of_group_conv` only a group conv of the RegNets is counted, as an EfficientNet's are depthwise. The exponents
    are then those of the growth of this conv's flops, which is what s means in Table 3.
    """
    measured = []
    for base in BASES:
        network = base_network(base)
        if of_group_conv and set(network.group_widths) == {1}:
            continue
        counts = [count_stages(scale(network, parse_strategy(strategy), s), of_group_conv) for s in SCALES]
        growth = [count.flops / counts[0].flops for count in counts] if of_group_conv else SCALES
        logs = [math.log(s) for s in growth]
        fits = [fit_line(logs, [math.log(count[i]) for count in counts]) for i in range(3)]
        # There is no line where a count does not change: its exponent is 0.
        flops, params, acts = (fit.slope if fit else 0.0 for fit in fits)
        sloping = [fit.correlation for fit in fits if fit and abs(fit.slope) > TOLERANCE]
        measured.append(Measured(base, (flops, params, acts), min(sloping, default=None)))
    return tuple(measured)

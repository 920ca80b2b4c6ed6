"""Measured exponents: how the complexity of really scaled, quantised networks grows. Tables 1 to 4 have the theory."""

import math
from dataclasses import dataclass
from functools import cache

from fastscale.analysis.results.fits import fit_line
from fastscale.networks import base_network
from fastscale.networks.complexity import count_stages
from fastscale.networks.scaling import parse_strategy, scale

BASES = ("EN-B0", "RegNetY-500MF", "RegNetZ-500MF")  # those that the paper scales by every strategy
SCALES = tuple(64 ** (step / 24) for step in range(25))  # 1 to 64
TOLERANCE = 0.03


@dataclass(frozen=True)
class Measured:
    """Exponents of s in flops, params and acts of a base's stages under a strategy: slopes of log-log fits.

    `r` is the least correlation of the three fits, of `n` points each.
    """

    base: str
    exponents: tuple[float, float, float]
    r: float
    n: int = len(SCALES)

    def deviations(self, theory: tuple[float, ...]) -> tuple[float, ...]:
        """Measured minus theory, for flops, params and acts, to four digits and never -0."""
        return tuple(round(found - expected, 4) + 0.0 for found, expected in zip(self.exponents, theory, strict=True))


@cache
def measure(strategy: str, of_group_convs: bool = False) -> tuple[Measured, ...]:
    """The exponents of each base over `SCALES`.

    Of group convs alone (Table 3; the RegNets, as an EfficientNet's are depthwise) they are exponents of the growth of
    those convs' own flops, which is what s means there.
    """
    found = []
    for base in BASES:
        network = base_network(base)
        if of_group_convs and set(network.group_widths) == {1}:
            continue
        counts = [count_stages(scale(network, parse_strategy(strategy), s), of_group_convs) for s in SCALES]
        growth = [count.flops / counts[0].flops for count in counts] if of_group_convs else SCALES
        logs = [math.log(s) for s in growth]
        fits = [fit_line(logs, [math.log(count[i]) for count in counts]) for i in range(3)]
        # There is no line where a measure does not change: its exponent is 0.
        flops, params, acts = (fit.slope if fit else 0.0 for fit in fits)
        found.append(Measured(base, (flops, params, acts), min(fit.r for fit in fits if fit)))
    return tuple(found)

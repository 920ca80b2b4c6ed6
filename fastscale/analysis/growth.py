"""Measured exponents: how the complexity of really scaled, quantised networks grows. Tables 1 to 4 have the theory."""

import math
from dataclasses import dataclass
from functools import cache

from fastscale.analysis.fits import fit_line
from fastscale.complexity import Complexity, count_stages
from fastscale.networks import base_network
from fastscale.scaling import parse_strategy, scale

BASES = ("EN-B0", "RegNetY-500MF", "RegNetZ-500MF")  # those that the paper scales by every strategy
SCALES = tuple(64 ** (step / 24) for step in range(25))  # 1 to 64
TOLERANCE = 0.03


@dataclass(frozen=True)
class Measured:
    """Exponents of s in flops, params and acts of a base's stages under a strategy: slopes of log-log fits."""

    base: str
    exponents: Complexity

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
        found.append(Measured(base, Complexity(*(_slope(growth, [c[i] for c in counts]) for i in range(3)))))
    return tuple(found)


def _slope(growth: list[float] | tuple[float, ...], measure: list[int]) -> float:
    line = fit_line([math.log(s) for s in growth], [math.log(value) for value in measure])
    return line.slope if line else 0.0  # no line where the measure does not change

"""Claims on how complexity grows (section 3), and on the paper's own counts; they need no record of a sweep."""

from collections.abc import Iterator

from fastscale.analysis.claims.claim import Claim, Measure, within
from fastscale.analysis.claims.evidence import Case, Evidence
from fastscale.analysis.results import exponents
from fastscale.analysis.results.estimate import Reading
from fastscale.analysis.results.published import UNITS, numbers
from fastscale.networks import base_network
from fastscale.networks.complexity import count
from fastscale.networks.scaling import NAMED

SIMPLE = dict.fromkeys(("d", "w", "r"), "§3.3, Table 1")
COMPOUND = dict.fromkeys(("dw", "wr", "dr", "dwr"), "§3.4, Table 2")
# Table 3 by strategy: what grows, and the exponents of acts and params where a group conv's flops grow by s.
GROUPS = {
    "w-only": ("the width", 1.0, 1.0),
    "g-only": ("the group width", 0.0, 1.0),
    "w": ("both", 0.5, 1.0),
}


def deviation(strategy: str, acts: float, params: float, of_group_conv: bool = False) -> Measure:
    """Measure how far the exponents of acts and params of each base are from those of the theory."""

    def cases(_: Evidence) -> Iterator[Case]:
        for measured in exponents.measure(strategy, of_group_conv):
            by_params, by_acts = measured.exponents[1:]
            off = max(abs(by_acts - acts), abs(by_params - params))
            words = f"{by_acts:.2f}, {by_params:.2f}"
            yield Case(measured.base, Reading(off), measured.base, n=measured.n, unit="scales", words=words)

    return cases


def published_counts(_: Evidence) -> Iterator[Case]:
    """Measure how far our counts of the published networks, rounded to one decimal, are from the printed numbers."""
    for name, row in numbers()["complexity"].items():
        counts = count(base_network(name))._asdict()
        for key, unit in UNITS.items():
            off = round(round(counts[key] / unit, 1) - row[key], 1)
            yield Case(f"{name} {key}", Reading(abs(off)), f"{name} {key}", words=f"off by {off:g}")


def _growth(strategy: str, where: str) -> Claim:
    scaling = NAMED[strategy]
    acts = float(scaling.e_d + scaling.e_w / 2 + scaling.e_r)  # equation 2 under equation 5
    params = float(scaling.e_d + scaling.e_w)
    return Claim(
        f"Under {strategy}, activations grow as s^{acts:.2g} and params as s^{params:.2g}",
        where,
        f"{acts:.2f}, {params:.2f}",
        deviation(strategy, acts, params),
        f"slopes of log acts and params of quantised stages over log s, s from 1 to {exponents.SCALES[-1]:.0f}; off by",
        within(exponents.TOLERANCE),
        "counted",
    )


def _group_growth(strategy: str, dimensions: str, acts: float, params: float) -> Claim:
    return Claim(
        f"Scaling {dimensions} of a group conv, its activations grow as s^{acts:.2g} and its params as s^{params:.2g}",
        "§3.5, Table 3",
        f"{acts:.2f}, {params:.2f}",
        deviation(strategy, acts, params, of_group_conv=True),
        "slopes of log acts and params of a group conv of a RegNet's last stage over log flops; off by",
        within(exponents.TOLERANCE),
        "counted",
    )


CLAIMS = (
    *(_growth(strategy, where) for strategy, where in {**SIMPLE, **COMPOUND, "dWr": "§5, Table 4"}.items()),
    *(_group_growth(strategy, *row) for strategy, row in GROUPS.items()),
    Claim(
        "The flops, params and activations of the 22 published networks",
        "Tables 5, 6 and 8",
        "66 numbers",
        published_counts,
        "difference of our count from the printed number, at one decimal",
        within(0),
        "counted",
    ),
)

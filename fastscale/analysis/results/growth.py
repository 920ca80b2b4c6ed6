"""Tables 1 to 4: how flops, params and acts grow with s, by symbolic algebra (sections 3.3 to 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy

from fastscale.networks.scaling import NAMED, Strategy

D, W, R, G, S = sympy.symbols("d w r g s", positive=True)
ALPHA = sympy.Symbol("alpha", real=True)

# Equations 2 and 3: a stage of d conv layers of width w at resolution r, and a conv of group width g.
CONV = {"flops": (D * W**2 * R**2, "dw^2r^2"), "params": (D * W**2, "dw^2"), "acts": (D * W * R**2, "dwr^2")}
GROUP_CONV = {"flops": (W * G * R**2, "wgr^2"), "params": (W * G, "wg"), "acts": (W * R**2, "wr^2")}


@dataclass(frozen=True)
class Growth:
    """How a strategy makes the dimensions grow, as exact exponents of s by dimension, and the complexity that results.

    `measures` are flops, params and acts in those dimensions, and how the paper writes them; `alpha` is the strategy's
    place in the family of equation 4, where it has one.
    """

    strategy: str
    scaled: Mapping[sympy.Symbol, sympy.Expr]
    measures: Mapping[str, tuple[sympy.Expr, str]]
    alpha: sympy.Expr | None = None

    @classmethod
    def from_strategy(cls, strategy: Strategy) -> "Growth":
        """The growth of a stage under a strategy with exact exponents."""
        exact = (sympy.Rational(e.numerator, e.denominator) for e in (strategy.e_d, strategy.e_w, strategy.e_r))
        return cls.along(strategy.name, *exact)

    @classmethod
    def along(cls, name: str, e_d: sympy.Expr, e_w: sympy.Expr, e_r: sympy.Expr) -> "Growth":
        """The growth of a stage under equation 5."""
        return cls(name, {D: e_d, W: e_w / 2, R: e_r / 2}, CONV, alpha=e_w)

    @classmethod
    def of_groups(cls, name: str, width: sympy.Expr, group_width: sympy.Expr) -> "Growth":
        """The growth of a group conv whose width and group width grow by s to these exponents."""
        return cls(name, {W: width, G: group_width}, GROUP_CONV)

    @cached_property
    def complexity(self) -> dict[str, sympy.Expr]:
        """Exponents of s in flops, params and acts (equation 6)."""
        to = {dimension: dimension * S**exponent for dimension, exponent in self.scaled.items()}
        return {name: _exponent(expr.subs(to, simultaneous=True) / expr) for name, (expr, _) in self.measures.items()}


def _exponent(ratio: sympy.Expr) -> sympy.Expr:
    """The exponent e of s^e = `ratio`."""
    return sympy.nsimplify(sympy.simplify(sympy.expand_log(sympy.log(ratio), force=True) / sympy.log(S)))


ZERO, ONE, HALF = sympy.Integer(0), sympy.Integer(1), sympy.Rational(1, 2)
NONE = Growth.along("none", ZERO, ZERO, ZERO)
FAMILY = Growth.along("alpha", (1 - ALPHA) / 2, ALPHA, (1 - ALPHA) / 2)  # equation 4

TABLES = {
    "table1": [NONE, *(Growth.from_strategy(NAMED[name]) for name in ("d", "w", "r"))],
    "table2": [Growth.from_strategy(NAMED[name]) for name in ("dw", "wr", "dr", "dwr")],
    "table3": [
        Growth.of_groups("none", ZERO, ZERO),
        Growth.of_groups("w-only", ONE, ZERO),
        Growth.of_groups("g-only", ZERO, ONE),
        Growth.of_groups("w", HALF, HALF),  # the paper's wg: here w scales both
    ],
    "table4": [FAMILY, *(Growth.from_strategy(NAMED[name]) for name in ("dr", "dwr", "dWr", "w"))],
}
TITLES = {
    "table1": "Table 1. Simple scaling: a stage of d conv layers of width w at resolution r, scaled by s",
    "table2": "Table 2. Compound scaling: uniform along each of its dimensions",
    "table3": "Table 3. Group width scaling: a group conv of width w and group width g",
    "table4": "Table 4. Fast scaling: a family of strategies, by alpha",
}


def header(table: str) -> list[str]:
    """Column names of the CSV: exponents of s."""
    dimensions = ["alpha", "e_d", "e_w", "e_r"] if table == "table4" else map(str, TABLES[table][0].scaled)
    return ["strategy", *dimensions, "flops", "params", "acts"]


def cells(table: str, growth: Growth) -> list[str]:
    """A row of the CSV; fractions stay exact."""
    return [growth.strategy, *map(str, _dimensions(table, growth)), *map(str, growth.complexity.values())]


def markdown_cells(table: str, growth: Growth) -> list[str]:
    """A row of the Markdown table, typeset as in the paper."""
    if table == "table4":
        dimensions = [f"${sympy.latex(e)}$" for e in _dimensions(table, growth)]
    else:
        dimensions = [_typeset(exponent, str(letter)) for letter, exponent in growth.scaled.items()]
    complexity = [_typeset(growth.complexity[name], product) for name, (_, product) in growth.measures.items()]
    return [growth.strategy, *dimensions, *complexity]


def _dimensions(table: str, growth: Growth) -> list[sympy.Expr]:
    """The exponents before those of the complexity: Table 4 gives equation 5's own, by alpha."""
    if table != "table4":
        return list(growth.scaled.values())
    return [growth.alpha, growth.scaled[D], 2 * growth.scaled[W], 2 * growth.scaled[R]]


def _typeset(exponent: sympy.Expr, of: str) -> str:
    factor = "" if exponent == 0 else sympy.latex(S**exponent, root_notation=False, fold_short_frac=True)
    return f"${factor}{' ' if factor else ''}{of}$"

"""Tables 1 to 4: how flops, params and acts grow with s, by symbolic algebra (sections 3.3 to 5)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import sympy

from fastscale.networks.scaling import NAMED, Strategy

D, W, R, G, S = sympy.symbols("d w r g s", positive=True)
ALPHA = sympy.Symbol("alpha", real=True)

# Equation 2, a stage of d conv layers of width w at resolution r; equation 3, a conv of width w and group width g.
CONV = {"flops": (D * W**2 * R**2, "dw^2r^2"), "params": (D * W**2, "dw^2"), "acts": (D * W * R**2, "dwr^2")}
GROUP_CONV = {"flops": (W * G * R**2, "wgr^2"), "params": (W * G, "wg"), "acts": (W * R**2, "wr^2")}


@dataclass(frozen=True)
class Growth:
    """A row of Tables 1 to 4: how dimensions grow with s, and the complexity that results.

    `name` is the row's name in the paper. `scaled` maps each dimension to its exact exponent of s. `measures` are
    flops, params and acts in terms of the dimensions, each with the paper's spelling. `strategy` is the name by which
    a configuration asks for this growth, None for no growth and for the whole family of equation 4. `alpha` is the
    exponent of the width in equation 5, which Table 4 shows; None for a group conv.
    """

    name: str
    scaled: Mapping[sympy.Symbol, sympy.Expr]
    measures: Mapping[str, tuple[sympy.Expr, str]]
    strategy: str | None = None
    alpha: sympy.Expr | None = None

    @classmethod
    def from_strategy(cls, strategy: Strategy) -> "Growth":
        """Make the row of a stage that grows by a strategy."""
        exponents = strategy.e_d, strategy.e_w, strategy.e_r
        e_d, e_w, e_r = (sympy.Rational(e.numerator, e.denominator) for e in exponents)
        return cls.from_exponents(strategy.name, e_d, e_w, e_r, strategy.name)

    @classmethod
    def from_exponents(
        cls, name: str, e_d: sympy.Expr, e_w: sympy.Expr, e_r: sympy.Expr, strategy: str | None = None
    ) -> "Growth":
        """Make the row of a stage that grows by the exponents of equation 5."""
        return cls(name, {D: e_d, W: e_w / 2, R: e_r / 2}, CONV, strategy, alpha=e_w)

    @classmethod
    def from_group_exponents(
        cls, name: str, width: sympy.Expr, group_width: sympy.Expr, strategy: str | None = None
    ) -> "Growth":
        """Make the row of a group conv whose width and group width grow with s by these exponents."""
        return cls(name, {W: width, G: group_width}, GROUP_CONV, strategy)

    @cached_property
    def complexity(self) -> dict[str, sympy.Expr]:
        """Return the exponents of s in flops, params and acts (equation 6)."""
        grown = {dimension: dimension * S**exponent for dimension, exponent in self.scaled.items()}
        return {
            name: _exponent(expr.subs(grown, simultaneous=True) / expr) for name, (expr, _) in self.measures.items()
        }


def _exponent(ratio: sympy.Expr) -> sympy.Expr:
    """Solve s^e = `ratio` for e."""
    return sympy.nsimplify(sympy.simplify(sympy.expand_log(sympy.log(ratio), force=True) / sympy.log(S)))


ZERO, ONE, HALF = sympy.Integer(0), sympy.Integer(1), sympy.Rational(1, 2)
NONE = Growth.from_exponents("none", ZERO, ZERO, ZERO)
FAMILY = Growth.from_exponents("alpha", (1 - ALPHA) / 2, ALPHA, (1 - ALPHA) / 2)  # equation 4

TABLES = {
    "table1": [NONE, *(Growth.from_strategy(NAMED[name]) for name in ("d", "w", "r"))],
    "table2": [Growth.from_strategy(NAMED[name]) for name in ("dw", "wr", "dr", "dwr")],
    "table3": [  # the paper's names; the strategy w scales both, as the paper does unless it says otherwise
        Growth.from_group_exponents("none", ZERO, ZERO),
        Growth.from_group_exponents("w", ONE, ZERO, strategy="w-only"),
        Growth.from_group_exponents("g", ZERO, ONE, strategy="g-only"),
        Growth.from_group_exponents("wg", HALF, HALF, strategy="w"),
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
    """Name the columns of the CSV; but for the first, they hold exponents of s."""
    dimensions = ["alpha", "e_d", "e_w", "e_r"] if table == "table4" else map(str, TABLES[table][0].scaled)
    return ["strategy", *dimensions, "flops", "params", "acts"]


def cells(table: str, growth: Growth) -> list[str]:
    """Write a row of the CSV; fractions stay exact."""
    return [growth.name, *map(str, _dimensions(table, growth)), *map(str, growth.complexity.values())]


def markdown_cells(table: str, growth: Growth) -> list[str]:
    """Typeset a row of the Markdown table as in the paper."""
    if table == "table4":
        dimensions = [f"${_latex(e)}$" for e in _dimensions(table, growth)]
    else:
        dimensions = [_typeset(exponent, str(letter)) for letter, exponent in growth.scaled.items()]
    complexity = [_typeset(growth.complexity[name], product) for name, (_, product) in growth.measures.items()]
    return [growth.name, *dimensions, *complexity]


def _dimensions(table: str, growth: Growth) -> list[sympy.Expr]:
    """List the exponents of the dimensions; for Table 4 alpha and those of equation 5."""
    if table != "table4":
        return list(growth.scaled.values())
    return [growth.alpha, growth.scaled[D], 2 * growth.scaled[W], 2 * growth.scaled[R]]


def _typeset(exponent: sympy.Expr, product: str) -> str:
    return f"${product}$" if exponent == 0 else f"${_latex(S ** sympy.together(exponent))} {product}$"


def _latex(expression: sympy.Expr) -> str:
    """Write an expression as the paper does: a root as a root, (1 - alpha) / 2 and not 1/2 - alpha/2."""
    return sympy.latex(sympy.together(expression), fold_frac_powers=not expression.has(ALPHA), order="old")

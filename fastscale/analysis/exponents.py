"""Tables 1, 2 and 4: how flops, params and acts of a stage grow with s, by symbolic algebra (sections 3.3 to 5)."""

from dataclasses import dataclass
from functools import cached_property

import sympy

from fastscale.scaling import NAMED, Strategy

D, W, R, S = sympy.symbols("d w r s", positive=True)
ALPHA = sympy.Symbol("alpha", real=True)

# Equation 2: a stage of d conv layers of width w at resolution r.
FLOPS, PARAMS, ACTS = D * W**2 * R**2, D * W**2, D * W * R**2


@dataclass(frozen=True)
class Growth:
    """Exponents of s, exact: of a strategy's depth, width and resolution, and of the complexity that results."""

    strategy: str
    e_d: sympy.Expr
    e_w: sympy.Expr
    e_r: sympy.Expr

    @classmethod
    def of(cls, strategy: Strategy) -> "Growth":
        """The growth under a strategy with exact exponents."""
        exact = (sympy.Rational(e.numerator, e.denominator) for e in (strategy.e_d, strategy.e_w, strategy.e_r))
        return cls(strategy.name, *exact)

    @cached_property
    def scaled(self) -> dict[str, sympy.Expr]:
        """d', w' and r' over d, w and r (equation 5), as exponents of s."""
        return {"d": self.e_d, "w": self.e_w / 2, "r": self.e_r / 2}

    @cached_property
    def complexity(self) -> dict[str, sympy.Expr]:
        """Exponents of s in flops, params and acts of the scaled stage (equation 6)."""
        to = {D: D * S ** self.scaled["d"], W: W * S ** self.scaled["w"], R: R * S ** self.scaled["r"]}
        measures = {"flops": FLOPS, "params": PARAMS, "acts": ACTS}
        return {name: _exponent(expr.subs(to, simultaneous=True) / expr) for name, expr in measures.items()}


def _exponent(ratio: sympy.Expr) -> sympy.Expr:
    """The exponent e of s^e = `ratio`."""
    return sympy.nsimplify(sympy.simplify(sympy.expand_log(sympy.log(ratio), force=True) / sympy.log(S)))


NONE = Growth("none", sympy.Integer(0), sympy.Integer(0), sympy.Integer(0))
FAMILY = Growth("alpha", (1 - ALPHA) / 2, ALPHA, (1 - ALPHA) / 2)  # equation 4

TABLES = {
    "table1": [NONE, *(Growth.of(NAMED[name]) for name in ("d", "w", "r"))],
    "table2": [Growth.of(NAMED[name]) for name in ("dw", "wr", "dr", "dwr")],
    "table4": [FAMILY, *(Growth.of(NAMED[name]) for name in ("dr", "dwr", "dWr", "w"))],
}
TITLES = {
    "table1": "Table 1. Simple scaling: a stage of d conv layers of width w at resolution r, scaled by s",
    "table2": "Table 2. Compound scaling: uniform along each of its dimensions",
    "table4": "Table 4. Fast scaling: a family of strategies, by alpha",
}


def header(table: str) -> list[str]:
    """Column names of the CSV: exponents of s."""
    dimensions = ["alpha", "e_d", "e_w", "e_r"] if table == "table4" else ["d", "w", "r"]
    return ["strategy", *dimensions, "flops", "params", "acts"]


def cells(table: str, growth: Growth) -> list[str]:
    """A row of the CSV; fractions stay exact."""
    family = [growth.e_w, growth.e_d, growth.e_w, growth.e_r]
    dimensions = family if table == "table4" else growth.scaled.values()
    return [growth.strategy, *map(str, dimensions), *map(str, growth.complexity.values())]


def markdown_cells(table: str, growth: Growth) -> list[str]:
    """A row of the Markdown table, typeset as in the paper."""
    if table == "table4":
        dimensions = [f"${sympy.latex(e)}$" for e in (growth.e_w, growth.e_d, growth.e_w, growth.e_r)]
    else:
        dimensions = [_typeset(exponent, letter) for letter, exponent in growth.scaled.items()]
    products = {"flops": "dw^2r^2", "params": "dw^2", "acts": "dwr^2"}
    complexity = [_typeset(growth.complexity[name], products[name]) for name in products]
    return [growth.strategy, *dimensions, *complexity]


def _typeset(exponent: sympy.Expr, of: str) -> str:
    factor = "" if exponent == 0 else sympy.latex(S**exponent, root_notation=False, fold_short_frac=True)
    return f"${factor}{' ' if factor else ''}{of}$"

"""Numbers for people: one unit for the numbers of a table's column or of an axis, and no exponents."""

from collections.abc import Iterable
from math import floor, log10
from statistics import median
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: how much of the basic unit (a second, one) it is, and its name; `write` formats a number in it."""

    factor: float
    name: str

    def write(self, value: float | None, gap: str = "—") -> str:
        """Format a value of the basic unit in this unit, with three digits; `gap` where it is None."""
        return gap if value is None else number(value / self.factor)


TIMES = (
    Unit(86400, "days"),
    Unit(3600, "hours"),
    Unit(60, "minutes"),
    Unit(1, "seconds"),
    Unit(1e-3, "ms"),
    Unit(1e-6, "µs"),
    Unit(1e-9, "ns"),
    Unit(1e-12, "ps"),
)
COUNTS = (Unit(1e12, "T"), Unit(1e9, "G"), Unit(1e6, "M"), Unit(1e3, "k"), Unit(1, "1"))


def unit_of(values: Iterable[float | None], units: tuple[Unit, ...]) -> Unit:
    """Choose the unit for values of the basic unit: the largest in which their median is at least 1."""
    known = [abs(value) for value in values if value]
    middle = median(known) if known else 1
    return next((unit for unit in units if middle >= unit.factor), units[-1])


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, in groups of three and never with an exponent."""
    if value == 0:
        return "0"
    decimals = digits - 1 - floor(log10(abs(value)))
    rounded = round(value, decimals)
    decimals = digits - 1 - floor(log10(abs(rounded)))  # 9.996 is 10.0
    return f"{rounded:,.{max(0, decimals)}f}"


def human(value: float, _: int = 0) -> str:
    """Write 1,500,000 as 1.5M; the second argument is the position that matplotlib's formatters get."""
    unit = next((unit for unit in COUNTS if abs(value) >= unit.factor), COUNTS[-1])
    return f"{value / unit.factor:g}{unit.name if unit.factor > 1 else ''}"

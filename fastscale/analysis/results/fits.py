"""Straight lines through measurements, by least squares."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """A line y = slope x + intercept by least squares, with Pearson's correlation of its n points."""

    slope: float
    intercept: float
    correlation: float
    n: int

    def at(self, x: float) -> float:
        """Return the line's y at `x`."""
        return self.slope * x + self.intercept


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Fit a line; None for fewer than three points, or where all x or all y are equal."""
    n = len(x)
    if n < 3:
        return None
    mean_x, mean_y = math.fsum(x) / n, math.fsum(y) / n
    xx = math.fsum((a - mean_x) ** 2 for a in x)
    yy = math.fsum((b - mean_y) ** 2 for b in y)
    xy = math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    if xx == 0 or yy == 0:
        return None
    return Line(xy / xx, mean_y - xy / xx * mean_x, xy / math.sqrt(xx * yy), n)

"""A panel of a figure: curves, their base, published numbers, fitted lines and a Pareto front, on two quantities."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes

from fastscale.analysis.figures.quantities import Quantity, Value
from fastscale.analysis.rendering import axes as shared
from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.units import human
from fastscale.analysis.results.fits import Line, fit_line
from fastscale.analysis.results.published import published
from fastscale.analysis.results.results import Row

FEWEST = 3  # points of a panel that is worth its place
LAST = ("base", "published", "Pareto front")  # in legends
Pair = tuple[Value, Value]


def measured(rows: Iterable[Row], x: Quantity, y: Quantity) -> list[tuple[Row, Pair]]:
    """List the rows that have values on both axes, with these values."""
    values = ((row, x.ours(row), y.ours(row)) for row in rows)
    return [(row, (at_x, at_y)) for row, at_x, at_y in values if at_x and at_y]


def printed(rows: Iterable[Row], x: Quantity, y: Quantity) -> list[tuple[float, float]]:
    """List the paper's values on both axes for the networks of rows, each once."""
    papers = (paper for row in rows if (paper := published(row.point.network)))
    pairs = ((x.published(paper), y.published(paper)) for paper in papers)
    return list(dict.fromkeys((a, b) for a, b in pairs if a is not None and b is not None))


@dataclass(frozen=True)
class Panel:
    """Axes on which `x` and `y` are drawn; `linear` axes begin at 0.

    `lines` collects the fitted lines, by the name of what is fitted.
    """

    axes: Axes
    x: Quantity
    y: Quantity
    linear: bool = False
    lines: dict[str, Line | None] = field(default_factory=dict)

    def curve(self, rows: Iterable[Row], look: style.Look, label: str, base: Row | None = None) -> None:
        """Draw the points of a curve by the quantity on the x axis, with their bars; `base` has no marker here."""
        pairs = sorted(measured(rows, self.x, self.y), key=lambda item: item[1])
        if not pairs:
            return
        xs, ys = ([pair[i].at for _, pair in pairs] for i in (0, 1))
        shown = [i for i, (row, _) in enumerate(pairs) if row != base]
        self.axes.plot(xs, ys, **look(label=label, markevery=shown))
        self._bars([pairs[i][1] for i in shown], look.color)

    def bases(self, rows: Iterable[Row]) -> None:
        """Draw the bases of curves, in the look that all bases share."""
        if pairs := [pair for _, pair in measured(rows, self.x, self.y)]:
            xs, ys = ([pair[i].at for pair in pairs] for i in (0, 1))
            self.axes.plot(xs, ys, **style.BASE(label="base", zorder=3))
            self._bars(pairs, style.BASE.color)

    def published(self, rows: Iterable[Row]) -> None:
        """Draw the paper's numbers for the networks of rows."""
        if pairs := printed(rows, self.x, self.y):
            self.axes.plot(*zip(*pairs, strict=True), **style.PUBLISHED, zorder=4)

    def fit(
        self, rows: Sequence[Row], name: str, look: style.Look, is_drawn: bool = True, label: str | None = None
    ) -> None:
        """Fit a line to the points of rows; draw it over their range, with a label if it is no curve's."""
        pairs = [pair for _, pair in measured(rows, self.x, self.y)]
        line = self.lines[name] = fit_line([x.at for x, _ in pairs], [y.at for _, y in pairs])
        if line and is_drawn:
            ends = [f(x.at for x, _ in pairs) for f in (min, max)]
            self.axes.plot(ends, [line.at(x) for x in ends], **look(marker="", linewidth=1, zorder=1, label=label))

    def front(self, rows: Iterable[Row]) -> None:
        """Draw the Pareto front: the networks for which no other has less of both quantities."""
        best: list[tuple[float, float]] = []
        for x, y in sorted((x.at, y.at) for x, y in (pair for _, pair in measured(rows, self.x, self.y))):
            if not best or y < best[-1][1]:
                best.append((x, y))
        if best:
            self.axes.plot(*zip(*best, strict=True), **style.FRONT)

    def finish(self, index: int, title: str) -> None:
        """Give the panel its letter, title, labels and ticks, and beside it the correlations of its fits."""
        shared.finish(self.axes, index, title, self.x.label.replace("\n", " "), self.y.label)
        for axis, quantity in ((self.axes.xaxis, self.x), (self.axes.yaxis, self.y)):
            write = shared.plain if quantity.name == "time" else human
            if quantity.is_log:
                (shared.linear_axis if self.linear else shared.log_axis)(axis, write)
        if self.lines:
            shared.legend_beside(self.axes, self._correlations(), "correlation (n)")

    def _correlations(self) -> Mapping[str, object]:
        handles = shared.entries([self.axes], LAST)
        lines = {name: f" {line.correlation:.2f} ({line.n})" if line else "" for name, line in self.lines.items()}
        return {f"{label}{lines.get(label, '')}": handle for label, handle in handles.items()}

    def _bars(self, pairs: Sequence[Pair], color: str) -> None:
        """Draw the bars of points in both directions, where there is anything to draw."""
        bars: dict[str, Any] = {}
        for name, values in zip(("xerr", "yerr"), zip(*pairs, strict=True), strict=False):
            if any(value.below or value.above for value in values):
                bars[name] = [[value.below for value in values], [value.above for value in values]]
        if bars:
            xs, ys = ([pair[i].at for pair in pairs] for i in (0, 1))
            self.axes.errorbar(xs, ys, **bars, ecolor=color, zorder=2, **style.BARS)

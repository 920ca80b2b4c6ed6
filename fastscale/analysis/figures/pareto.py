"""Error against runtime for each base: a curve per strategy, and the Pareto fronts of all networks and of budgets."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.axes import entries, finish, legend_above, log_axis, plain
from fastscale.analysis.rendering.cells import flops_cell
from fastscale.analysis.rendering.units import TIMES, unit_of
from fastscale.analysis.results.budget import Budget, Curves
from fastscale.analysis.results.results import Results
from fastscale.sweep.sweep import Sweep

COLUMNS = 2
BARS = "Bars: 95 % intervals, of errors by the spread of trials, of times by that of rounds (pooled over the sweep)."
POINTS: dict[str, Any] = {"capsize": 2, "elinewidth": 0.8}


class Place(NamedTuple):
    """A network's place: seconds of an epoch and error, with what its bars reach down and up, and to either side."""

    seconds: float
    seconds_bars: tuple[float, float]
    error: float
    bar: float
    is_base: bool


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a panel for each base that several strategies scale."""
    curves = Curves(results)
    budgets = curves.budgets()
    bases = list(dict.fromkeys(budget.base for budget in budgets))
    columns = max(1, min(COLUMNS, len(bases)))
    drawn, panels = style.panels(max(1, math.ceil(len(bases) / columns)), columns)
    if not bases:
        _say(panels[0], "no base has several strategies")
    for index, (axes, base) in enumerate(zip(panels, bases, strict=False)):
        _panel(axes, index, curves, base, [budget for budget in budgets if budget.base == base])
    for axes in panels[max(1, len(bases)) :]:
        axes.remove()
    legend_above(drawn, entries(drawn.axes, ("base", "Pareto front")))
    style.add_footer(drawn, BARS)
    return drawn


def _panel(axes: Axes, index: int, curves: Curves, base: str, budgets: Sequence[Budget]) -> None:
    """Draw a base's curves in one unit of time, its front and its lines of equal flops."""
    results = curves.results
    places = {strategy: _places(curves, base, strategy) for strategy in results.strategies}
    everything = [place for listed in places.values() for place in listed]
    unit = unit_of((place.seconds for place in everything), TIMES)
    finish(axes, index, base, f"{results.epoch.words} ({unit.name})", "top-1 error (%)")
    axes.margins(x=0.12)
    if not everything:
        _say(axes, "not measured")
        return
    per_unit = unit.factor
    for strategy, listed in places.items():
        if listed:
            xs, ys = [place.seconds / per_unit for place in listed], [place.error for place in listed]
            look = style.look_of(strategy, results.strategies)(label=strategy, **POINTS)
            scaled = (int(listed[0].is_base), 1)  # the base stands on every curve, and is drawn once
            sides = [[place.seconds_bars[side] / per_unit for place in listed] for side in (0, 1)]
            axes.errorbar(xs, ys, [place.bar for place in listed], sides, **look, markevery=scaled, errorevery=scaled)
    for place in dict.fromkeys(place for place in everything if place.is_base):
        look = style.BASE(label="base", **POINTS)
        axes.errorbar([place.seconds / per_unit], [place.error], [place.bar], **look)
    _front(axes, everything, per_unit)
    for budget in budgets:
        _equal_flops(axes, budget, per_unit)
    log_axis(axes.xaxis, plain)


def _places(curves: Curves, base: str, strategy: str) -> list[Place]:
    """Find the places of the networks of a base by a strategy, by increasing flops."""
    places = []
    for row in curves.results.select(base, strategy):
        offer = curves.offer(base, strategy, row.flops)
        if offer.error and offer.seconds:
            low, high = offer.seconds_interval or (offer.seconds, offer.seconds)
            sides = offer.seconds - low, high - offer.seconds
            places.append(Place(offer.seconds, sides, offer.error.value, offer.half_width or 0.0, row.is_base))
    return places


def _front(axes: Axes, places: Iterable[Place], per_unit: float) -> None:
    """Draw the Pareto front as steps: the lowest error of all networks that take at most so long."""
    front: list[Place] = []
    for place in sorted(places, key=lambda place: (place.seconds, place.error)):
        if not front or place.error < front[-1].error:
            front.append(place)
    xs, ys = [place.seconds / per_unit for place in front], [place.error for place in front]
    axes.plot(xs, ys, **style.FRONT)


def _equal_flops(axes: Axes, budget: Budget, per_unit: float) -> None:
    """Join the strategies on the front of a budget by a dotted line, the fastest first, and name the budget."""
    front = [offer for offer in budget.judged if budget.front(offer) == "yes"]
    known = sorted((offer.seconds / per_unit, offer.error.value) for offer in front if offer.seconds and offer.error)
    if known:
        xs, ys = zip(*known, strict=True)
        axes.plot(xs, ys, color="0.2", linestyle=":", linewidth=1.4, zorder=3)
        at: dict[str, Any] = {"textcoords": "offset points", "fontsize": 6.5, "color": "0.2"}
        axes.annotate(flops_cell(budget.flops), (xs[0], ys[0]), (-4, -9), ha="right", **at)


def _say(axes: Axes, words: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="0.35")

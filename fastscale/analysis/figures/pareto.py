"""Error against runtime for each base: a curve per strategy, and the Pareto fronts of all networks and of budgets."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastscale.analysis.figures.curves import log_axis
from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.cells import flops_cell, time_unit
from fastscale.analysis.results.budget import Budget, Readings
from fastscale.analysis.results.results import Results
from fastscale.sweep.sweep import Sweep

COLUMNS = 2


class Place(NamedTuple):
    """A network's place: the seconds of an epoch and its error, with half the widths of their 95 % intervals."""

    seconds: float
    seconds_bar: float
    error: float
    bar: float
    is_base: bool


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a panel for each base that several strategies scale."""
    readings = Readings(results)
    budgets = readings.budgets()
    bases = list(dict.fromkeys(budget.base for budget in budgets))
    columns = max(1, min(COLUMNS, len(bases)))
    drawn, panels = style.panels(max(1, math.ceil(len(bases) / columns)), columns)
    if not bases:
        _say(panels[0], "no base has several strategies")
    for axes, base in zip(panels, bases, strict=False):
        _panel(axes, readings, base, [budget for budget in budgets if budget.base == base])
    for axes in panels[max(1, len(bases)) :]:
        axes.remove()
    once = {
        label: handle for axes in drawn.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if once:
        drawn.legend(list(once.values()), list(once), loc="outside upper center", ncols=min(6, len(once)))
    return drawn


def _panel(axes: Axes, readings: Readings, base: str, budgets: Sequence[Budget]) -> None:
    """Draw a base's curves in one unit of time, its front and its lines of equal flops."""
    results = readings.results
    places = {strategy: _places(readings, base, strategy) for strategy in results.strategies}
    everything = [place for listed in places.values() for place in listed]
    axes.set(title=base, ylabel="top-1 error (%)", xmargin=0.12)
    if not everything:
        _say(axes, "not measured")
        return
    unit, per_unit = time_unit(place.seconds for place in everything)
    for strategy, listed in places.items():
        if listed:
            xs, ys = [place.seconds / per_unit for place in listed], [place.error for place in listed]
            look = style.look_of(strategy, results.strategies)(label=strategy, **style.BARS)
            scaled = (int(listed[0].is_base), 1)  # the base stands on every curve, and is drawn once
            bars = [place.bar for place in listed], [place.seconds_bar / per_unit for place in listed]
            axes.errorbar(xs, ys, *bars, **look, markevery=scaled, errorevery=scaled)
    for place in dict.fromkeys(place for place in everything if place.is_base):
        look = style.Look("0.2", "o", "")(label="base", **style.BARS)
        axes.errorbar([place.seconds / per_unit], [place.error], [place.bar], **look)
    _front(axes, everything, per_unit)
    for budget in budgets:
        _equal_flops(axes, budget, per_unit)
    axes.set_xlabel(f"{results.epoch.words} ({unit})")
    log_axis(axes.xaxis)


def _places(readings: Readings, base: str, strategy: str) -> list[Place]:
    """Find the places of the networks of a base by a strategy, by increasing flops."""
    places = []
    for row in readings.results.select(base, strategy):
        offer = readings.offer(base, strategy, row.flops)
        if offer.error is not None and offer.seconds:
            bars = offer.seconds_half_width or 0.0, offer.half_width or 0.0
            places.append(Place(offer.seconds, bars[0], offer.error, bars[1], row.is_base))
    return places


def _front(axes: Axes, places: Iterable[Place], per_unit: float) -> None:
    """Draw the Pareto front as steps: the lowest error of all networks that take at most so long."""
    front: list[Place] = []
    for place in sorted(places, key=lambda place: (place.seconds, place.error)):
        if not front or place.error < front[-1].error:
            front.append(place)
    xs, ys = [place.seconds / per_unit for place in front], [place.error for place in front]
    axes.step(xs, ys, where="post", color="0.86", linewidth=4, zorder=0, label="Pareto front")


def _equal_flops(axes: Axes, budget: Budget, per_unit: float) -> None:
    """Join the strategies on the front of a budget by a dotted line, the fastest first, and name the budget."""
    front = [offer for offer in budget.judged if budget.front(offer) == "yes"]
    known = sorted((offer.seconds / per_unit, offer.error) for offer in front if offer.seconds and offer.error)
    if known:
        xs, ys = zip(*known, strict=True)
        axes.plot(xs, ys, color="0.2", linestyle=":", linewidth=1.4, zorder=3)
        at = {"textcoords": "offset points", "fontsize": 6.5, "color": "0.2"}
        axes.annotate(flops_cell(budget.flops), (xs[0], ys[0]), (-4, -9), ha="right", **at)


def _say(axes: Axes, words: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", color="0.35")

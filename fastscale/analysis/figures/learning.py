"""Learning curves: the validation error of each network by epoch."""

import csv
import math
import statistics
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastscale.analysis.rendering import axes as shared
from fastscale.analysis.rendering import style
from fastscale.analysis.results.results import Results
from fastscale.sweep.selection import Curve, Point
from fastscale.sweep.sweep import Sweep

SIZE = (2.9, 2.3)  # of a panel, in inches
COLUMNS = 4  # at most
START = style.BASE._replace(color="#999999", linestyle="-")  # the base's own curve
Lines = dict[str, tuple[style.Look, Point]]  # the points of a panel by their label


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a panel per base and scale: top-1 error by epoch, for each strategy by the schedule that figures show.

    A line is the mean over trials, and its band goes from the least to the most. Each panel shows its base too.
    """
    panels: dict[tuple[str, float, str], Lines] = {}
    trained = {row.point for row in results.rows if results.error(row)}
    for curve in (curve for curve in results.curves if curve.strategy != "base"):
        for point, of_series in style.looks([point for point in curve.points[1:] if point in trained]):
            place = curve.base, *_place(curve, point)
            lines = panels.setdefault(place, {"base": (START, curve.points[0])})
            if point.scale == 1:
                lines[point.base] = of_series, point
            else:
                lines[curve.strategy] = style.look_of(curve.strategy, results.strategies), point
    per_base = [sorted(key for key in panels if key[0] == base) for base in dict.fromkeys(base for base, *_ in panels)]
    columns = max(1, min(COLUMNS, max(map(len, per_base), default=1)))
    drawing, all_axes = style.panels(-(-len(panels) // columns) or 1, columns, SIZE)
    for axes in all_axes[len(panels) :]:
        axes.remove()
    for i, (axes, key) in enumerate(zip(all_axes, (key for keys in per_base for key in keys), strict=False)):
        for label, (look, point) in panels[key].items():
            _draw(axes, [*_errors(sweep, point)], look, label)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        shared.finish(axes, i, f"{key[0]}, {key[2]}", "epoch", "top-1 error (%)")
    shared.legend_above(drawing, shared.entries(all_axes, ("base",)))
    style.add_footer(drawing, f"Schedule {sweep.schedule}. Lines: mean over trials; bands: from the least to the most.")
    return drawing


def _place(curve: Curve, point: Point) -> tuple[float, str]:
    """Say which panel of its base shows a point: that of its scale; networks with names, as B1 of B0, have the last."""
    return (point.scale, f"s = {point.scale:g}") if point.scale != 1 else (math.inf, curve.strategy)


def _draw(axes: Axes, trials: Sequence[Sequence[float]], look: style.Look, label: str) -> None:
    """Draw the mean over trials by epoch, and a band from the least to the most."""
    if not trials:
        return
    by_epoch = [*zip(*trials, strict=False)]
    epochs = range(1, len(by_epoch) + 1)
    axes.plot(epochs, [statistics.fmean(errors) for errors in by_epoch], **look(marker="", linewidth=1.2, label=label))
    if len(trials) > 1:
        low, high = ([f(errors) for errors in by_epoch] for f in (min, max))
        axes.fill_between(epochs, low, high, color=look.color, alpha=0.1, linewidth=0)


def _errors(sweep: Sweep, point: Point) -> Iterator[list[float]]:
    """Yield the errors after each epoch, for each trial that has ended: the log of one that still runs is shorter."""
    for trial in sweep.trials:
        record = sweep.train_record(point.network.id, sweep.schedule, trial)
        log = record.with_suffix(".csv")
        if record.exists() and log.exists():
            with log.open() as rows:
                yield [float(row["top1_error"]) for row in csv.DictReader(rows) if row["top1_error"]]

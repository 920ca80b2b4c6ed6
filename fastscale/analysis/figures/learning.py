"""Learning curves: the validation error of each training by epoch."""

import csv
from collections.abc import Iterator

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastscale.analysis.rendering import style
from fastscale.analysis.results.results import Results
from fastscale.sweep.selection import Point
from fastscale.sweep.sweep import Sweep


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a panel per base: top-1 error by epoch, a line per training by the schedule that figures show."""
    curves = [curve for curve in results.curves if curve.strategy != "base"]
    bases = list(dict.fromkeys(curve.base for curve in curves))
    columns = max(1, min(3, len(bases)))
    drawing, panels = style.panels(-(-len(bases) // columns) or 1, columns)
    for axes in panels[len(bases) :]:
        axes.remove()
    for axes, base in zip(panels, bases, strict=False):
        drawn = set()
        for curve in (curve for curve in curves if curve.base == base):
            look = style.look_of(curve.strategy, results.strategies)
            for point in (point for point in curve.points[1:] if point not in drawn):
                for errors in _errors(sweep, point):
                    epochs = range(1, len(errors) + 1)
                    axes.plot(epochs, errors, **look(marker="", linewidth=0.8, label=curve.strategy))
            drawn |= set(curve.points[1:])
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axes.legend(once.values(), once.keys(), ncols=2)
        axes.set(title=base, xlabel="epoch", ylabel="top-1 error (%)")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return drawing


def _errors(sweep: Sweep, point: Point) -> Iterator[list[float]]:
    """Yield the errors after each epoch, for each trial that has a log."""
    for trial in sweep.trials:
        log = sweep.train_record(point.network.id, sweep.schedule, trial).with_suffix(".csv")
        if log.exists():
            with log.open() as rows:
                yield [float(row["top1_error"]) for row in csv.DictReader(rows) if row["top1_error"]]

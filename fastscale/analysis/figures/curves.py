"""Figures 1, 2 and 4 to 12 of the paper, from records: ours as solid markers, published numbers as hollow ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fastscale.analysis.rendering import style
from fastscale.analysis.results.fits import Line, fit_line
from fastscale.analysis.results.published import Published, published
from fastscale.analysis.results.results import Results, Row
from fastscale.sweep.sweep import Sweep

SI = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
CORRELATION = " (correlation "  # after the name in a label


@dataclass(frozen=True)
class Quantity:
    """A quantity on an axis: its label, its value for a row and for a published network, whether the axis is log."""

    label: str
    ours: Callable[[Results, Row], float | None]
    published: Callable[[Results, Published], float | None]
    log: bool = True


def _error(results: Results, row: Row) -> float | None:
    error = results.error(row)
    return error.mean if error else None


QUANTITIES = {
    "flops": Quantity("flops", lambda _, row: row.flops, lambda _, paper: paper.flops),
    "params": Quantity("params", lambda _, row: row.params, lambda _, paper: paper.params),
    "acts": Quantity("activations", lambda _, row: row.acts, lambda _, paper: paper.acts),
    "time": Quantity(
        "epoch time (minutes)", lambda _, row: row.time.seconds / 60 if row.time else None, lambda _, paper: paper.time
    ),
    "error": Quantity(
        "top-1 error (%)", _error, lambda results, paper: paper.errors.get(results.schedule, (None,))[0], log=False
    ),
}

# The panels of each figure, row by row: (base, x, y). A panel shows a curve per strategy of its base; where the base is
# None, it shows all curves of the figure.
Panel = tuple[str | None, str, str]
LAYOUTS: dict[str, Callable[[list[str]], list[list[Panel]]]] = {
    "fig1": lambda bases: [
        [(base, "flops", "error") for base in bases[:2]],
        [(bases[0], "flops", y) for y in ("acts", "time")[: len(bases)]],
    ],
    "fig4": lambda bases: [[(bases[0], "flops", "error"), (bases[0], "flops", "time")]],
    "fig5": lambda bases: [[(base, "flops", "error") for base in bases]],
    "fig6": lambda bases: [[(bases[0], "flops", "error"), (bases[0], "flops", "time")]],
    "fig7": lambda bases: [[(base, "flops", "error") for base in bases]],
    "fig8": lambda _: [[(None, "flops", "error"), (None, "flops", "time")]],
    "fig9": lambda _: [[(None, "time", "error"), (None, "acts", "time")]],
    "fig10": lambda _: [[(None, "flops", "error")]],
    "fig11": lambda bases: [[(base, "flops", y) for base in bases] for y in ("acts", "time")],
    "fig12": lambda bases: [[(base, "flops", y) for base in bases] for y in ("acts", "time")],
}


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a figure of the paper by its layout, without the panels that show errors if the sweep trains nothing."""
    if not results.rows:  # all its bases wait for a search
        return style.panels(1, 1)[0]
    layout = LAYOUTS[artefact](results.bases)
    if not sweep.config["train"]:
        layout = [timed for row in layout if (timed := [panel for panel in row if "error" not in panel])]
    drawn, panels = style.panels(len(layout), len(layout[0]))
    for axes, (base, x, y) in zip(panels, (panel for row in layout for panel in row), strict=True):
        if base is None:
            by_curve(axes, results, x, y, fits=y == "time" and x == "acts")
        else:
            by_strategy(axes, results, base, x, y)
    share_legend(drawn)
    return drawn


def fig2(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw runtime against flops, params and activations for the first base, and against activations for all bases."""
    figure, (by_flops, by_params, by_acts, all_acts) = style.panels(2, 2)
    first = results.bases[0]
    for axes, count in ((by_flops, "flops"), (by_params, "params"), (by_acts, "acts")):
        for strategy in results.strategies:
            look, rows = style.look_of(strategy, results.strategies), results.select(first, strategy)
            line = regression(rows, count)
            series(axes, results, rows, count, "time", look._replace(linestyle=""), strategy + _correlation(line))
            if count == "flops":
                draw_line(axes, line, rows, count, look)
        overall = regression(results.select(first), count)
        draw_line(axes, overall, results.select(first), count, style.Look("0.4", "", ":"))
        finish(axes, f"{first}: all strategies{_correlation(overall)}", count, "time", linear=True)
    for base, look in zip(results.bases, style.SERIES, strict=False):
        rows = results.select(base)
        line = regression(rows, "acts")
        series(all_acts, results, rows, "acts", "time", look._replace(linestyle=""), base + _correlation(line))
        draw_line(all_acts, line, rows, "acts", look)
    finish(all_acts, f"all bases{_correlation(regression(results.rows, 'acts'))}", "acts", "time", linear=True)
    return figure


def by_strategy(axes: Axes, results: Results, base: str, x: str, y: str) -> None:
    """Draw a curve per strategy of a base; each begins at the base."""
    for strategy in dict.fromkeys(curve.strategy for curve in results.curves if curve.base == base):
        look = style.look_of(strategy, results.strategies)
        series(axes, results, results.select(base, strategy), x, y, look, strategy)
    finish(axes, base, x, y)


def by_curve(axes: Axes, results: Results, x: str, y: str, fits: bool = False) -> None:
    """Draw a curve per base and strategy of the figure; with `fits`, draw its points and a line fitted to them."""
    one_strategy = len(results.strategies) == 1
    for curve, look in zip(results.curves, style.SERIES, strict=False):
        rows = results.select(curve.base, curve.strategy)
        label = curve.base if one_strategy else f"{curve.base} {curve.strategy}"
        if fits:
            line = regression(rows, x)
            draw_line(axes, line, rows, x, look)
            series(axes, results, rows, x, y, look._replace(linestyle=""), label + _correlation(line))
        else:
            series(axes, results, rows, x, y, look, label)
    finish(axes, QUANTITIES[y].label.split(" (")[0].replace("epoch time", "runtime"), x, y, linear=fits)


def series(axes: Axes, results: Results, rows: Sequence[Row], x: str, y: str, look: style.Look, label: str) -> None:
    """Draw our points and, as hollow markers of the same look, the published ones.

    Bars on our errors are their standard deviation over trials.
    """
    to_x, to_y = QUANTITIES[x], QUANTITIES[y]
    pairs = [(to_x.ours(results, row), to_y.ours(results, row), row) for row in rows]
    known = [(a, b, row) for a, b, row in pairs if a is not None and b is not None]
    if known:
        stds = [(e.std or 0) if y == "error" and (e := results.error(row)) else 0 for _, _, row in known]
        bars = stds if any(stds) else None
        xs, ys, _ = zip(*known, strict=True)
        axes.errorbar(xs, ys, bars, **look(label=label, **style.BARS))
    papers = [paper for row in rows if (paper := published(row.point.network))]
    printed = [(to_x.published(results, paper), to_y.published(results, paper)) for paper in papers]
    if hollow := [(a, b) for a, b in printed if a is not None and b is not None]:
        name = "published" if known else f"{label}, published"
        axes.plot(*zip(*hollow, strict=True), **look(label=name, linestyle="", **style.HOLLOW))


def regression(rows: Sequence[Row], count: str) -> Line | None:
    """Fit a line to epoch time (minutes) by a count."""
    timed = [(getattr(row, count), row.time.seconds / 60) for row in rows if row.time]
    return fit_line([x for x, _ in timed], [minutes for _, minutes in timed])


def draw_line(axes: Axes, line: Line | None, rows: Sequence[Row], count: str, look: style.Look) -> None:
    """Draw a fitted line over the range of its points."""
    if line:
        ends = [f(getattr(row, count) for row in rows if row.time) for f in (min, max)]
        axes.plot(ends, [line.at(x) for x in ends], **look(marker="", linewidth=1, zorder=1))


def finish(axes: Axes, title: str, x: str, y: str, linear: bool = False) -> None:
    """Add title, labels, readable ticks and a legend that names each thing once; a panel without data says so."""
    axes.set(title=title, xlabel=QUANTITIES[x].label, ylabel=QUANTITIES[y].label)
    if not axes.get_legend_handles_labels()[1]:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="0.35")
        return
    for axis, quantity in ((axes.xaxis, QUANTITIES[x]), (axes.yaxis, QUANTITIES[y])):
        if quantity.log and not linear:
            log_axis(axis)
        elif quantity.log:
            axis.set_major_formatter(FuncFormatter(human))
    if linear:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    axes.legend(**_named_once(axes))


def share_legend(figure: Figure) -> None:
    """Replace the legends of panels that name the same things by one legend.

    The one legend stands above the panels. Where the labels of some panels also give correlations, these panels keep
    their legends in its place, and the other panels have none.
    """
    legends = {axes: _named_once(axes) for axes in figure.axes if axes.get_legend()}
    plain = {axes: [label.split(CORRELATION)[0] for label in legend["labels"]] for axes, legend in legends.items()}
    if len({*map(tuple, plain.values())}) != 1 or len(legends) == 1:
        return
    dispensable = [axes for axes, legend in legends.items() if legend["labels"] == plain[axes]]
    for axes in dispensable:
        if drawn := axes.get_legend():
            drawn.remove()
    if len(dispensable) == len(legends):
        shown = legends[dispensable[0]]
        figure.legend(**shown, loc="outside upper center", ncols=min(6, len(shown["labels"])))


def _named_once(axes: Axes) -> dict[str, list[Any]]:
    """Return the entries of a legend: each name once, the published ones last."""
    handles, labels = axes.get_legend_handles_labels()
    once = dict(sorted(zip(labels, handles, strict=True), key=lambda named: named[0] == "published"))
    return {"handles": list(once.values()), "labels": list(once)}


def log_axis(axis: Any) -> None:
    """Make an axis logarithmic, with readable ticks: at powers of ten, on a short axis at 2 and 5 times them too."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axis.set_major_formatter(FuncFormatter(human))
    axis.set_minor_formatter(NullFormatter())


def human(value: float, _: int = 0) -> str:
    """Write 1,500,000 as 1.5M."""
    factor, unit = next(((f, u) for f, u in SI if abs(value) >= f), (1, ""))
    return f"{value / factor:g}{unit}"


def _correlation(line: Line | None) -> str:
    return f"{CORRELATION}{line.correlation:.2f})" if line else ""

"""Figures 1, 2 and 4 to 12 of the paper, from records: ours as solid markers, published numbers as hollow ones."""

from collections.abc import Callable, Iterator

from matplotlib.figure import Figure

from fastscale.analysis.figures.panel import FEWEST, LAST, Panel, measured, printed
from fastscale.analysis.figures.quantities import meaning, quantities
from fastscale.analysis.rendering import style
from fastscale.analysis.rendering.axes import entries, legend_above
from fastscale.analysis.rendering.units import COUNTS, unit_of
from fastscale.analysis.results.results import Results, Row
from fastscale.networks import known_bases
from fastscale.sweep.sweep import Sweep

# The panels of each figure, row by row: (base, x, y). A panel shows a curve per strategy of its base; where the base is
# None, it shows all curves of the figure.
Place = tuple[str | None, str, str]
LAYOUTS: dict[str, Callable[[list[str]], list[list[Place]]]] = {
    "fig1": lambda bases: [
        [(base, "flops", "error") for base in bases[:2]],
        [(bases[0], "flops", y) for y in ("acts", "time")],
    ],
    "fig4": lambda bases: [[(bases[0], "flops", "error"), (bases[0], "flops", "time")]],
    "fig5": lambda bases: [[(base, "flops", "error") for base in bases]],
    "fig6": lambda bases: [[(bases[0], "flops", "error"), (bases[0], "flops", "time")]],
    "fig7": lambda bases: [[(base, "flops", "error") for base in bases]],
    "fig8": lambda _: [[(None, "flops", "error"), (None, "flops", "time")]],
    "fig9": lambda _: [[(None, "time", "error"), (None, "acts", "time")]],
    "fig10": lambda _: [[(None, "flops", "error"), (None, "flops", "time")]],
    "fig11": lambda bases: [[(base, "flops", y) for base in bases] for y in ("acts", "time")],
    "fig12": lambda bases: [[(base, "flops", y) for base in bases] for y in ("acts", "time")],
}


def figure(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw a figure of the paper by its layout, without the panels that would have fewer than three points.

    A sweep that trains nothing has no panels of errors.
    """
    known = quantities(sweep, results)

    def is_worth_it(place: Place) -> bool:
        base, x, y = place
        rows = results.select(base) if base else results.rows
        ours = {(a.at, b.at) for _, (a, b) in measured(rows, known[x], known[y])}
        return bool(ours) and len(ours | {*printed(rows, known[x], known[y])}) >= FEWEST

    layout = [[*filter(is_worth_it, row)] for row in LAYOUTS[artefact](results.bases)] if results.bases else []
    layout = [row for row in layout if row]
    if not layout:
        return _nothing()
    columns = max(map(len, layout))
    has_fits = any(base is None and (x, y) == ("acts", "time") for row in layout for base, x, y in row)
    drawn, all_axes = style.panels(len(layout), columns, style.WITH_LEGEND if has_fits else style.PANEL)
    panels: list[Panel] = []
    for i, axes in enumerate(all_axes):
        if i % columns >= len(layout[i // columns]):
            axes.remove()
            continue
        base, x, y = layout[i // columns][i % columns]
        panel = Panel(axes, known[x], known[y], linear=base is None and (x, y) == ("acts", "time"))
        title = by_strategy(panel, results, base) if base else by_curve(panel, results)
        panel.finish(len(panels), title)
        panels.append(panel)
    _explain(drawn, panels, sweep, results)
    return drawn


def fig2(sweep: Sweep, artefact: str, results: Results) -> Figure:
    """Draw runtime against flops, params and activations for the first base, and against activations for all bases."""
    known = quantities(sweep, results)
    if not any(row.time for row in results.rows):
        return _nothing()
    drawn, all_axes = style.panels(2, 2, style.WITH_LEGEND)
    counts, first = ("flops", "params", "acts", "acts"), results.bases[0]
    panels = [Panel(axes, known[count], known["time"], True) for axes, count in zip(all_axes, counts, strict=True)]
    for panel in panels[:3]:
        for strategy in results.strategies:
            rows, look = results.select(first, strategy), style.look_of(strategy, results.strategies)
            panel.curve(rows, look._replace(linestyle=""), strategy, base_of(results, first, strategy))
            panel.fit(rows, strategy, look, is_drawn=panel.x.name == "flops")
        panel.bases(bases_of(results, first))
    for base, look in style.looks(results.bases):
        panels[3].curve(results.select(base), look._replace(linestyle=""), base)
        panels[3].fit(results.select(base), base, look)
    for index, panel in enumerate(panels):
        of_all = index == 3
        rows = list(results.rows) if of_all else results.select(first)
        panel.fit(rows, "all", style.Look("0.4", "", ":"), label="all")
        panel.published(rows)
        panel.finish(index, f"{'all bases' if of_all else first}: time by {panel.x.name}")
    _explain(drawn, panels, sweep, results)
    return drawn


def by_strategy(panel: Panel, results: Results, base: str) -> str:
    """Draw a curve per strategy of a base, which begins at the base; return the panel's title."""
    for strategy in dict.fromkeys(curve.strategy for curve in results.curves if curve.base == base):
        look, rows = style.look_of(strategy, results.strategies), results.select(base, strategy)
        panel.curve(rows, look, strategy, base_of(results, base, strategy))
    panel.bases(bases_of(results, base))
    panel.published(results.select(base))
    return f"{base}: {panel.y.name}"


def by_curve(panel: Panel, results: Results) -> str:
    """Draw a curve per base and strategy of the figure, on linear axes with a fitted line; return the panel's title.

    A panel of error by time has the Pareto front too.
    """
    is_one = len(results.strategies) == 1
    for (base, strategy), look in style.looks(list(dict.fromkeys((c.base, c.strategy) for c in results.curves))):
        rows, name = results.select(base, strategy), base if is_one else f"{base} {strategy}"
        shown = look._replace(linestyle="") if panel.linear else look
        panel.curve(rows, shown, name, base_of(results, base, strategy))
        if panel.linear:
            panel.fit(rows, name, look)
    panel.bases(bases_of(results))
    panel.published(results.rows)
    if (panel.x.name, panel.y.name) == ("time", "error"):
        panel.front(results.rows)
    return f"{panel.y.name} by {panel.x.name}"


def bases_of(results: Results, base: str | None = None) -> list[Row]:
    """List the rows where the curves of the figure, or of one base, begin: each once."""
    starts = (curve.points[0] for curve in results.curves if base in (None, curve.base))
    return [results.row(point) for point in dict.fromkeys(starts)]


def base_of(results: Results, base: str, strategy: str) -> Row:
    """Return the row where a curve begins."""
    return next(
        results.row(curve.points[0]) for curve in results.curves if (curve.base, curve.strategy) == (base, strategy)
    )


def _explain(figure: Figure, panels: list[Panel], sweep: Sweep, results: Results) -> None:
    """Name the curves above the panels, and say in the footer what bars, published points and some bases are."""
    legend_above(figure, entries([panel.axes for panel in panels if not panel.lines], LAST))
    shown = {quantity.name for panel in panels for quantity in (panel.x, panel.y)}
    has_published = "published" in entries(figure.axes)
    style.add_footer(figure, "\n".join([meaning(results, shown, has_published), *_depthwise(sweep, results)]))


def _depthwise(sweep: Sweep, results: Results) -> Iterator[str]:
    """Say which bases are another one with depthwise convolutions, and what flops they have therefore."""
    definitions = {**known_bases(), **sweep.bases.definitions}
    for base in results.bases:
        if parent := definitions[base].get("depthwise"):
            flops = next(row.flops for row in results.select(base) if row.is_base)
            unit = unit_of([flops], COUNTS)
            yield f"{base} is {parent} with g = 1 and nothing else changed: {unit.write(flops)} {unit.name} flops."


def _nothing() -> Figure:
    """Draw a figure that says that nothing was measured, as where all bases wait for a search."""
    figure, (axes,) = style.panels(1, 1)
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", va="center", color="0.35")
    return figure

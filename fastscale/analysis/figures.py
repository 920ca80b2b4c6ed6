"""Figures 1, 2 and 6 of the paper, from records."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fastscale.analysis import style
from fastscale.analysis.fits import Line, fit_line
from fastscale.analysis.results import Results, Row
from fastscale.sweep import Sweep

Value = Callable[[Row], float | None]

UNITS = ((1e9, "B"), (1e6, "M"), (1e3, "K"), (1, ""))
LABELS = {"flops": "flops", "params": "params", "acts": "activations"}


def write(sweep: Sweep, artefact: str, results: Results) -> list[Path]:
    """Draw a figure and write it in each of its forms."""
    with style.styled():
        figure = {"fig1": fig1, "fig2": fig2, "fig6": fig6}[artefact](results)
        gaps = sorted(
            {f"{r.point.base} {r.point.strategy} {r.point.scale:g}: {n}" for r in results.rows for n in r.notes}
        )
        stale = f"{results.stale} records are older than the code" if results.stale else ""
        footer = [results.conditions, stale, f"gaps: {'; '.join(gaps)}" if gaps else ""]
        figure.supxlabel("\n".join(filter(None, footer)), fontsize=6, color="0.35")
        for path in sweep.artefacts[artefact]:
            style.save(figure, path)
    return list(sweep.artefacts[artefact])


def fig1(results: Results) -> Any:
    """Error of two bases under each strategy (top), activations and runtime of the first one (bottom)."""
    figure, (top_left, top_right, bottom_left, bottom_right) = style.panels(2, 2)
    first, *others = results.bases
    for axes, base in zip((top_left, top_right), (first, *others), strict=False):
        curves(axes, results, base, error, "top-1 error (%)", base, spread=True)
    curves(bottom_left, results, first, acts, "activations", f"{first}: activations", log=True)
    curves(bottom_right, results, first, minutes, "epoch time (minutes)", f"{first}: runtime", log=True)
    return figure


def fig2(results: Results) -> Any:
    """Runtime against flops, params and activations of the first base, and against activations for every base."""
    figure, (by_flops, by_params, by_acts, all_acts) = style.panels(2, 2)
    first = results.bases[0]
    for axes, measure in ((by_flops, "flops"), (by_params, "params"), (by_acts, "acts")):
        rows = [row for row in results.select(first) if row.time]
        for strategy in results.strategies:
            look = style.of_strategy(strategy, results.strategies)
            own = [row for row in results.select(first, strategy) if row.time]
            line = regression(own, measure)
            scatter(axes, own, measure, strategy + _r(line), look)
            if measure == "flops":
                draw(axes, line, own, measure, look)
        overall = regression(rows, measure)
        draw(axes, overall, rows, measure, style.Look("0.4", "", ":"))
        runtime_axes(axes, measure, f"{first}: all strategies{_r(overall)}")
    rows = [row for row in results.rows if row.time]
    for base, look in zip(results.bases, style.SERIES, strict=False):
        own = [row for row in results.select(base) if row.time]
        line = regression(own, "acts")
        scatter(all_acts, own, "acts", base + _r(line), look)
        draw(all_acts, line, own, "acts", look)
    runtime_axes(all_acts, "acts", f"all bases{_r(regression(rows, 'acts'))}")
    return figure


def fig6(results: Results) -> Any:
    """Error (left) and runtime (right) of a base under the family of strategies, by alpha."""
    figure, (left, right) = style.panels(1, 2)
    base = results.bases[0]
    curves(left, results, base, error, "top-1 error (%)", base, spread=True)
    curves(right, results, base, minutes, "epoch time (minutes)", f"{base}: runtime", log=True)
    return figure


def error(row: Row) -> float | None:
    """Mean top-1 error in percent."""
    return row.error.mean if row.error else None


def minutes(row: Row) -> float | None:
    """Median epoch time in minutes."""
    return row.time.median / 60 if row.time else None


def acts(row: Row) -> float:
    """Activations, elements."""
    return row.acts


def curves(
    axes: Axes,
    results: Results,
    base: str,
    value: Value,
    label: str,
    title: str,
    *,
    log: bool = False,
    spread: bool = False,
) -> None:
    """One curve for each strategy, from the base on, against the realised flops."""
    for strategy in results.strategies:
        rows = [row for row in results.select(base, strategy) if value(row) is not None]
        look = style.of_strategy(strategy, results.strategies)
        bars = [(row.error.std if row.error else None) or 0 for row in rows] if spread else None
        axes.errorbar(
            [row.flops for row in rows],
            [value(row) for row in rows],
            bars,
            **look(label=strategy, capsize=2, elinewidth=0.8),
        )
    axes.set(title=title, xlabel="flops", ylabel=label)
    log_axis(axes.xaxis, [row.flops for row in results.select(base)])
    if log:
        log_axis(axes.yaxis, [v for row in results.select(base) if (v := value(row)) is not None])
    axes.legend()


def scatter(axes: Axes, rows: Iterable[Row], measure: str, label: str, look: style.Look) -> None:
    """Epoch time against a measure."""
    rows = list(rows)
    axes.plot([getattr(r, measure) for r in rows], [minutes(r) for r in rows], **look(linestyle="", label=label))


def regression(rows: list[Row], measure: str) -> Line | None:
    """The line through epoch time (minutes) against a measure."""
    return fit_line([getattr(row, measure) for row in rows], [row.time.median / 60 for row in rows if row.time])


def draw(axes: Axes, line: Line | None, rows: list[Row], measure: str, look: style.Look) -> None:
    """A best-fit line over the range of its points."""
    if line:
        ends = [f([getattr(row, measure) for row in rows]) for f in (min, max)]
        axes.plot(ends, [line.at(x) for x in ends], **look(marker="", linewidth=1, zorder=1))


def runtime_axes(axes: Axes, measure: str, title: str) -> None:
    """Linear axes, as in the paper's Figure 2."""
    axes.set(title=title, xlabel=LABELS[measure], ylabel="epoch time (minutes)")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(FuncFormatter(human))
    axes.legend()


def log_axis(axis: Any, values: list[float]) -> None:
    """A log axis with ticks at 1, 2 and 5, in words."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    narrow = values and max(values) / min(values) < 100
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axis.set_major_formatter(FuncFormatter(human))
    axis.set_minor_formatter(NullFormatter())


def human(value: float, _: int = 0) -> str:
    """1.5M for 1,500,000."""
    factor, unit = next(((f, u) for f, u in UNITS if abs(value) >= f), (1, ""))
    return f"{value / factor:g}{unit}"


def _r(line: Line | None) -> str:
    return f" (r = {line.r:.2f})" if line else ""

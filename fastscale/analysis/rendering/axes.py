"""What the panels of figures share: letters, ticks that can be read, and legends that lie on no data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from string import ascii_lowercase
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullFormatter, NullLocator

Entries = Mapping[str, Any]  # of a legend: handles by label


def finish(axes: Axes, index: int, title: str, x: str, y: str) -> None:
    """Give a panel its letter, its title and the labels of its axes."""
    axes.set(xlabel=x, ylabel=y)
    letter = ascii_lowercase[index % 26]
    axes.set_title(f"({letter * (1 + index // 26)}) {title}", loc="left")


def log_axis(axis: Any, write: Callable[[float, int], str]) -> None:
    """Make an axis logarithmic, with three labelled ticks or more; `write` formats them."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    low, high = axis.get_view_interval()
    axis.set_major_locator(_locator(high / low))
    axis.set_major_formatter(FuncFormatter(write))
    axis.set_minor_formatter(NullFormatter())
    if high / low < 10:
        axis.set_minor_locator(NullLocator())


def _locator(span: float) -> Locator:
    """Choose the places of ticks on a logarithmic axis whose ends are a factor of `span` apart."""
    if span < 4:  # nearly linear
        return MaxNLocator(6, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3)
    multiples = ((10, (1, 1.5, 2, 3, 5, 7)), (100, (1, 2, 5)), (1000, (1, 3)))
    return LogLocator(subs=next((subs for limit, subs in multiples if span < limit), (1,)))


def linear_axis(axis: Any, write: Callable[[float, int], str]) -> None:
    """Let an axis begin at 0; `write` formats its ticks."""
    axis.axes.set(**{f"{axis.axis_name}lim": (0, None)})
    axis.set_major_formatter(FuncFormatter(write))


def plain(value: float, _: int = 0) -> str:
    """Write a tick as it is: 1,500 or 0.02."""
    return f"{value:,.10g}"


def entries(panels: Iterable[Axes], last: Sequence[str] = ()) -> Entries:
    """Return the entries of the legend of some panels: each label once, those of `last` at the end, in its order."""
    named: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    order = {label: i for i, label in enumerate(last, 1)}
    return {label: named[label] for label in sorted(named, key=lambda label: order.get(label, 0))}


def legend_above(figure: Figure, shown: Entries) -> None:
    """Name series above the panels, in as many columns as the figure is wide."""
    if shown:
        width = 0.6 + 0.065 * max(map(len, shown))  # of an entry, in inches
        rows = -(-len(shown) // max(1, int(figure.get_figwidth() / width)))
        columns = -(-len(shown) // rows)
        figure.legend(list(shown.values()), list(shown), loc="outside upper center", ncols=columns)


def legend_beside(axes: Axes, shown: Entries, title: str) -> None:
    """Name series to the right of a panel."""
    axes.legend(
        list(shown.values()),
        list(shown),
        title=title,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        alignment="left",
        borderaxespad=0,
    )

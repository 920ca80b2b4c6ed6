"""The one visual style: colours, markers and lines of strategies and bases, and how a figure becomes a file."""

import io
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from fastscale.records.files import replacing

PANEL = (3.6, 2.9)  # inches
BARS: dict[str, Any] = {"capsize": 2, "elinewidth": 0.8}  # of errors
HOLLOW: dict[str, Any] = {"markerfacecolor": "none", "markersize": 8, "markeredgewidth": 0.9}  # published numbers

SETTINGS: dict[RcKeyType, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "fastscale",  # else the SVG's ids are random
}


class Look(NamedTuple):
    """Told apart by colour (Okabe and Ito's, safe for colour-blind readers), marker and line alike."""

    color: str
    marker: str
    linestyle: str

    def __call__(self, **changes: Any) -> dict[str, Any]:
        """Keyword arguments of a plot."""
        return {**self._asdict(), **changes}


STRATEGIES = {
    "w": Look("#0072B2", "s", "-"),
    "dWr": Look("#D55E00", "o", "-"),
    "dwr": Look("#009E73", "^", "--"),
    "dw": Look("#CC79A7", "D", "-."),
    "d": Look("#56B4E9", "v", ":"),
    "r": Look("#E69F00", "P", ":"),
    "wr": Look("#F0E442", "X", "--"),
    "dr": Look("#666666", "<", "--"),
    "orig": Look("#000000", "*", "-."),
}
SERIES = [
    Look("#0072B2", "o", "-"),
    Look("#D55E00", "s", "--"),
    Look("#009E73", "^", "-."),
    Look("#CC79A7", "D", ":"),
    Look("#E69F00", "P", "--"),
    Look("#56B4E9", "v", "-."),
    Look("#666666", "X", "-"),
    Look("#000000", "*", ":"),
]
OTHERS = [Look("#E69F00", "P", "--"), Look("#56B4E9", "X", ":"), Look("#666666", ">", "-."), Look("#000000", "h", "--")]


def look_of(name: str, all_names: list[str]) -> Look:
    """The look of a strategy: its own in every figure, and for an unnamed alpha the next free one."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    unnamed = [other for other in all_names if other not in STRATEGIES]
    return OTHERS[unnamed.index(name) % len(OTHERS)]


def styled() -> AbstractContextManager[None]:
    """Matplotlib's own defaults and this style, whatever the user's settings are."""
    context = matplotlib.rc_context()
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(SETTINGS)
    return context


def panels(rows: int, columns: int) -> tuple[Figure, list[Any]]:
    """A figure with equal panels, row by row."""
    figure = Figure(figsize=(PANEL[0] * columns, PANEL[1] * rows), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def write(draw: Callable[[], Figure], footer: str, paths: Iterable[Path]) -> None:
    """Draw a figure in this style and write it, with a footer, in each of its forms."""
    with styled():
        figure = draw()
        figure.supxlabel(footer, fontsize=6, color="0.35")
        for path in paths:
            save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write an SVG or PDF that depends on what it shows alone: no date, no random ids.

    Its panels are laid out for the first file, and stay so in the others: that takes as long as drawing them.
    """
    canvas, metadata = {
        ".svg": (FigureCanvasSVG, {"Date": None}),
        ".pdf": (FigureCanvasPdf, {"CreationDate": None}),
    }[path.suffix]
    drawn = io.BytesIO()  # in memory: on a full disk matplotlib's PDF writer fails in its own way
    canvas(figure).print_figure(drawn, format=path.suffix[1:], metadata=metadata)
    figure.set_layout_engine(None)
    with replacing(path) as temporary:
        temporary.write_bytes(drawn.getvalue())

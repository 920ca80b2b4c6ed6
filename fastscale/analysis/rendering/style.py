"""The visual style of all figures: colours, markers and lines of strategies and bases; and figures as files."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from textwrap import fill as wrap
from typing import Any, NamedTuple, TypeVar

import matplotlib
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from fastscale.records.files import replacing

T = TypeVar("T")
PANEL = (3.6, 2.9)  # inches
WITH_LEGEND = (PANEL[0] + 0.9, PANEL[1])  # of a panel with a legend beside it
MARGIN = 0.5  # for the legend above and the footer
LETTERS = 17  # of the footer, in an inch
BARS: dict[str, Any] = {"fmt": "none", "capsize": 2, "elinewidth": 0.8}

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
    """A colour (Okabe and Ito's, for the colour-blind), a marker and a line: each alone tells series apart."""

    color: str
    marker: str
    linestyle: str

    def __call__(self, **changes: Any) -> dict[str, Any]:
        """Return the keyword arguments of a plot, with changes."""
        return {**self._asdict(), **changes}


# Each has a colour of its own, with a contrast of at least 3 on white.
STRATEGIES = {
    "w": Look("#0072B2", "s", "-"),
    "dWr": Look("#D55E00", "o", "-"),
    "dwr": Look("#009E73", "^", "--"),
    "dw": Look("#CC79A7", "D", "-."),
    "d": Look("#8C564B", "v", ":"),
    "r": Look("#AA7700", "P", ":"),
    "wr": Look("#7F7F00", "X", "--"),
    "dr": Look("#666666", "<", "--"),
    "orig": Look("#000000", "*", "-."),
}
OTHERS = [Look("#882255", ">", "--"), Look("#17849B", "h", ":"), Look("#6A3D9A", "p", "-."), Look("#C2185B", "d", "-")]
SERIES = [
    Look("#0072B2", "o", "-"),
    Look("#D55E00", "s", "--"),
    Look("#009E73", "^", "-."),
    Look("#CC79A7", "D", ":"),
    Look("#AA7700", "P", "--"),
    Look("#882255", "v", "-."),
    Look("#666666", "X", "-"),
    Look("#000000", "*", ":"),
]
BASE = Look("#333333", "o", "")  # where all curves of a base begin
PUBLISHED: dict[str, Any] = {  # the paper's numbers: grey hollow circles, whatever the curve
    **Look("#777777", "o", "")._asdict(),
    "markerfacecolor": "none",
    "markersize": 8,
    "markeredgewidth": 1.0,
    "label": "published",
}
FRONT: dict[str, Any] = {
    "color": "0.82",
    "linewidth": 5,
    "drawstyle": "steps-post",
    "zorder": 0,
    "label": "Pareto front",
}


def look_of(name: str, all_names: list[str]) -> Look:
    """Find the look of a strategy: the same in every figure; an alpha without a name takes the next of `OTHERS`."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    unnamed = [other for other in all_names if other not in STRATEGIES]
    return OTHERS[unnamed.index(name) % len(OTHERS)]


def looks(series: Sequence[T]) -> Iterator[tuple[T, Look]]:
    """Give each of some series a look, in their order; after the last of `SERIES` they begin anew."""
    return zip(series, cycle(SERIES), strict=False)


def styled() -> AbstractContextManager[None]:
    """Set matplotlib's defaults and this style, whatever the user's settings are, until the context ends."""
    context = matplotlib.rc_context()
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(SETTINGS)
    return context


def panels(rows: int, columns: int, size: tuple[float, float] = PANEL) -> tuple[Figure, list[Any]]:
    """Make a figure with equal panels of a size in inches, listed row by row."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows + MARGIN), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def add_footer(figure: Figure, text: str) -> None:
    """Add lines to the footer of a figure, broken at the figure's width."""
    lines = [figure.get_supxlabel(), *(wrap(line, int(LETTERS * figure.get_figwidth())) for line in text.splitlines())]
    figure.supxlabel("\n".join(filter(None, lines)), fontsize=7, color="0.35")


def write(draw: Callable[[], Figure], footer: str, paths: Iterable[Path]) -> None:
    """Draw a figure in this style, with a footer, and write it to each path in the format of its suffix."""
    with styled():
        figure = draw()
        add_footer(figure, footer)
        for path in paths:
            save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write an SVG or PDF that depends on the figure alone: no date, no random ids.

    The panels are laid out once, before the first file, without the drawing that a file's own layout would need.
    """
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)
    canvas, metadata = {
        ".svg": (FigureCanvasSVG, {"Date": None}),
        ".pdf": (FigureCanvasPdf, {"CreationDate": None}),
    }[path.suffix]
    content = io.BytesIO()  # in memory: on a full disk matplotlib's PDF writer fails in its own way
    canvas(figure).print_figure(content, format=path.suffix[1:], metadata=metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())

"""Tables as CSV (exact, for programs), and as Markdown, LaTeX and HTML (rounded, for people)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastscale.analysis.rendering import pages
from fastscale.records.files import write_text

if TYPE_CHECKING:
    from fastscale.analysis.results.results import Results

Line = Sequence[object]


@dataclass(frozen=True)
class Grid:
    """What people read of a table: cells that are text already; `$...$` is mathematics."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table: paragraphs (Markdown) and grids for people, and one header with exact lines for programs."""

    title: str
    body: Sequence[str | Grid]
    header: Sequence[str]
    lines: Sequence[Line]

    def csv(self) -> str:
        """The exact values."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.lines])
        return text.getvalue()

    def markdown(self) -> str:
        """Title, paragraphs and grids."""
        parts = (part if isinstance(part, str) else markdown_grid(part) for part in self.body)
        return "\n\n".join(filter(None, (f"# {self.title}", *parts))) + "\n"

    def latex(self, label: str) -> str:
        """The grids as floats with booktabs; the title is their caption."""
        grids = [part for part in self.body if isinstance(part, Grid)]
        return "\n".join(
            pages.latex_table(grid.header, grid.lines, self.title, f"tab:{label}{i or ''}")
            for i, grid in enumerate(grids)
        )


def write(table: Table, artefact: str, paths: Sequence[Path]) -> None:
    """Write a table in each of its forms."""
    markdown = table.markdown()
    for path in paths:
        match path.suffix:
            case ".csv":
                text = table.csv()
            case ".md":
                text = markdown
            case ".tex":
                text = table.latex(artefact)
            case ".html":
                text = pages.html(markdown, table.title)
        write_text(path, text)


def markdown_grid(grid: Grid) -> str:
    """A pipe table."""
    rule = ["---"] * len(grid.header)
    return "\n".join(f"| {' | '.join(line)} |" for line in (grid.header, rule, *grid.lines))


def conditions(results: "Results") -> str:
    """Where and how was measured, and what a reader must know, as a paragraph."""
    told = [f"{results.conditions}." if results.conditions else "", *(f"**{remark}**" for remark in results.remarks)]
    return " ".join(filter(None, told))

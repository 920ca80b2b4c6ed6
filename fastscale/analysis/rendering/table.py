"""Tables as CSV (exact, for programs), and as Markdown, LaTeX and HTML (rounded, for people)."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
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
    """A table for people: cells are formatted text, in which `$...$` is mathematics."""

    header: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Table:
    """A table in two forms: paragraphs (Markdown) and grids for people; a header and exact lines for programs."""

    title: str
    body: Sequence[str | Grid]
    header: Sequence[str]
    lines: Sequence[Line]
    warning: str = ""  # what readers must know before anything else

    def csv(self) -> str:
        """Return the exact lines as CSV."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.lines])
        return text.getvalue()

    def markdown(self) -> str:
        """Return title, paragraphs and grids as Markdown."""
        parts = (part if isinstance(part, str) else markdown_grid(part) for part in self.body)
        warning = self.warning and f"**{self.warning}**"
        return "\n\n".join(filter(None, (f"# {self.title}", warning, *parts))) + "\n"

    def latex(self, label: str) -> str:
        """Return the grids for LaTeX, each with a caption of its own and a label that begins with `tab:{label}`.

        The warning begins each caption.
        """
        warning = f"**{self.warning}** " if self.warning else ""
        tables = [
            pages.latex_table(grid.header, grid.lines, f"{warning}{caption}", f"tab:{label}{i or ''}")
            for i, (caption, grid) in enumerate(self._captioned())
        ]
        return "\n".join(tables) or f"% {self.title}: there is nothing to show.\n"

    def _captioned(self) -> Iterator[tuple[str, Grid]]:
        """Yield each grid with a caption of its own: the title without its number, and the heading above the grid."""
        title, heading = re.sub(r"^Table \d+\. ", "", self.title), ""
        captions: Counter[str] = Counter()
        for part in self.body:
            if isinstance(part, str):
                heading = f": {part.removeprefix('## ')}" if part.startswith("## ") else heading
                continue
            captions[heading] += 1
            again = f" ({captions[heading]})" if captions[heading] > 1 else ""
            yield f"{title}{heading}{again}", part


def write(table: Table, artefact: str, paths: Sequence[Path]) -> None:
    """Write a table to each path in the format of its suffix: CSV, Markdown, LaTeX or HTML."""
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
    """Return a grid as a Markdown table."""
    rule = ["---"] * len(grid.header)
    return "\n".join(f"| {' | '.join(line)} |" for line in (grid.header, rule, *grid.lines))


def conditions(results: "Results") -> str:
    """Write a paragraph on the conditions of measurement, with remarks (old records, gaps) in bold."""
    parts = [f"{results.conditions}." if results.conditions else "", *(f"**{remark}**" for remark in results.remarks)]
    return " ".join(filter(None, parts))

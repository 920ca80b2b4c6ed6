"""Markdown as a web page that needs no other file, and tables for LaTeX."""

import math
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto; padding: 0 1rem; max-width: 80rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; margin: 1rem 0; font-size: 0.87rem }
th, td { padding: 0.3rem 0.7rem; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #1a1a1a } tbody tr:hover { background: #f4f4f4 }
td { font-variant-numeric: tabular-nums }
"""

# Characters that LaTeX reads as a command, or that its fonts lack.
ESCAPES = {character: f"\\{character}" for character in "%&#_{}"}
ESCAPES |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": "$<$", ">": "$>$"}
ESCAPES |= {"$": r"\$", "±": r"$\pm$", "—": "---", "×": r"$\times$", "−": "$-$", "′": "$'$", "·": r"$\cdot$"}
ESCAPES |= {"->": r"$\rightarrow$", "α": r"$\alpha$", "≤": r"$\leq$", "≥": r"$\geq$"}
ESCAPED = re.compile("|".join(map(re.escape, sorted(ESCAPES, key=len, reverse=True))))


SIZES = (("footnotesize", 88), ("scriptsize", 100), ("tiny", 140))  # of LaTeX's fonts, with the characters of a line
PAGE_LINES = 55  # of text in a table on one page
GAP = 2  # characters between two columns


def html(markdown: str, title: str) -> str:
    """Render Markdown as one HTML file that holds its style and its formulas (MathML)."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{_parser().render(markdown)}</body></html>\n'


@cache
def _parser() -> "MarkdownIt":
    # Imported only here: planning a sweep imports this module, but writes no page.
    from latex2mathml.converter import convert
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark").enable("table")
    return parser.use(dollarmath_plugin, renderer=lambda formula, options: convert(formula), allow_digits=False)


def latex_table(header: Sequence[str], lines: Sequence[Sequence[str]], caption: str, label: str) -> str:
    """Typeset a table for LaTeX, no wider than the page; cells are text, with formulas between dollars.

    It needs the packages booktabs and array. Where it may be longer than a page it is a longtable (of the package of
    that name), else a float.
    """
    rows = [" & ".join(map(_latex, line)) + r" \\" for line in (header, *lines)]
    head, body = [r"\toprule", rows[0], r"\midrule"], [*rows[1:], r"\bottomrule"]
    size, columns, height = _columns([header, *lines])
    title = [rf"\caption{{{_latex(caption)}}}", rf"\label{{{label}}}"]
    style = [rf"\{size}", r"\setlength{\tabcolsep}{3pt}"]
    if height > PAGE_LINES:
        table = [rf"\begin{{longtable}}{{{columns}}}", *title, r"\\", *head, r"\endhead", *body, r"\end{longtable}"]
        parts = [r"\begingroup", *style, *table, r"\endgroup"]
    else:
        table = [*title, rf"\begin{{tabular}}{{{columns}}}", *head, *body, r"\end{tabular}"]
        parts = [r"\begin{table}", r"\centering", *style, *table, r"\end{table}"]
    return "\n".join(parts) + "\n"


def _columns(lines: Sequence[Sequence[str]]) -> tuple[str, str, int]:
    """Choose the font and the columns of a LaTeX table, and estimate how many lines of text it has.

    If its longest cells fit beside each other, all columns have their natural width. If not, they share the line: each
    has room for its longest word, and what is left goes to those with more text, by the roots of their lengths.
    """
    columns = [*zip(*lines, strict=True)]
    longest = [max(map(len, column)) + GAP for column in columns]
    words = [max(len(word) for cell in column for word in re.split(r"[\s-]", cell)) + GAP for column in columns]
    size, line = next(((size, line) for size, line in SIZES if sum(words) <= line), SIZES[-1])
    if sum(longest) <= line:
        return size, "l" * len(columns), len(lines)
    roots = [math.sqrt(text - word) for text, word in zip(longest, words, strict=True)]
    spare = max(0, line - sum(words)) / sum(roots)
    widths = [word + spare * root - GAP for word, root in zip(words, roots, strict=True)]
    layout = "".join(rf">{{\raggedright\arraybackslash}}p{{{width / line:.3f}\linewidth}}" for width in widths)
    height = sum(
        max(math.ceil(len(cell) / width) for cell, width in zip(cells, widths, strict=True)) for cells in lines
    )
    return size, layout, height


def _latex(text: str) -> str:
    """Translate the text of a Markdown cell to LaTeX: formulas (`$...$`) stay, bold text is bold again."""
    parts = re.split(r"(\$[^$]+\$)", text)
    parts[::2] = [ESCAPED.sub(lambda match: ESCAPES[match[0]], part) for part in parts[::2]]
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", "".join(parts))

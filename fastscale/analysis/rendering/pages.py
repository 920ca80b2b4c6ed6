"""Markdown as a web page that needs no other file, and tables for LaTeX."""

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
    """Typeset a table as a LaTeX float for booktabs; cells are text, with formulas between dollars."""
    rows = [" & ".join(map(_latex, line)) + r" \\" for line in (header, *lines)]
    body = [r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    begin = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}", rf"\label{{{label}}}"]
    columns = rf"\begin{{tabular}}{{{'l' * len(header)}}}"
    return "\n".join([*begin, columns, *body, r"\end{tabular}", r"\end{table}"]) + "\n"


def _latex(text: str) -> str:
    """Translate the text of a Markdown cell to LaTeX: formulas (`$...$`) stay, bold text is bold again."""
    parts = re.split(r"(\$[^$]+\$)", text)
    parts[::2] = [ESCAPED.sub(lambda match: ESCAPES[match[0]], part) for part in parts[::2]]
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", "".join(parts))

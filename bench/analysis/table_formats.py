"""A table of text as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "β": r"$\beta$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class Sheet:
    """A table for readers; `body` has as many cells in a row as `header`, `notes` go below."""

    name: str
    caption: str
    header: list[str]
    body: list[list[str]]
    notes: list[str]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def markdown(sheet: Sheet) -> str:
    """Return a pipe table with its caption above and its notes below."""
    rule = ["---" if column < 2 else "--:" for column in range(len(sheet.header))]
    rows = [[cell.replace("|", "\\|") for cell in row] for row in (sheet.header, rule, *sheet.body)]
    table = [f"| {' | '.join(row)} |" for row in rows]
    notes = [f"- {note}" for note in sheet.notes]
    return "\n".join([sheet.caption, "", *table, "", *notes]) + "\n"


def latex(sheet: Sheet) -> str:
    r"""Return a floating table that needs `\usepackage{booktabs}`."""
    rows = [f"    {' & '.join(map(escape, row))} \\\\" for row in (sheet.header, *sheet.body)]
    label = re.sub(r"[^A-Za-z0-9-]", "-", sheet.name)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(sheet.caption)}}}",
        rf"  \label{{tab:comparison-{label}}}",
        rf"  \begin{{tabular}}{{ll{'r' * (len(sheet.header) - 2)}}}",
        r"    \toprule",
        rows[0],
        r"    \midrule",
        *rows[1:],
        r"    \bottomrule",
        r"  \end{tabular}",
        *(rf"  \par\smallskip{{\footnotesize {escape(note)}\par}}" for note in sheet.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX sets as it is written."""
    return "".join(TEX.get(sign, sign) for sign in text)

"""A table of text as CSV, Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
    "|": r"\textbar{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
}

# What begins emphasis, a tag, a formula or a code span, and what takes its meaning from the next.
SIGNS = re.compile(r"[<*$`|]|&(?=#?\w+;)|\\(?=[!-/:-@[-`{-~])|(?<!\w)_|_(?!\w)")
CODE = re.compile(r"(`[^`]+`)")


@dataclass(frozen=True)
class Sheet:
    """A table for readers; every row has as many cells as `header`, `notes` go below.

    `blocks` are further rows below the body, by the heading that sets them apart.
    """

    name: str
    caption: str
    header: list[str]
    body: list[list[str]]
    notes: list[str]
    blocks: Mapping[str, list[list[str]]] = field(default_factory=dict)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return CSV text."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


def markdown(sheet: Sheet) -> str:
    """Return a pipe table with its caption above and its notes below; each block is another."""
    tables = [_pipes(sheet.header, sheet.body)]
    for heading, rows in sheet.blocks.items():
        tables += [[as_written(heading), ""], _pipes(sheet.header, rows)]
    notes = [f"- {as_written(note)}" for note in sheet.notes]
    parts = [[as_written(sheet.caption), ""], *tables, notes]
    return "\n".join(line for part in parts for line in part) + "\n"


def _pipes(header: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---" if column < 2 else "--:" for column in range(len(header))]
    rows = [[in_cell(cell) for cell in row] for row in (header, *body)]
    rows.insert(1, rule)
    return [*(f"| {' | '.join(row)} |" for row in rows), ""]


def as_written(text: str) -> str:
    """Return text that Markdown shows as it is written, on one line, but for code in backticks.

    An underscore within a word and other signs that mean nothing there are left as they are.
    """
    parts = CODE.split(" ".join(text.splitlines()))
    parts[::2] = [SIGNS.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def in_cell(text: str) -> str:
    """Return what `as_written` does, with no sign that ends a cell of a pipe table."""
    return re.sub(r"(?<!\\)\|", r"\\|", as_written(text))


def latex(sheet: Sheet) -> str:
    r"""Return a floating table that needs `\usepackage{booktabs}`."""
    wide = len(sheet.header)
    further = []
    for heading, rows in sheet.blocks.items():
        over = rf"    \multicolumn{{{wide}}}{{l}}{{\emph{{{escape(heading)}}}}} \\"
        further += [r"    \midrule", over, *map(_tex_row, rows)]
    label = re.sub(r"[^A-Za-z0-9-]", "-", sheet.name)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(sheet.caption)}}}",
        rf"  \label{{tab:comparison-{label}}}",
        rf"  \begin{{tabular}}{{ll{'r' * (wide - 2)}}}",
        r"    \toprule",
        _tex_row(sheet.header),
        r"    \midrule",
        *map(_tex_row, sheet.body),
        *further,
        r"    \bottomrule",
        r"  \end{tabular}",
        *(rf"  \par\smallskip{{\footnotesize {escape(note)}\par}}" for note in sheet.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(row: Iterable[str]) -> str:
    return f"    {' & '.join(map(escape, row))} \\\\"


def escape(text: str) -> str:
    """Return text that LaTeX sets as it is written, on one line as a caption must be."""
    return "".join(TEX.get(sign, sign) for sign in " ".join(text.splitlines()))

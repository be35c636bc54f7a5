"""Tables for readers: the text of their cells, and the tables as Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from bench.results.flags import flags_of, meaning
from bench.results.text import decimal

NOT_MEASURED = "–"
# What pandas' escaping leaves to the font.
TEX = {
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "β": r"$\beta$",
    "ε": r"$\varepsilon$",
    "″": "''",
}
# What begins emphasis, a tag, a formula or a code span, and what takes its meaning from the next.
SIGNS = re.compile(r"[<*$`|]|&(?=#?\w+;)|\\(?=[!-/:-@[-`{-~])|(?<!\w)_|_(?!\w)")
CODE = re.compile(r"(`[^`]+`)")


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table of text; `blocks` are further rows below it, by the heading that sets them apart.

    The first `words` columns are text, all others numbers. `notes` go below. On the page a reader
    can choose among the values of the columns in `filters`, which have the value that is chosen
    first, or "" for all.
    """

    name: str
    caption: str
    body: pd.DataFrame
    notes: Sequence[str] = ()
    blocks: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    words: int = 2
    filters: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[list[str]]:
        """The cells of all rows, those of the blocks last."""
        found: list[list[str]] = pd.concat([self.body, *self.blocks.values()]).to_numpy().tolist()
        return found


def numbers(values: Iterable[float], digits: int = 2, sign: str = "") -> list[str]:
    """Return numbers as cells."""
    return [NOT_MEASURED if pd.isna(v) else decimal(v, digits, sign) for v in values]


def wholes(values: Iterable[float]) -> list[str]:
    """Return whole numbers as cells."""
    return [NOT_MEASURED if pd.isna(v) else str(int(v)) for v in values]


def means(values: Iterable[float], stds: Iterable[float], digits: int = 2) -> list[str]:
    """Return means with their standard deviations as cells; with one seed there is none."""
    return [
        text if pd.isna(std) else f"{text} ± {decimal(std, digits)}"
        for text, std in zip(numbers(values, digits), stds, strict=True)
    ]


def intervals(lows: Iterable[float], highs: Iterable[float], sign: str = "") -> list[str]:
    """Return intervals as cells."""
    return [
        NOT_MEASURED if pd.isna(low) else f"[{decimal(low, sign=sign)}, {decimal(high, sign=sign)}]"
        for low, high in zip(lows, highs, strict=True)
    ]


def with_images(
    columns: Mapping[str, tuple[Sequence[str], Iterable[object]]],
) -> dict[str, list[str]]:
    """Return columns of accuracies by heading, which say of how many images where that differs.

    Each column is its cells and the count of each, "" where nothing was measured. A heading says
    it where it is true of all cells below. Where all counts are equal a note tells them once.
    """
    counts = {name: list(map(str, own)) for name, (_, own) in columns.items()}
    differ = len({n for own in counts.values() for n in own if n}) > 1
    found = {}
    for name, (cells, _) in columns.items():
        own = {n for n in counts[name] if n}
        if differ and len(own) == 1:
            found[f"{name} (n = {own.pop()})"] = list(cells)
        elif differ:
            pairs = zip(cells, counts[name], strict=True)
            found[name] = [f"{cell} (n = {n})" if n else cell for cell, n in pairs]
        else:
            found[name] = list(cells)
    return found


def flag_notes(flags: Iterable[str]) -> list[str]:
    """Return what each flag in some cells of a column `flags` means."""
    return [f"{flag}: {meaning(flag)}." for flag in sorted(flags_of(flags))]


def markdown(sheet: Sheet) -> str:
    """Return a pipe table with its caption above and its notes below; each block is another."""
    parts = [as_written(sheet.caption), _pipes(sheet, sheet.body)]
    for heading, rows in sheet.blocks.items():
        parts += [as_written(heading), _pipes(sheet, rows)]
    parts += ["\n".join(f"- {as_written(note)}" for note in sheet.notes)]
    return "\n\n".join(parts) + "\n"


def latex(sheet: Sheet) -> str:
    r"""Return a floating table that needs `\usepackage{booktabs}`."""
    width = len(sheet.body.columns)
    body = _rows(sheet.body)
    for heading, rows in sheet.blocks.items():
        body += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(heading)}}}}} \\"]
        body += _rows(rows)
    label = re.sub(r"[^A-Za-z0-9-]", "-", sheet.name)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(sheet.caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * sheet.words}{'r' * (width - sheet.words)}}}",
        r"\toprule",
        _row(sheet.body.columns),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\smallskip{{\footnotesize {escape(note)}\par}}" for note in sheet.notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def as_written(text: str) -> str:
    """Return text that Markdown shows as it is written, on one line, but for code in backticks.

    An underscore within a word and other signs that mean nothing there are left as they are.
    """
    parts = CODE.split(" ".join(text.splitlines()))
    parts[::2] = [SIGNS.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "".join(parts)


def escape(text: str) -> str:
    """Return text that LaTeX sets as it is written, on one line as a caption must be."""
    text = " ".join(text.splitlines())
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "\0"))
    for sign, command in (("\0", "backslash"), ("~", "asciitilde"), ("^", "asciicircum")):
        escaped = escaped.replace(sign, rf"\text{command}{{}}")
    for sign, command in (("<", "less"), (">", "greater")):
        escaped = escaped.replace(sign, rf"\text{command}{{}}")
    return "".join(TEX.get(sign, sign) for sign in escaped)


def span(seeds: Sequence[int]) -> str:
    """Return distinct numbers in ascending order as 0–19 where none is left out, else 0, 3, 5."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(map(str, seeds))


def listed(words: Iterable[object]) -> str:
    """Return the distinct words, shortest first, joined by commas."""
    return ", ".join(sorted(set(map(str, words)), key=lambda word: (len(word), word)))


def _pipes(sheet: Sheet, rows: pd.DataFrame) -> str:
    safe = rows.rename(columns=_safe).map(_safe)
    align = ["left"] * sheet.words + ["right"] * (len(safe.columns) - sheet.words)
    return str(safe.to_markdown(index=False, disable_numparse=True, colalign=align))


def _safe(text: str) -> str:
    """Return text with no sign that ends a cell of a pipe table."""
    return re.sub(r"(?<!\\)\|", r"\\|", as_written(text))


def _rows(rows: pd.DataFrame) -> list[str]:
    return [_row(row) for row in rows.itertuples(index=False)]


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(map(escape, cells))} \\\\"

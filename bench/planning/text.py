"""Numbers and tables as plain text. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence


def hours(seconds: float | None) -> str:
    """Return hours with two significant digits, or ``?`` where they are unknown."""
    if seconds is None:
        return "?"
    value = seconds / 3600
    if value and value < 0.001:
        return "<0.001"
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def amount(size: int) -> str:
    """Return a number of bytes in the decimal unit that suits it."""
    value, units = float(size), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}" if value < 1000 else f"{value:.0f} {units[0]}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line a row; all columns but the first and the last are right-aligned."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if place in (0, last) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (heads, *rows)
    ]

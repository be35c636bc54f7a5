"""Pipe tables of Markdown as their cells."""

from __future__ import annotations

import re


def tables(text: str) -> list[list[list[str]]]:
    """Return the cells of every table by row, its heading first, without padding."""
    found: list[list[list[str]]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found[-1].append([cell.strip() for cell in cells])
        elif found[-1]:
            found.append([])
    return [[rows[0], *rows[2:]] for rows in found if rows]

"""How many images an accuracy is of, said beside it wherever they are not as many in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """The numbers of images of the cells of a table, by column, as a reader is told them.

    Where all are equal nothing is said here: a note below the table tells them once.
    """

    by_column: Mapping[str, Sequence[str]]

    def heading(self, column: str) -> str:
        """Return what the heading of a column adds to its name."""
        return _said(self.by_column[column][0]) if self._differ and self._one(column) else ""

    def cell(self, column: str, n: str) -> str:
        """Return what a cell on `n` images adds to its accuracy, where its heading cannot."""
        return _said(n) if self._differ and not self._one(column) else ""

    @property
    def _differ(self) -> bool:
        return len({n for counts in self.by_column.values() for n in counts}) > 1

    def _one(self, column: str) -> bool:
        return len(set(self.by_column[column])) == 1


def span(counts: Iterable[int]) -> str:
    """Return the counts of several cells as those of one: 20, or 20-300 where they differ."""
    known = sorted(set(counts))
    return str(known[0]) if len(known) == 1 else f"{known[0]}-{known[-1]}"


def _said(n: str) -> str:
    return f" (n = {n})"

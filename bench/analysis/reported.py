"""What papers and RobustBench report, and when such a number may stand beside one of ours."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from bench.parsing import BenchError, Unit, nearest

COLUMNS = (
    *("dataset", "model", "method", "metric", "value", "eps", "n"),
    *("checkpoint_rule", "source", "kind"),
)
CARD_COLUMNS = ("dataset", "name", "clean", "autoattack", "source", "eps")
# The `model` of every row about weights that RobustBench lists; no architecture has this name.
ROBUSTBENCH = "robustbench"
METRICS = ("clean", "pgd20", "autoattack")
KINDS = ("paper", "secondary")
PERCENT = Unit("an accuracy in percent", low=0.0, high=100.0)


@dataclass(frozen=True)
class Reported:
    """One published accuracy, in percent.

    `eps` is the radius of training and attack, None where the source does not say. `kind` is
    "paper" for the method's own authors, "secondary" for everyone else.
    """

    dataset: str
    model: str
    method: str
    metric: str
    value: float
    eps: float | None
    n: int | None
    checkpoint_rule: str
    source: str
    kind: Literal["paper", "secondary"]

    @property
    def citation(self) -> str:
        """The source as a footnote gives it, with what a reader must know to compare."""
        by = "by the method's authors" if self.kind == "paper" else "by others"
        return f"{self.source}; reported {by}, checkpoint: {self.checkpoint_rule}"

    def allows(self, checkpoint: str) -> bool:
        """Say whether the source's choice of epoch permits a comparison with our `checkpoint`.

        A rule that begins with "best" or "last" is comparable with that checkpoint alone; where the
        source does not tell its rule, with any.
        """
        rule = self.checkpoint_rule.split(" ")[0]
        return rule not in ("best", "last") or rule == checkpoint


def read_reported(path: Path) -> tuple[Reported, ...]:
    """Read reported numbers in the order of the file.

    Raises
    ------
    BenchError
        Naming the file, the line and the column that does not hold what it should.
    """
    return tuple(_row(row, where) for where, row in _lines(path, COLUMNS))


def read_cards(path: Path) -> tuple[Reported, ...]:
    """Read RobustBench's model cards: for each model its clean and its AutoAttack accuracy.

    Their `model` is `ROBUSTBENCH`, their `method` RobustBench's name of the model.

    Raises
    ------
    BenchError
        Naming the file, the line and the column that does not hold what it should.
    """
    shared = {"model": ROBUSTBENCH, "n": "", "checkpoint_rule": "the same weights"}
    return tuple(
        _row(
            {**row, **shared, "method": row["name"], "metric": metric, "value": row[metric]}
            | {"kind": "secondary"},
            where,
        )
        for where, row in _lines(path, CARD_COLUMNS)
        for metric in ("clean", "autoattack")
    )


def find(
    known: Sequence[Reported],
    *,
    dataset: str,
    model: str,
    method: str,
    metric: str,
    eps: float,
    checkpoint: str,
) -> Reported | None:
    """Return the reported number for this cell of our table: the authors' own, else the first.

    A number is never taken from another dataset (a re-encoded CIFAR-10 is another one), model or
    radius, nor from a source that does not tell its radius.
    """
    fitting = [
        row
        for row in known
        if (row.dataset, row.model, row.method, row.metric) == (dataset, model, method, metric)
        and row.eps is not None
        and abs(row.eps - eps) < 1e-6
        and row.allows(checkpoint)
    ]
    return min(fitting, key=lambda row: KINDS.index(row.kind), default=None)


def find_card(
    cards: Sequence[Reported], *, dataset: str, name: str, metric: str, eps: float
) -> Reported | None:
    """Return what RobustBench's card of the model `name` says of `metric`, attacked with `eps`.

    The weights are the card's own, so its clean accuracy is comparable whatever the radius.
    """
    fitting = (
        card
        for card in cards
        if (card.dataset, card.method, card.metric) == (dataset, name, metric)
        and (metric == "clean" or (card.eps is not None and abs(card.eps - eps) < 1e-6))
    )
    return next(fitting, None)


def _lines(path: Path, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            rows = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise BenchError(f"{path}: missing; restore the file of reported numbers") from None
    if missing:
        raise BenchError(f"{path}: the column {missing[0]!r} is missing; add it to the header")
    return ((f"{path} line {line}", row) for line, row in rows)


def _row(row: dict[str, str], where: str) -> Reported:
    for column, words in (("metric", METRICS), ("kind", KINDS)):
        if row[column] not in words:
            raise BenchError(
                f"{where}: {column} is {row[column]!r}; {nearest(str(row[column]), words)}"
            )
    try:
        eps = float(Fraction(row["eps"])) if row["eps"] else None
        n = int(row["n"]) if row["n"] else None
    except (TypeError, ValueError, ZeroDivisionError):
        raise BenchError(
            f"{where}: eps and n are numbers such as 8/255 and 10000, or empty where the source "
            f"does not say, got {row['eps']!r} and {row['n']!r}"
        ) from None
    return Reported(
        dataset=row["dataset"],
        model=row["model"],
        method=row["method"],
        metric=row["metric"],
        value=PERCENT.check(row["value"], f"{where}: value"),
        eps=eps,
        n=n,
        checkpoint_rule=row["checkpoint_rule"],
        source=row["source"],
        kind="paper" if row["kind"] == "paper" else "secondary",
    )

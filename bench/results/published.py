"""What papers and RobustBench report, and when such a number is comparable with one of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bench.config.parsing import Count, Percent, Pixels, parse, value_of
from bench.results.csv_file import read_table
from bench.results.options import stated
from bench.runtime.errors import BenchError

COLUMNS = (
    *("dataset", "model", "method", "spec_method", "options", "metric", "value", "eps", "n"),
    *("checkpoint_rule", "source", "kind"),
)
CARD_COLUMNS = ("dataset", "name", "clean", "autoattack", "source", "eps")
MODEL_COLUMNS = (*CARD_COLUMNS, "architecture", "extra_data", "generated_data")
# The `model` of every row about weights that RobustBench lists; no architecture has this name.
ROBUSTBENCH = "robustbench"
Metric = Literal["clean", "pgd20", "autoattack"]
METRICS: tuple[str, ...] = get_args(Metric)


@dataclass(frozen=True)
class Reported:
    """One published accuracy, in percent.

    `method` is how figures name it. `spec_method` is the method of ours that it is about, empty
    where there is none, and `options` all of its options, those the source leaves open at their
    defaults.

    `eps` is the radius of training and attack and `n` how many test images were evaluated, None
    where the source does not say; a number of another count than ours is not compared. `kind` is
    "paper" for the method's own authors, "secondary" for everyone else.
    """

    dataset: str
    model: str
    method: str
    spec_method: str
    options: str
    metric: Metric
    value: Percent
    eps: Pixels | None
    n: Count | None
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

        A rule that begins with "last" is comparable with `last` alone. All others are with `best`:
        a source that does not tell its rule may have chosen the epoch on the test set.
        """
        return checkpoint == ("last" if self.checkpoint_rule.split(" ")[0] == "last" else "best")


def read_reported(path: Path) -> tuple[Reported, ...]:
    """Read reported numbers in the order of the file."""
    return tuple(_row(row, where) for where, row in _lines(path, COLUMNS))


def read_cards(path: Path) -> tuple[Reported, ...]:
    """Read RobustBench's model cards: for each model its clean and its AutoAttack accuracy.

    Their `model` is `ROBUSTBENCH`, their `method` RobustBench's name of the model.
    """
    return tuple(card for where, row in _lines(path, CARD_COLUMNS) for card in _of_card(row, where))


def find(
    known: Sequence[Reported],
    *,
    dataset: str,
    model: str,
    method: str,
    options: str,
    metric: str,
    eps: float,
    checkpoint: str,
) -> Reported | None:
    """Return the reported number for this cell of our table: the authors' own, else the first.

    `method` is the registered method and `options` the `options_text` of the run, since a label
    may stand for anything. A number is never taken from another dataset (a re-encoded CIFAR-10 is
    another one), model or radius, nor from a source that does not tell its radius.
    """
    fitting = [
        row
        for row in known
        if (row.dataset, row.model, row.metric) == (dataset, model, metric)
        and (row.spec_method, row.options) == (method, options)
        and row.eps is not None
        and abs(row.eps - eps) < 1e-6
        and row.allows(checkpoint)
    ]
    return min(fitting, key=lambda row: row.kind != "paper", default=None)


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
    rows = read_table(path, columns, "restore the file of reported numbers", empty=True)
    return ((f"{path}: row {line}", row) for line, row in enumerate(rows, 1))


def _of_card(row: dict[str, str], where: str) -> tuple[Reported, Reported]:
    """Return the clean and the AutoAttack accuracy of a model card."""
    shared = {"model": ROBUSTBENCH, "method": row["name"], "kind": "secondary", "n": ""}
    shared |= {"spec_method": "", "options": "", "checkpoint_rule": "the same weights"}
    clean, robust = (
        _row({**row, **shared, "metric": metric, "value": row[metric]}, where)
        for metric in ("clean", "autoattack")
    )
    return clean, robust


def _row(row: dict[str, str], where: str) -> Reported:
    method, options = row["spec_method"], row["options"]
    if options and not method:
        raise BenchError(f"{where}: options belong to a spec_method, which is empty; name it")
    known: dict[str, str | None] = {name: row[name] for name in COLUMNS}
    # Empty where the source does not say.
    known |= {name: row[name] or None for name in ("eps", "n")}
    known["options"] = stated(method, options, f"{where}: options") if method else ""
    return parse(Reported, known, where=where)


@dataclass(frozen=True)
class ModelCard:
    """A model as RobustBench lists it: accuracies in percent, clean and under AutoAttack.

    `data` says what it was trained on beside the data set's own images.
    """

    dataset: str
    name: str
    architecture: str
    clean: float
    autoattack: float
    eps: float | None
    data: Literal["plain", "extra", "generated"]


@dataclass(frozen=True)
class Published:
    """What figures and the report show beside our results."""

    reported: tuple[Reported, ...] = ()
    cards: tuple[ModelCard, ...] = ()

    @classmethod
    def read(cls, reported: Path | None, reference: Path | None) -> Published:
        """Read reported numbers and RobustBench's cards; None leaves one of them out."""
        return cls(
            read_reported(reported) if reported else (),
            _cards(reference) if reference else (),
        )


def _cards(path: Path) -> tuple[ModelCard, ...]:
    found = []
    for where, row in _lines(path, MODEL_COLUMNS):
        clean, robust = _of_card(row, where)
        # Spreadsheets write TRUE.
        extra, generated = (
            value_of(bool, row[name].lower(), f"{where}.{name}")
            for name in ("extra_data", "generated_data")
        )
        found.append(
            ModelCard(
                dataset=row["dataset"],
                name=row["name"],
                architecture=row["architecture"].strip(),
                clean=clean.value,
                autoattack=robust.value,
                eps=robust.eps,
                data="extra" if extra else "generated" if generated else "plain",
            )
        )
    return tuple(found)

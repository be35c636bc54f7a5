"""What the paper leaves open: the default, the alternatives, what this run did, what matters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.analysis.ablations import SMALL, unadjusted
from bench.analysis.image_counts import Counts
from bench.analysis.names import attack_name
from bench.analysis.plots.ablations import network_name
from bench.analysis.plots.caption import joined
from bench.analysis.plots.context import Context
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Column,
    Filter,
    Grid,
    Mark,
    between,
    flag_marks,
    known,
    make_grid,
    signed,
)
from bench.results.options import options_of

FILE = Path(__file__).with_name("choices.yaml")
OPTION = "spec.options."
# Of the training recipe, by key: what a reader is told of it.
RECIPE = {
    "epochs": "epochs",
    "schedule.name": "schedule",
    "optimizer.learning_rate": "learning rate",
    "batch_size": "batch",
}


@dataclass(frozen=True)
class Choice:
    """An entry of choices.yaml."""

    open: str
    default: str
    alternatives: str
    of: str = ""
    key: str = ""
    told: Mapping[str, str] = field(default_factory=dict)


def choices() -> list[Choice]:
    """Return every open choice; the README has the same table."""
    return [Choice(**entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))]


def choices_grid(context: Context) -> Grid:
    """Return the open choices with what the runs of this experiment did."""
    frame = pd.DataFrame({"choice": choices()})
    return make_grid(
        frame,
        "choices",
        "What the paper leaves open, what the suite does by default, and what was done here.",
        [
            Column("Open", lambda row: row.choice.open),
            Column("Default", lambda row: _prose(row.choice.default)),
            Column("Alternatives", lambda row: _prose(row.choice.alternatives)),
            Column("In this run", lambda row: _here(row.choice, context) or ABSENT),
        ],
        notes=["A config key of the same name chooses an alternative; the README lists the keys."],
    )


def _here(choice: Choice, context: Context) -> str:
    if not choice.key:
        return "as the default"
    found: dict[str, str] = {}
    if choice.key.startswith(OPTION):
        option = choice.key.removeprefix(OPTION)
        rows = context.ordered(context.results.ours.drop_duplicates("method"))
        for row in rows[rows["base_method"] == choice.of].itertuples():
            found[context.methods[row.method].name] = options_of(row.options).get(option, "")
    else:
        for (method, _), record in context.results.trainings.items():
            found[context.methods[method].name] = _told(record, choice)
    by_value: dict[str, list[str]] = {}
    for name, value in found.items():
        if value:
            by_value.setdefault(value, []).append(name)
    if len(by_value) == 1:
        return next(iter(by_value))
    return "; ".join(f"{value}: {joined(names)}" for value, names in by_value.items())


def _told(record: Any, choice: Choice) -> str:
    """Return what a record says under the choice's key."""
    value = _look(record, choice.key)
    if hasattr(value, "__dataclass_fields__"):
        parts = {name: _look(value, key) for key, name in RECIPE.items() if _look(value, key)}
        return ", ".join(f"{name} {part}" for name, part in parts.items())
    return choice.told.get(str(value), str(value))


def _look(record: Any, key: str) -> Any:
    return reduce(lambda found, name: getattr(found, name, None), key.split("."), record)


def _prose(text: str) -> str:
    return text.replace("`", "").strip()


def ablations_grid(context: Context, found: pd.DataFrame) -> Grid:
    """Return a row for each variant, with its differences from the base side by side."""
    key = ["choice", "variant", "base"]
    rows = []
    headings: dict[str, str] = {}
    images = found["n_images"].astype(str).groupby(found["quantity"] + ":" + found["attack"])
    counts = Counts({name: list(numbers) for name, numbers in images})
    for values, group in found.groupby(key, sort=False):
        cells = {f"{row.quantity}:{row.attack}": row for row in group.itertuples()}
        headings |= {name: _heading(row) for name, row in cells.items()}
        marks = [mark for row in cells.values() for mark in flag_marks(row.flags)]
        rows.append(dict(zip(key, values, strict=True)) | {"cells": cells, "marks": marks})
    return make_grid(
        pd.DataFrame(rows, columns=[*key, "cells", "marks"]),
        "ablations",
        "Variant minus base in points, over the same seeds and images.",
        [
            Column("Choice", lambda row: row.choice),
            Column("Variant", lambda row: _variant(row, context)),
            Column("Against", lambda row: network_name(context, row.base)),
            *(
                Column(f"{text}{counts.heading(name)}", _Difference(name, counts), numeric=True)
                for name, text in headings.items()
            ),
        ],
        [Filter("choice", "Choice")],
        [
            "[ ]: 95 % over seeds and images. A choice matters where it excludes zero, does not "
            f"where it lies within {SMALL:g} point, and is undecided otherwise.",
            *unadjusted(int(found["low"].notna().sum())),
        ],
    )


def _heading(row: Any) -> str:
    return attack_name(row.attack) if row.quantity == "accuracy" else "Harmonic mean"


def _variant(row: Any, context: Context) -> Cell:
    marks: list[Mark] = list(dict.fromkeys(row.marks))
    return Cell(network_name(context, row.variant), marks=marks)


class _Difference:
    """Makes the cell of one quantity."""

    def __init__(self, name: str, counts: Counts) -> None:
        self.name, self.counts = name, counts

    def __call__(self, row: Any) -> Cell:
        found = row.cells.get(self.name)
        if found is None or not known(found.difference):
            return Cell(ABSENT)
        below = ": ".join(filter(None, (found.verdict, between(found.low, found.high))))
        text = signed(found.difference) + self.counts.cell(self.name, str(found.n_images))
        return Cell(text, float(found.difference), below=below)

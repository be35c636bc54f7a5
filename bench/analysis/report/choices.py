"""What the paper leaves open: the default, the alternatives, and what this run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.analysis.plots.caption import joined
from bench.analysis.plots.context import Context
from bench.analysis.sheets import Sheet
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
    """Return every open choice; docs/open-choices.md has the same table."""
    return [Choice(**entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))]


def choices_sheet(context: Context) -> Sheet:
    """Return the open choices with what the runs of this experiment did."""
    rows = [
        (
            choice.open,
            choice.default.replace("`", "").strip(),
            choice.alternatives.replace("`", "").strip(),
            _here(choice, context) or "–",
        )
        for choice in choices()
    ]
    return Sheet(
        "choices",
        "What the paper leaves open, what the suite does by default, and what was done here.",
        pd.DataFrame(rows, columns=["Open", "Default", "Alternatives", "In this run"]),
        ["A config key of the same name chooses an alternative; docs/config.md lists the keys."],
        words=4,
    )


def _here(choice: Choice, context: Context) -> str:
    if not choice.key:
        return "as the default"
    values: dict[str, list[str]] = {}
    if choice.key.startswith(OPTION):
        option = choice.key.removeprefix(OPTION)
        rows = context.ordered(context.results.ours.drop_duplicates("method"))
        for row in rows[rows["base_method"] == choice.of].itertuples():
            values.setdefault(options_of(row.options).get(option, ""), []).append(row.method)
    else:
        for (method, _), record in context.results.trainings.items():
            values.setdefault(_told(record, choice), []).append(method)
    values.pop("", None)
    if len(values) == 1:
        return next(iter(values))
    return "; ".join(
        f"{value}: {joined(context.methods[label].name for label in labels)}"
        for value, labels in values.items()
    )


def _told(record: Any, choice: Choice) -> str:
    """Return what a record says under the choice's key."""
    value = _look(record, choice.key)
    if hasattr(value, "__dataclass_fields__"):
        parts = {name: _look(value, key) for key, name in RECIPE.items()}
        return ", ".join(f"{name} {part}" for name, part in parts.items() if part)
    return choice.told.get(str(value), str(value))


def _look(record: Any, key: str) -> Any:
    return reduce(lambda found, name: getattr(found, name, None), key.split("."), record)

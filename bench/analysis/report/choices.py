"""What the paper leaves open: the suite's default, the alternatives, and what this run did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bench.analysis.figures.caption import joined
from bench.analysis.figures.known import Known
from bench.analysis.report.grid import ABSENT, Cell, Column, Grid, Line
from bench.analysis.report.material import Material, look
from bench.results.options import options_of

FILE = Path(__file__).with_name("choices.yaml")
OPTION = "spec.options."


@dataclass(frozen=True)
class Choice:
    """A line of choices.yaml."""

    open: str
    default: str
    alternatives: str
    of: str = ""
    key: str = ""
    told: Mapping[str, str] = field(default_factory=dict)


def choices() -> list[Choice]:
    """Return every open choice; the README has the same table."""
    return [Choice(**entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8"))]


def choices_grid(material: Material, known: Known) -> Grid:
    """Return the open choices with what the runs of this experiment did."""
    return Grid(
        name="choices",
        caption="What the paper leaves open, what the suite does by default, and what was done "
        "here.",
        columns=[Column("Open"), Column("Default"), Column("Alternatives"), Column("In this run")],
        lines=[
            Line(
                [
                    Cell(choice.open),
                    Cell(_prose(choice.default)),
                    Cell(_prose(choice.alternatives)),
                    Cell(_here(choice, material, known) or ABSENT),
                ]
            )
            for choice in choices()
        ],
        notes=["A config key of the same name chooses an alternative; the README lists the keys."],
    )


def _here(choice: Choice, material: Material, known: Known) -> str:
    if choice.key.startswith(OPTION):
        option = choice.key.removeprefix(OPTION)
        found = {
            known.names[row.method]: options_of(row.options).get(option, "")
            for row in sorted(material.rows, key=lambda row: known.order.index(row.method))
            if row.base_method == choice.of
        }
    elif choice.key:
        found = {
            known.names[method]: _told(record, choice)
            for (method, _), record in material.trained.items()
        }
    else:
        return "as the default"
    values = {name: value for name, value in found.items() if value}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    by_value: dict[str, list[str]] = {}
    for name, value in values.items():
        by_value.setdefault(value, []).append(name)
    return "; ".join(f"{value}: {joined(names)}" for value, names in by_value.items())


def _told(record: Mapping[str, Any], choice: Choice) -> str:
    """Return what a record says; of the training shell what the table's default names."""
    parent, _, key = choice.key.rpartition(".")
    within = look(record, parent)
    if not isinstance(within, Mapping) or key not in within:
        return ""
    value = within[key]
    if not isinstance(value, Mapping):
        return choice.told.get(str(value), str(value))
    told = {
        "epochs": look(value, "epochs"),
        "schedule": look(value, "schedule.name"),
        "learning rate": look(value, "optimiser.learning_rate"),
        "batch": look(value, "batch_size"),
    }
    return ", ".join(f"{name} {what}" for name, what in told.items() if what is not None)


def _prose(text: str) -> str:
    return text.replace("`", "").strip()

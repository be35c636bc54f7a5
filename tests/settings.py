"""A small configuration as YAML gives it, and ways to change it by dotted key."""

from __future__ import annotations

import copy
from typing import Any

RAW: dict[str, Any] = {
    "experiment": "tiny",
    "seeds": [0, 1],
    "data": {"source": "digits", "name": "digits"},
    "model": {"name": "small_cnn"},
    "threat": {"eps": "8/255"},
    "compute": {"device": "cpu", "threads": 1},
    "training": {
        "epochs": 2,
        "batch_size": 50,
        "optimizer": {"learning_rate": 0.1},
        "attack": {"steps": 10},
        "validation_attack": {"steps": 20},
    },
    "methods": {"trades": {"beta": 6}},
    "evaluation": {"batch_size": 20, "pgd": {"pgd20": {"steps": 20}}},
}


def settings(changes: dict[str, Any] | None = None, *, without: str | None = None) -> Any:
    """Return a copy with the values of dotted keys changed, and perhaps one key left out."""
    raw = copy.deepcopy(RAW)
    for dotted, value in (changes or {}).items():
        section, key = _place(raw, dotted)
        section[key] = copy.deepcopy(value)
    if without is not None:
        section, key = _place(raw, without)
        del section[key]
    return raw


def _place(raw: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    *sections, key = dotted.split(".")
    for section in sections:
        raw = raw.setdefault(section, {})
    return raw, key

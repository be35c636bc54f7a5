"""What several commands are given, and how it is read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def json_value(text: str) -> Any:
    """Return what the JSON `text` holds."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error}), got {text!r}") from None


def run_name(text: str) -> tuple[str, int]:
    """Return the method's label and the seed of a run such as trades/0."""
    method, _, seed = text.rpartition("/")
    if not method or not seed.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a run such as trades/0, got {text!r}")
    return method, int(seed)


def positive(text: str) -> float:
    """Return the number that `text` is, if it is above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number


def add_diagnosed(command: argparse.ArgumentParser) -> None:
    """Let `command` be told which runs' diagnostics count."""
    text = "runs whose diagnostics count; default: all there"
    command.add_argument("--diagnosed", nargs="*", type=run_name, metavar="METHOD/SEED", help=text)


def add_what(command: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Let `command` be told what to do: by a config, or by the JSON that a workflow hands over."""
    group = command.add_mutually_exclusive_group(required=required)
    group.add_argument("--config", type=Path, help="an experiment, such as config/digits.yaml")
    group.add_argument("--spec", type=json_value, help="JSON of what decides the result")

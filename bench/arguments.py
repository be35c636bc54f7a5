"""What several commands are given, and how it is read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench.changes import listed
from bench.config import Experiment
from bench.parsing import BenchError
from bench.planning.records import images_of, section_differs


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


def find_images(chosen: argparse.Namespace, experiment: Experiment) -> None:
    """Fill in the data file if it was left out.

    Raises
    ------
    BenchError
        It was made for another section `data` than that of the config.
    """
    chosen.data = chosen.data or images_of(experiment, Path("results"))
    if keys := section_differs(experiment.data, chosen.data):
        raise BenchError(
            f"{chosen.data}: {chosen.config} has another {listed(keys)} than these images were "
            f"read for; run `python -m bench data --config {chosen.config} --out {chosen.data}`"
        )

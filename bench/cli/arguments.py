"""What several commands are given, and how it is read."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.config.experiment import Experiment
from bench.config.loading import read_config
from bench.config.parsing import nearest
from bench.results.changes import listed
from bench.results.paths import Paths
from bench.results.staleness import data_section_differs
from bench.runtime.errors import BenchError
from bench.runtime.places import config_file, expanded


def add_command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int | None], text: str
) -> argparse.ArgumentParser:
    """Add a command to those of the parser: its name, what it does, and a line about it."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(command=function)
    return command


class CommandParser(argparse.ArgumentParser):
    """Names a flag that it does not know before it misses the one that was meant."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Do what the class above does, once every flag in `args` is a known one."""
        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        for given in args or ():
            flag = given.partition("=")[0]
            # The beginning of a flag is enough for it.
            if flag.startswith("--") and not any(name.startswith(flag) for name in known):
                self.error(f"unknown flag {flag}; {nearest(flag, known)}")
        return super().parse_known_args(args, namespace)


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


def named_folder(text: str) -> tuple[str, Path]:
    """Return the name and the folder of a part such as alice=results/digits.

    Without a name it is that of the folder.
    """
    name, _, folder = text.partition("=")
    if folder and "/" not in name:
        return name, expanded(folder)
    path = expanded(text)
    return path.resolve().name, path


def part_of(text: str) -> tuple[int, int]:
    """Return the numbers of a part such as 0/4: the first of four."""
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise argparse.ArgumentTypeError(f"expected a part from 0/4 to 3/4, got {text!r}")
    return int(number), int(of)


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


def add_what(command: argparse.ArgumentParser, *, required: bool = True) -> Any:
    """Let `command` be told what to do: by a config, or by the JSON that a workflow hands over.

    Returns the group of arguments, of which one may be given.
    """
    group = command.add_mutually_exclusive_group(required=required)
    group.add_argument(
        "--config", type=config_file, help="an experiment, such as config/digits.yaml"
    )
    group.add_argument("--spec", type=json_value, help="JSON of what decides the result")
    return group


def need(chosen: argparse.Namespace, *names: str) -> None:
    """Raise BenchError where an argument was left out that only a config has a default for."""
    for name in names:
        if getattr(chosen, name) is None:
            raise BenchError(f"--{name} is needed with --spec")


def read_experiment(chosen: argparse.Namespace, *needed: str) -> Experiment | None:
    """Return the experiment of --config; None with --spec, which needs the arguments `needed`.

    Data file and folder, where they were left out, are those of the workflow.

    Raises
    ------
    BenchError
        An argument is missing, or the data file was made for another section `data`.
    """
    if not chosen.config:
        need(chosen, *needed)
        return None
    experiment = read_config(chosen.config)
    paths = Paths.of(experiment.experiment)
    chosen.data = chosen.data or paths.data
    if keys := data_section_differs(experiment, chosen.data):
        raise BenchError(
            f"{chosen.data}: {chosen.config} has another {listed(keys)} than these images were "
            f"read for; run `python -m bench data --config {chosen.config} --out {chosen.data}`"
        )
    if chosen.folder is None:
        if hasattr(chosen, "method"):
            chosen.folder = paths.run(chosen.method, chosen.seed).folder
        elif hasattr(chosen, "name"):
            chosen.folder = paths.reference(chosen.name).folder
        else:
            chosen.folder = paths.folder
    return experiment

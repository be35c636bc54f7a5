"""The commands that ask whether robustness is real: diagnose and transfer."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import gpus
from bench.arguments import find_images, json_value
from bench.config import DiagnosticsSpec
from bench.config_file import read_config
from bench.parsing import BenchError, parse

Add = Callable[[Any, str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser]


def add_commands(commands: Any, add: Add) -> None:
    """Add the two commands to `commands` by `add`."""
    diagnose = add(commands, "diagnose", diagnose_run, "examine whether a run's robustness is real")
    _shared(diagnose)
    diagnose.add_argument("--method", required=True, help="its label in the config")
    diagnose.add_argument("--folder", type=Path, help="the run's folder; default: the experiment's")

    transfer = add(
        commands, "transfer", transfer_seed, "try each method's adversarial images on the others"
    )
    _shared(transfer)
    transfer.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="default: all of the config"
    )
    transfer.add_argument("--folder", type=Path, help="default: results/<experiment>")


def diagnose_run(chosen: argparse.Namespace) -> None:
    """Examine the weights of one run."""
    if chosen.config:
        experiment = read_config(chosen.config)
        experiment.train_spec(chosen.method, chosen.seed)
        spec, results = experiment.diagnostics_spec(), Path("results") / experiment.experiment
        find_images(chosen, experiment)
        run = results / "models" / chosen.method / f"seed{chosen.seed}"
        chosen.folder = chosen.folder or run
    else:
        spec = _spec(chosen, "data", "folder")
    _claim(spec)
    from bench.diagnostics.job import diagnose

    diagnose(spec, data=chosen.data, folder=chosen.folder)


def transfer_seed(chosen: argparse.Namespace) -> None:
    """Try adversarial images on the networks of other methods."""
    if chosen.config:
        experiment = read_config(chosen.config)
        chosen.methods = chosen.methods or [method.label for method in experiment.methods]
        for label in chosen.methods:
            experiment.train_spec(label, chosen.seed)
        spec, results = experiment.diagnostics_spec(), Path("results") / experiment.experiment
        find_images(chosen, experiment)
        chosen.folder = chosen.folder or results
    else:
        spec = _spec(chosen, "data", "folder", "methods")
    if len(set(chosen.methods)) < 2:
        raise BenchError("--methods: images transfer between networks; name at least two")
    _claim(spec)
    from bench.diagnostics.transfer import transfer

    transfer(spec, chosen.methods, chosen.seed, data=chosen.data, folder=chosen.folder)


def _shared(command: argparse.ArgumentParser) -> None:
    group = command.add_mutually_exclusive_group(required=True)
    group.add_argument("--config", type=Path, help="an experiment, such as config/digits.yaml")
    group.add_argument("--spec", type=json_value, help="JSON of what decides the result")
    command.add_argument("--seed", type=int, required=True)
    command.add_argument("--data", type=Path, help="data file; default: the experiment's")


def _spec(chosen: argparse.Namespace, *needed: str) -> DiagnosticsSpec:
    for name in needed:
        if getattr(chosen, name) is None:
            raise BenchError(f"--{name} is needed with --spec")
    return parse(DiagnosticsSpec, chosen.spec, where="spec")


def _claim(spec: DiagnosticsSpec) -> None:
    # Before anything imports torch, which reads the choice of a device when it starts.
    if spec.compute.device == "cuda":
        gpus.claim()

"""The commands that ask whether robustness is real: diagnose and transfer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.cli.arguments import Add, add_images, add_run, add_seed, add_what, find_paths, need
from bench.config.experiment import DiagnosticsSpec
from bench.config.loading import read_config
from bench.config.parsing import parse
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.places import expanded


def add_commands(commands: Any, add: Add) -> None:
    """Add the two commands to `commands` by `add`."""
    diagnose = add(commands, "diagnose", diagnose_run, "examine whether a run's robustness is real")
    add_what(diagnose)
    add_run(diagnose)

    transfer = add(
        commands, "transfer", transfer_seed, "try each method's adversarial images on the others"
    )
    add_what(transfer)
    add_seed(transfer)
    add_images(transfer)
    transfer.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="default: all of the config"
    )
    transfer.add_argument("--folder", type=expanded, help="default: results/<experiment>")


def diagnose_run(chosen: argparse.Namespace) -> None:
    """Examine the weights of one run."""
    if chosen.config:
        experiment = read_config(chosen.config)
        experiment.train_spec(chosen.method, chosen.seed)
        spec = experiment.diagnostics_spec()
        find_paths(chosen, experiment)
    else:
        need(chosen, "data", "folder")
        spec = parse(DiagnosticsSpec, chosen.spec, where="spec")
    gpus.claim_for(spec.compute.device)
    from bench.diagnostics.job import diagnose

    diagnose(spec, data=chosen.data, folder=chosen.folder)


def transfer_seed(chosen: argparse.Namespace) -> None:
    """Try adversarial images on the networks of other methods."""
    if chosen.config:
        experiment = read_config(chosen.config)
        chosen.methods = chosen.methods or [method.label for method in experiment.methods]
        for label in chosen.methods:
            experiment.train_spec(label, chosen.seed)
        spec = experiment.diagnostics_spec()
        find_paths(chosen, experiment)
        chosen.folder = chosen.folder or Path("results") / experiment.experiment
    else:
        need(chosen, "data", "folder", "methods")
        spec = parse(DiagnosticsSpec, chosen.spec, where="spec")
    if len(set(chosen.methods)) < 2:
        raise BenchError("--methods: images transfer between networks; name at least two")
    gpus.claim_for(spec.compute.device)
    from bench.diagnostics.transfer import transfer

    transfer(spec, chosen.methods, chosen.seed, data=chosen.data, folder=chosen.folder)

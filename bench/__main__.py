"""The stages of an experiment, each by hand: ``python -m bench <command> --help``.

The workflow calls the same commands with ``--spec``: the JSON of exactly what decides the result,
so that Snakemake reruns a job when, and only when, that changes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cli import analysis, diagnostics, planning
from bench.cli.arguments import (
    CommandParser,
    add_images,
    add_run,
    add_what,
    find_paths,
    json_value,
    need,
    positive,
)
from bench.cli.perf import add_command
from bench.config import experiment as config
from bench.config.experiment import TrainSpec
from bench.config.loading import read_config
from bench.config.parsing import parse
from bench.config.schema import Needs
from bench.planning.sizes import check_beside
from bench.results.staleness import images_of
from bench.runtime import gpus
from bench.runtime.exit_code import exit_code, prepare_output
from bench.runtime.places import expanded


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; an error ends with one line on standard error."""
    began = time.monotonic()
    prepare_output()
    chosen = parser().parse_args(arguments)
    chosen.began = began
    return exit_code(lambda: chosen.command(chosen))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command", parser_class=CommandParser)
    planning.add_commands(commands, _command)
    diagnostics.add_commands(commands, _command)
    add_command(commands, _command)
    analysis.add_commands(commands, _command)

    data = _command(commands, "data", prepare_data, "read images and write one data file")
    add_what(data)
    data.add_argument("--out", type=expanded, help="default: results/<experiment>/data.safetensors")
    least = "what the attacks need (with --spec)"
    data.add_argument("--classes-at-least", type=int, default=1, help=least)
    data.add_argument("--test-images-at-least", type=int, default=1, help=least)

    train = _command(commands, "train", train_run, "train one method with one seed")
    add_what(train)
    add_run(train)
    train.add_argument("--experiment", help="its name in the record (with --spec)")

    evaluate = _command(commands, "evaluate", evaluate_run, "judge the weights of one run")
    add_what(evaluate)
    add_run(evaluate)
    evaluate.add_argument(
        "--train-spec", type=json_value, help="what it must have been trained with (with --spec)"
    )

    reference = _command(commands, "reference", judge_reference, "judge a RobustBench model")
    add_what(reference)
    reference.add_argument("--name", required=True, help="RobustBench's name of the model")
    add_images(reference)
    reference.add_argument("--folder", type=expanded, help="where its verdicts go")

    several = _command(
        commands, "run", run_several, "train and judge runs in turn, without Snakemake"
    )
    several.add_argument("--config", type=expanded, required=True, help="such as config/paper.yaml")
    several.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="in this order; default: all"
    )
    several.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="default: all")
    several.add_argument(
        "--time-limit", type=positive, metavar="MINUTES", help="stop before, to go on another time"
    )

    pack = _command(commands, "pack", pack_folder, "write a folder as small files with checksums")
    pack.add_argument(
        "--folder", type=expanded, required=True, help="such as a run, .../<method>/seed<k>"
    )
    pack.add_argument("--out", type=expanded, required=True, help="where the parts go")
    pack.add_argument("--part-mib", type=positive, default=16, help="size of a part at most (16)")

    unpack = _command(commands, "unpack", unpack_folder, "make the folder that pack wrote again")
    unpack.add_argument("--parts", type=expanded, required=True, help="the .json that pack wrote")
    unpack.add_argument("--out", type=expanded, required=True, help="the folder to make")

    export = _command(commands, "export", export_run, "write a checkpoint that loads anywhere")
    export.add_argument(
        "--folder", type=expanded, required=True, help="the run, .../<method>/seed<k>"
    )
    export.add_argument("--checkpoint", default="best", help="best (default) or last")
    export.add_argument("--out", type=expanded, required=True, help="folder to write")
    return top


def _command(
    commands: Any, name: str, function: Callable[[argparse.Namespace], int | None], text: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(command=function)
    return command


def prepare_data(chosen: argparse.Namespace) -> None:
    """Read the images and write the data file with its description beside it.

    With a config it is said here, too, where a method could not be trained on them.
    """
    experiment = None
    if chosen.config:
        experiment = read_config(chosen.config)
        spec, needs = experiment.data, experiment.needs
        out = chosen.out or images_of(experiment, Path("results"))
    else:
        need(chosen, "out")
        spec, out = parse(config.Data, chosen.spec, where="data"), chosen.out
        needs = Needs(classes=chosen.classes_at_least, test_images=chosen.test_images_at_least)
    from bench.data.job import prepare

    about = prepare(spec, needs, out)
    print(json.dumps(about))
    if experiment is not None:
        from bench.training.feasible import check_all

        check_all(experiment, [method.label for method in experiment.methods], about)


def train_run(chosen: argparse.Namespace) -> None:
    """Train one method with one seed."""
    if chosen.config:
        experiment = read_config(chosen.config)
        spec, name = experiment.train_spec(chosen.method, chosen.seed), experiment.experiment
        find_paths(chosen, experiment)
    else:
        need(chosen, "data", "folder", "experiment")
        spec = parse(TrainSpec, chosen.spec, where="spec")
        name = chosen.experiment
    check_beside(spec.training, chosen.method, chosen.data)
    gpus.claim_for(spec.compute.device)
    from bench.training.job import train

    train(spec, experiment=name, label=chosen.method, data=chosen.data, folder=chosen.folder)


def evaluate_run(chosen: argparse.Namespace) -> None:
    """Judge every checkpoint of one run."""
    if chosen.config:
        experiment = read_config(chosen.config)
        training: TrainSpec | None = experiment.train_spec(chosen.method, chosen.seed)
        spec = experiment.evaluation_spec()
        find_paths(chosen, experiment)
    else:
        need(chosen, "data", "folder")
        spec, raw = parse(config.EvaluationSpec, chosen.spec, where="spec"), chosen.train_spec
        training = parse(TrainSpec, raw, where="train-spec") if raw else None
    gpus.claim_for(spec.compute.device)
    from bench.evaluation.job import evaluate

    evaluate(spec, data=chosen.data, folder=chosen.folder, training=training)


def judge_reference(chosen: argparse.Namespace) -> None:
    """Judge a RobustBench model as ours are judged."""
    if chosen.config:
        experiment = read_config(chosen.config)
        spec = experiment.evaluation_spec()
        find_paths(chosen, experiment)
        chosen.folder = (
            chosen.folder or Path("results") / experiment.experiment / "reference" / chosen.name
        )
    else:
        need(chosen, "data", "folder")
        spec = parse(config.EvaluationSpec, chosen.spec, where="spec")
    gpus.claim_for(spec.compute.device)
    from bench.evaluation.reference import evaluate_reference

    evaluate_reference(chosen.name, spec, data=chosen.data, folder=chosen.folder)


def run_several(chosen: argparse.Namespace) -> int:
    """Train and judge runs one after the other; `bench.planning.local_runner.AGAIN` where the time was up."""
    experiment = read_config(chosen.config)
    methods = chosen.methods or [method.label for method in experiment.methods]
    seeds = chosen.seeds or list(experiment.seeds)
    runs = [(method, seed) for seed in seeds for method in methods]
    for method, seed in runs:
        experiment.train_spec(method, seed)
    gpus.claim_for(experiment.compute.device)
    from bench.planning.local_runner import sit

    results, minutes = Path("results"), chosen.time_limit
    return sit(experiment, runs, results=results, minutes=minutes, began=chosen.began)


def pack_folder(chosen: argparse.Namespace) -> None:
    """Write a folder in parts."""
    from bench.parts import pack

    written = pack(chosen.folder, chosen.out, largest=max(1, int(chosen.part_mib * 2**20)))
    print("\n".join(map(str, written)))


def unpack_folder(chosen: argparse.Namespace) -> None:
    """Make a folder again from its parts."""
    from bench.parts import unpack

    print(unpack(chosen.parts, chosen.out))


def export_run(chosen: argparse.Namespace) -> None:
    """Write a checkpoint with all that is needed to load it without this package."""
    from bench.evaluation.export import export

    readme = export(chosen.folder, chosen.checkpoint, chosen.out)
    print(f"{readme} says how to load it")


if __name__ == "__main__":
    sys.exit(main())

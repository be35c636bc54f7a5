"""The commands that read images, train, evaluate and diagnose."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from bench.cli.arguments import (
    add_command,
    add_what,
    json_value,
    need,
    part_of,
    positive,
    read_experiment,
)
from bench.config.experiment import Data, DiagnosticsSpec, EvaluationSpec, NetworkSpec, TrainSpec
from bench.config.job_specs import decisive
from bench.config.loading import read_config
from bench.config.parsing import parse
from bench.config.schema import Compute, Needs, Network, Threat
from bench.planning.sizes import check_beside
from bench.planning.text import table
from bench.results.paths import RESULTS, Paths
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.places import config_file, expanded

RUN = "the run, .../<method>/seed<k>"


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's `commands`."""
    data = add_command(commands, "data", prepare_data, "read images and write one data file")
    add_what(data)
    data.add_argument("--out", type=expanded, help="default: results/<experiment>/data.safetensors")
    least = "what the attacks need (with --spec)"
    data.add_argument("--classes-at-least", type=int, default=1, help=least)
    data.add_argument("--test-images-at-least", type=int, default=1, help=least)

    train = _job(commands, "train", train_run, "train one method with one seed")
    train.add_argument("--experiment", help="its name in the record (with --spec)")

    text = "take weights that were trained elsewhere into an experiment"
    network = _job(commands, "network", take_network, text, seed=False)
    network.add_argument("--seed", type=int, default=0, help="of its `weights`; default: 0")
    network.add_argument("--experiment", help="its name in the record (with --spec)")

    text = "evaluate the weights of one run, or of a file by hand"
    evaluate = _job(commands, "evaluate", evaluate_run, text, method=False, seed=False)
    evaluate.add_argument("--method", help="its label in the config")
    evaluate.add_argument("--seed", type=int, default=0, help="one of the config's seeds")
    evaluate.add_argument(
        "--part", type=part_of, metavar="K/N", help="only part K of N of AutoAttack's units"
    )
    by_hand = evaluate.add_argument_group("weights of a file by hand, without a config")
    by_hand.add_argument("--architecture", help="as `architecture` of docs/networks.md")
    by_hand.add_argument("--network", type=json_value, default={}, help="other keys of it as JSON")
    by_hand.add_argument("--eps", help="radius, such as 8/255")
    by_hand.add_argument("--images", type=int, help="the first of the test set; default: all")
    by_hand.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    by_hand.add_argument("--threads", type=int, default=1, help="of a CPU; default: 1")
    evaluate.add_argument(
        "--train-spec", type=json_value, help="what its weights must come from (with --spec)"
    )

    _job(commands, "diagnose", diagnose_run, "check whether a run's robustness is real")

    text = "evaluate a RobustBench model"
    reference = _job(commands, "reference", evaluate_reference, text, method=False, seed=False)
    reference.add_argument("--name", required=True, help="RobustBench's name of the model")

    text = "try each method's adversarial images on the others"
    transfer = _job(commands, "transfer", transfer_seed, text, method=False)
    transfer.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="default: all of the config"
    )

    text = "train and evaluate runs in turn, without Snakemake"
    several = add_command(commands, "run", run_several, text)
    several.add_argument(
        "--config", type=config_file, required=True, help="such as config/paper.yaml"
    )
    several.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="in this order; default: all"
    )
    several.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="default: all")
    several.add_argument(
        "--time-limit", type=positive, metavar="MINUTES", help="stop before, to resume another time"
    )

    text = "count adversarial images that others made for a run"
    imports = add_command(commands, "import", import_images, text)
    imports.add_argument("--folder", type=expanded, required=True, help=RUN)
    imports.add_argument("--images", type=expanded, required=True, help="a tensor file or a folder")
    imports.add_argument("--name", required=True, help="of the attack, in results")
    imports.add_argument("--source", required=True, help="who made them, and how")
    imports.add_argument("--checkpoint", default="best", help="best (default) or last")
    imports.add_argument("--data", type=expanded, help="data file; default: the experiment's")

    text = "check robust accuracies by their adversarial images, without an attack"
    again = add_command(commands, "recheck", recheck_runs, text)
    again.add_argument("folders", nargs="+", type=expanded, metavar="FOLDER", help=RUN)
    again.add_argument("--data", type=expanded, help="data file; default: the experiment's, if any")

    text = "write a checkpoint that loads anywhere"
    export = add_command(commands, "export", export_run, text)
    export.add_argument("--folder", type=expanded, required=True, help=RUN)
    export.add_argument("--checkpoint", default="best", help="best (default) or last")
    export.add_argument("--out", type=expanded, required=True, help="folder to write")


def _job(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], None],
    text: str,
    *,
    method: bool = True,
    seed: bool = True,
) -> argparse.ArgumentParser:
    """Add the command of a job of the workflow, which is told its config and its files."""
    command = add_command(commands, name, function, text)
    what = add_what(command)
    if name == "evaluate":
        what.add_argument("--weights", type=expanded, help="a file of weights, by hand")
    if method:
        command.add_argument("--method", required=True, help="its label in the config")
    if seed:
        command.add_argument("--seed", type=int, required=True, help="one of the config's seeds")
    command.add_argument("--data", type=expanded, help="data file; default: the experiment's")
    command.add_argument("--folder", type=expanded, help="of its files; default: the workflow's")
    return command


def prepare_data(chosen: argparse.Namespace) -> None:
    """Read the images and write the data file with its description beside it.

    With a config it is said here, too, where a method could not be trained on them.
    """
    experiment = read_config(chosen.config) if chosen.config else None
    if experiment:
        spec, needs = experiment.data, experiment.needs
        out = chosen.out or Paths.of(experiment.experiment).data
    else:
        need(chosen, "out")
        spec, out = parse(Data, chosen.spec, where="data"), chosen.out
        needs = Needs(classes=chosen.classes_at_least, test_images=chosen.test_images_at_least)
    from bench.data.job import prepare

    record = prepare(spec, needs, out)
    print(
        f"{record.name}: {record.train_images} training and {record.test_images} test images of "
        f"{len(record.classes)} classes, fingerprint {record.fingerprint[:12]}"
    )
    if experiment:
        from bench.training.feasible import check_all

        check_all(experiment, [method.label for method in experiment.methods], record)


def train_run(chosen: argparse.Namespace) -> None:
    """Train one method with one seed."""
    if experiment := read_experiment(chosen, "data", "folder", "experiment"):
        chosen.experiment = experiment.experiment
        spec = experiment.train_spec(chosen.method, chosen.seed)
    else:
        spec = parse(TrainSpec, chosen.spec, where="spec")
    check_beside(spec.training, chosen.method, chosen.data)
    gpus.claim_for(spec.compute.device)
    from bench.training.job import train

    train(
        spec,
        experiment=chosen.experiment,
        label=chosen.method,
        data=chosen.data,
        folder=chosen.folder,
    )


def take_network(chosen: argparse.Namespace) -> None:
    """Take weights of others into an experiment, if nothing is found to be wrong with them."""
    if experiment := read_experiment(chosen, "data", "folder", "experiment"):
        chosen.experiment = experiment.experiment
        spec = experiment.network_spec(chosen.method, chosen.seed)
    else:
        spec = parse(NetworkSpec, chosen.spec, where="spec")
    gpus.claim_for(spec.compute.device)
    from bench.external.job import take

    take(
        spec,
        experiment=chosen.experiment,
        label=chosen.method,
        data=chosen.data,
        folder=chosen.folder,
    )


def evaluate_run(chosen: argparse.Namespace) -> None:
    """Evaluate every checkpoint of one run, or weights of a file by hand."""
    if chosen.weights is not None:
        evaluate_file(chosen)
        return
    need(chosen, "method")
    training: TrainSpec | NetworkSpec | None = None
    if experiment := read_experiment(chosen, "data", "folder"):
        training = experiment.origin_spec(chosen.method, chosen.seed)
        spec = experiment.evaluation_spec_of(chosen.method, chosen.seed)
    else:
        spec = parse(EvaluationSpec, chosen.spec, where="spec")
        if chosen.train_spec:
            taken = "network" in chosen.train_spec
            kind: type[TrainSpec | NetworkSpec] = NetworkSpec if taken else TrainSpec
            training = parse(kind, chosen.train_spec, where="train-spec")
    gpus.claim_for(spec.compute.device)
    from bench.evaluation.job import evaluate
    from bench.evaluation.per_example import Part

    part = None if chosen.part is None else Part(*chosen.part)
    evaluate(spec, data=chosen.data, folder=chosen.folder, training=training, part=part)


def evaluate_file(chosen: argparse.Namespace) -> None:
    """Evaluate the weights of a file on the images of a data file, without an experiment."""
    need(chosen, "data", "eps")
    about = {"weights": str(chosen.weights), "architecture": chosen.architecture}
    network = parse(Network, {**about, **chosen.network}, where="--network")
    threads = chosen.threads if chosen.device == "cpu" else None
    threat = parse(Threat, {"eps": chosen.eps}, where="threat")
    compute = Compute(device=chosen.device, threads=threads)
    spec = NetworkSpec(network=network, seed=0, threat=threat, compute=decisive(compute))
    gpus.claim_for(compute.device)
    from bench.evaluation.by_hand import evaluate_file as by_hand

    folder = chosen.folder or RESULTS / "external" / chosen.weights.stem
    record = by_hand(spec, chosen.images, data=chosen.data, folder=folder)
    rows = [
        [attack, str(one.correct), str(one.n), f"{100 * one.correct / one.n:.2f}", one.source]
        for _, attack, one in record.attacks()
    ]
    print("\n".join(table(["attack", "correct", "of", "%", "source"], rows)))
    print(f"per-example results and records: {folder}")


def evaluate_reference(chosen: argparse.Namespace) -> None:
    """Evaluate a RobustBench model as ours are."""
    if experiment := read_experiment(chosen, "data", "folder"):
        spec = experiment.evaluation_spec()
    else:
        spec = parse(EvaluationSpec, chosen.spec, where="spec")
    gpus.claim_for(spec.compute.device)
    from bench.evaluation.reference import evaluate_reference

    evaluate_reference(chosen.name, spec, data=chosen.data, folder=chosen.folder)


def diagnose_run(chosen: argparse.Namespace) -> None:
    """Check whether the robustness of one run is real."""
    if experiment := read_experiment(chosen, "data", "folder"):
        experiment.origin_spec(chosen.method, chosen.seed)
        spec = experiment.diagnostics_spec()
    else:
        spec = parse(DiagnosticsSpec, chosen.spec, where="spec")
    gpus.claim_for(spec.compute.device)
    from bench.diagnostics.job import diagnose

    diagnose(spec, data=chosen.data, folder=chosen.folder)


def transfer_seed(chosen: argparse.Namespace) -> None:
    """Try adversarial images on the networks of other methods."""
    if experiment := read_experiment(chosen, "data", "folder", "methods"):
        chosen.methods = chosen.methods or experiment.labels_of(chosen.seed)
        for label in chosen.methods:
            experiment.origin_spec(label, chosen.seed)
        spec = experiment.diagnostics_spec()
    else:
        spec = parse(DiagnosticsSpec, chosen.spec, where="spec")
    if len(set(chosen.methods)) < 2:
        raise BenchError("--methods: images transfer between networks; name at least two")
    gpus.claim_for(spec.compute.device)
    from bench.diagnostics.transfer import transfer

    transfer(spec, chosen.methods, chosen.seed, data=chosen.data, folder=chosen.folder)


def run_several(chosen: argparse.Namespace) -> int:
    """Train and evaluate runs one after the other; 75 where the time was up."""
    experiment = read_config(chosen.config)
    methods = chosen.methods or [method.label for method in experiment.methods]
    seeds = chosen.seeds or list(experiment.seeds)
    ours = [method for method in methods if method not in experiment.networks]
    runs = [(method, seed) for seed in seeds for method in ours]
    for method, seed in runs:
        experiment.train_spec(method, seed)
    runs += [
        (label, seed)
        for label, seed in experiment.external()
        if (label in methods or not chosen.methods) and seed in (chosen.seeds or [seed])
    ]
    gpus.claim_for(experiment.compute.device)
    from bench.planning.local_runner import LocalRunner

    return LocalRunner(experiment, runs, RESULTS).run(chosen.time_limit, chosen.began)


def import_images(chosen: argparse.Namespace) -> None:
    """Count adversarial images that others made for a run."""
    from bench.evaluation.importing import import_into

    data = chosen.data or chosen.folder.absolute().parents[2] / "data.safetensors"
    record = import_into(
        chosen.folder,
        chosen.images,
        name=chosen.name,
        source=chosen.source,
        checkpoint=chosen.checkpoint,
        data=data,
    )
    print(f"{chosen.name}: {record.correct} of {record.n} images robust; make the summary again")


def recheck_runs(chosen: argparse.Namespace) -> None:
    """Check robust accuracies by their witnesses."""
    from bench.evaluation.recheck import recheck

    for folder in chosen.folders:
        for one in recheck(folder, chosen.data):
            print(f"{folder}: {one}")


def export_run(chosen: argparse.Namespace) -> None:
    """Write a checkpoint with all that is needed to load it without this package."""
    from bench.evaluation.export import export

    readme = export(chosen.folder, chosen.checkpoint, chosen.out)
    print(f"{readme} says how to load it")

"""Evaluate every checkpoint of a run under every attack; leave per-example results and a record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config.experiment import (
    DiagnosticsSpec,
    EvaluationSpec,
    NetworkSpec,
    TrainSpec,
    spec_json,
)
from bench.data.dataset import Dataset, Images, load
from bench.evaluation.batch_halving import evaluate_in_memory
from bench.evaluation.per_example import ExampleResults
from bench.evaluation.state import State, forget
from bench.external import network as external
from bench.models import checkpoint as weights
from bench.numerics.device import describe, prepare
from bench.results.changes import ELSE, differences, listed
from bench.results.examples import examples_text
from bench.results.flags import HALVED
from bench.results.origin import read_origin
from bench.results.paths import RunPaths
from bench.results.records import (
    AttackRecord,
    EvaluatedCheckpoint,
    EvaluationRecord,
    ImagesRecord,
    NetworkRecord,
    OriginRecord,
)
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256, write_text
from bench.runtime.provenance import evaluate_digest, packages
from bench.runtime.signals import stopping_cleanly


def attacks_on(checkpoint: str, spec: EvaluationSpec) -> list[str]:
    """Return the names of the attacks that `checkpoint` is evaluated under, clean first."""
    evaluation = spec.evaluation
    names = ["clean"]
    names += [name for name, pgd in evaluation.pgd.items() if checkpoint in pgd.checkpoints]
    if evaluation.autoattack and checkpoint in evaluation.autoattack.checkpoints:
        names.append("autoattack")
    return names


def evaluate(
    spec: EvaluationSpec,
    *,
    data: Path,
    folder: Path,
    training: TrainSpec | NetworkSpec | None = None,
) -> None:
    """Evaluate the run in `folder` on the test images of the data file `data`.

    Writes the per-example results of every checkpoint and attack and, when all is done,
    evaluation.json. With `training`, the settings that its weights should have come from, no other
    run is evaluated.

    Raises
    ------
    BenchError
        The run was trained on other images, in another ball or under other settings, or its weights
        are not those it recorded.
    """
    run = RunPaths(folder)
    trained = read_origin(
        run, "train this run with `python -m bench train`, or name another --folder"
    )
    if not trained.checkpoints:
        raise BenchError(f"{run.origin_record}: checkpoints is empty; train this run again")
    dataset = load(data)
    check_data(trained.data.fingerprint, dataset, run.origin_record)
    keys = differences(training, trained.spec) if training else []
    if trained.spec.threat.eps != spec.threat.eps:
        keys = keys or ["threat.eps"]
    if keys:
        raise BenchError(
            f"{run.origin_record}: made with another {listed(keys)} than the config has; make it "
            f"again, {ELSE}"
        )
    device = prepare(spec.compute)
    test = Images(dataset.test.pixels.to(device), dataset.test.labels.to(device))
    digest = evaluate_digest(trained.spec.architecture)
    checkpoints = {}
    for name, checkpoint in trained.checkpoints.items():
        model = load_checkpoint(run, trained, name, dataset)
        identity = {**surroundings(dataset, device, digest), "weights": checkpoint.weights_sha256}
        checkpoints[name] = EvaluatedCheckpoint(
            weights_sha256=checkpoint.weights_sha256,
            attacks=evaluate_attacks(
                model.to(device), test, attacks_on(name, spec), spec, run, name, identity
            ),
        )
    evaluation_record(
        spec,
        dataset,
        device,
        digest,
        checkpoints,
        experiment=trained.experiment,
        method=trained.method,
        seed=trained.seed,
    ).write(run.evaluation_record)
    forget(run.evaluation_state)


def load_checkpoint(
    run: RunPaths, trained: OriginRecord, checkpoint: str, dataset: Dataset
) -> nn.Module:
    """Return the network of a checkpoint, whose weights must be those on record."""
    path, source = run.weights(checkpoint), run.folder / external.SOURCE
    expected = trained.source_sha256 if isinstance(trained, NetworkRecord) else None
    # Before its code is run.
    if expected is not None and (not source.is_file() or sha256(source) != expected):
        raise BenchError(
            f"{source}: not the architecture that network.json records; make this run again"
        )
    network, fingerprint = load_network(path)
    check_data(fingerprint, dataset, path)
    known = trained.checkpoints.get(checkpoint)
    if known is None or sha256(path) != known.weights_sha256:
        raise BenchError(
            f"{path}: not the weights that {run.origin_record.name} records; make this run again"
        )
    return network


def load_network(path: Path) -> tuple[nn.Module, str]:
    """Return the network in `path`, ours or of others, and the fingerprint of its images."""
    if (description := external.described(path)) is not None:
        return external.load(path, description), description.fingerprint
    network, ours = weights.load(path)
    return network, ours.fingerprint


def evaluation_record(
    spec: EvaluationSpec,
    dataset: Dataset,
    device: torch.device,
    digest: str,
    checkpoints: dict[str, EvaluatedCheckpoint],
    *,
    experiment: str | None,
    method: str,
    seed: int | None,
) -> EvaluationRecord:
    """Return the record of an evaluation by this process."""
    attacks = [record for one in checkpoints.values() for record in one.attacks.values()]
    peaks = [record.peak_memory_mb for record in attacks if record.peak_memory_mb is not None]
    return EvaluationRecord(
        experiment=experiment,
        method=method,
        seed=seed,
        code_digest=digest,
        **made_with(spec, dataset, device),
        peak_memory_mb=max(peaks, default=None),
        checkpoints=checkpoints,
    )


def made_with(
    spec: EvaluationSpec | DiagnosticsSpec, dataset: Dataset, device: torch.device
) -> dict[str, Any]:
    """Return what the record of a job by this process says of settings, images and machine."""
    return {
        "spec": spec,
        "data": ImagesRecord(name=dataset.name, fingerprint=dataset.fingerprint),
        "device": describe(device),
        "threads": spec.compute.threads,
        "packages": packages(),
    }


def surroundings(dataset: Dataset, device: torch.device, digest: str) -> dict[str, Any]:
    """Return what every result of a job depends on: images, code, packages and device."""
    return {
        "images": dataset.fingerprint,
        "code": digest,
        "packages": packages(),
        "device": describe(device),
    }


def settings(spec: EvaluationSpec, name: str) -> dict[str, Any]:
    """Return the settings that the attack `name` depends on, and no other attack's."""
    every = spec_json(spec)
    evaluation = every["evaluation"]
    own = evaluation["autoattack"] if name == "autoattack" else evaluation["pgd"].get(name)
    if own is not None:
        # Which other checkpoints it attacks changes nothing for this one.
        own = {key: value for key, value in own.items() if key != "checkpoints"}
    shared = {key: evaluation[key] for key in ("batch_size", "shards", "engine")}
    return {"attack": own, "threat": every["threat"], "compute": every["compute"], **shared}


def evaluate_attacks(
    model: nn.Module,
    test: Images,
    names: list[str],
    spec: EvaluationSpec,
    run: RunPaths,
    checkpoint: str,
    identity: dict[str, Any],
) -> dict[str, AttackRecord]:
    """Evaluate one checkpoint under the attacks `names`, write the results, return their records.

    Attacks that an earlier evaluation had finished are reused if their inputs are unchanged:
    `identity` is what the results depend on besides `spec`. An attack that does not fit into the
    memory is made with a smaller batch, and its record is flagged.
    """

    def state_of(name: str, spec: EvaluationSpec) -> State:
        key = json.dumps([identity, checkpoint, name, settings(spec, name)])
        return State(run.evaluation_state, run.cached(checkpoint, name), key)

    records: dict[str, AttackRecord] = {}
    with stopping_cleanly():
        for name in names:
            results = evaluate_in_memory(model, test, name, spec, partial(state_of, name))
            path = run.examples(checkpoint, name)
            write_text(path, examples_text(_rows(results, test)))
            right, count = int(results.robust.sum()), len(results.robust)
            print(
                f"{checkpoint} {name}: {right} of {count} ({100 * right / count:.2f} %)"
                f" in {results.seconds:.1f} s",
                flush=True,
            )
            halved = results.details["batch_size"] < spec.evaluation.batch_size
            records[name] = AttackRecord(
                source=results.source,
                seed=results.seed,
                eps=results.eps,
                n=count,
                correct=right,
                seconds=round(results.seconds, 2),
                peak_memory_mb=results.peak_memory_mb,
                sha256=sha256(path),
                flags=(HALVED,) if halved else (),
                details=results.details,
            )
    return records


def _rows(results: ExampleResults, test: Images) -> Iterator[tuple[int, int, bool, bool, str]]:
    clean, robust = results.clean.tolist(), results.robust.tolist()
    labels = test.labels[: len(clean)].tolist()
    return zip(range(len(clean)), labels, clean, robust, results.broken_by, strict=True)


def check_data(fingerprint: str, dataset: Dataset, path: Path) -> None:
    """Raise BenchError unless `path` belongs to the images of `dataset`."""
    if fingerprint != dataset.fingerprint:
        raise BenchError(
            f"{path}: trained on other images than {dataset.name} (fingerprint {fingerprint[:12]}, "
            f"here {dataset.fingerprint[:12]}); train this run again or give its own data file"
        )

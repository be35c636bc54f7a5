"""Evaluate every checkpoint of a run under every attack; leave per-example results and a record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config.attack_options import attack_declares
from bench.config.experiment import (
    DiagnosticsSpec,
    EvaluationSpec,
    NetworkSpec,
    TrainSpec,
    spec_json,
)
from bench.data.dataset import Dataset, Images, load
from bench.evaluation.batch_halving import evaluate_in_memory
from bench.evaluation.imported import Imported, evaluate_imported
from bench.evaluation.per_example import ExampleResults, Part
from bench.evaluation.random_networks import is_random, with_eot
from bench.evaluation.state import State, forget
from bench.evaluation.witnesses import About, Candidates, digests, merge, of_all
from bench.external import network as external
from bench.models import checkpoint as weights
from bench.numerics.device import describe, prepare
from bench.results.changes import ELSE, differences, listed
from bench.results.examples import examples_text
from bench.results.flags import HALVED, RANDOM
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
from bench.runtime.files import sha256, write_json, write_text
from bench.runtime.provenance import evaluate_digest, packages
from bench.runtime.signals import stopping_cleanly


def attacks_on(checkpoint: str, spec: EvaluationSpec) -> list[str]:
    """Return the names of the attacks that `checkpoint` is evaluated under, clean first."""
    evaluation = spec.evaluation
    every = {**evaluation.pgd, "autoattack": evaluation.autoattack, **evaluation.attacks}
    asked = [name for name, one in every.items() if one and checkpoint in one.checkpoints]
    return ["clean", *asked]


def evaluate(
    spec: EvaluationSpec,
    *,
    data: Path,
    folder: Path,
    training: TrainSpec | NetworkSpec | None = None,
    part: Part | None = None,
) -> None:
    """Evaluate the run in `folder` on the test images of the data file `data`.

    Writes the per-example results of every checkpoint and attack and, when all is done,
    evaluation.json. With `training`, the settings that its weights should have come from, no other
    run is evaluated. With `part` nothing is made but these units of AutoAttack, which a later
    evaluation finds and joins.

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
        made, again = "trained", "train this run again"
        if isinstance(trained, NetworkRecord):
            made, again = "taken", "take these weights again with `python -m bench network`"
        raise BenchError(
            f"{run.origin_record}: {made} with another {listed(keys)} than the config has; "
            f"{again}, {ELSE}"
        )
    device = prepare(spec.compute)
    test = Images(dataset.test.pixels.to(device), dataset.test.labels.to(device))
    others = other_networks(run, spec, dataset, device)
    models = [trained.spec.architecture, *(other.architecture for other in others.values())]
    digest = evaluate_digest(*models, attacks=spec.evaluation.attack_files)
    checkpoints = {}
    for name, checkpoint in trained.checkpoints.items():
        model = load_checkpoint(run, trained, name, dataset)
        identity = {**surroundings(dataset, device, digest), "weights": checkpoint.weights_sha256}
        if part is not None:
            evaluate_part(model.to(device), test, spec, run, name, identity, part)
            continue
        attacks, found = evaluate_attacks(model.to(device), test, spec, run, name, identity, others)
        checkpoints[name] = EvaluatedCheckpoint(
            weights_sha256=checkpoint.weights_sha256,
            attacks=attacks,
            witnesses_sha256=keep_witnesses(
                model, test, found, run, name, dataset, spec, checkpoint.weights_sha256
            ),
        )
    if part is not None:
        write_json(run.part(part.number, part.of), {"part": part.number, "of": part.of})
        return
    evaluation_record(
        spec,
        dataset,
        device,
        digest,
        checkpoints,
        experiment=trained.experiment,
        method=trained.method,
        seed=trained.seed,
        others_sha256={label: other.sha256 for label, other in others.items()},
    ).write(run.evaluation_record)
    forget(run.evaluation_state)


@dataclass(frozen=True, eq=False, kw_only=True)
class OtherNetwork:
    """The best network of another label of the same seed, its architecture and weights."""

    network: nn.Module
    architecture: str
    sha256: str


def other_networks(
    run: RunPaths, spec: EvaluationSpec, dataset: Dataset, device: torch.device
) -> dict[str, OtherNetwork]:
    """Return the networks that attacks of `spec` may use beside that of `run`, by label.

    Raises
    ------
    BenchError
        The weights of one of them are missing, or are not those on record.
    """
    found = {}
    for label in spec.networks:
        other = run.of_method(label)
        record = read_origin(
            other, f"an attack on {run.folder} uses its weights: train it first, or take them"
        )
        network = load_checkpoint(other, record, "best", dataset)
        found[label] = OtherNetwork(
            network=network.to(device),
            architecture=record.spec.architecture,
            sha256=record.checkpoints["best"].weights_sha256,
        )
    return found


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
    others_sha256: Mapping[str, str] | None = None,
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
        others_sha256=dict(others_sha256 or {}),
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
    asked = {**evaluation["pgd"], "autoattack": evaluation["autoattack"], **evaluation["attacks"]}
    own = asked.get(name)
    if own is not None:
        # Which other checkpoints it attacks changes nothing for this one.
        own = {key: value for key, value in own.items() if key != "checkpoints"}
    shared = {key: evaluation[key] for key in ("batch_size", "engine")}
    return {"attack": own, "threat": every["threat"], "compute": every["compute"], **shared}


def evaluate_attacks(
    model: nn.Module,
    test: Images,
    spec: EvaluationSpec,
    run: RunPaths,
    checkpoint: str,
    identity: dict[str, Any],
    others: Mapping[str, OtherNetwork] | None = None,
) -> tuple[dict[str, AttackRecord], dict[str, Candidates]]:
    """Evaluate one checkpoint under all its attacks, write the results, return their records.

    Also returned are the images that broke others, where `evaluation.witnesses` asks for them.

    Attacks that an earlier evaluation had finished are reused if their inputs are unchanged:
    `identity` is what the results depend on besides `spec`. An attack that does not fit into the
    memory is made with a smaller batch, and its record is flagged, as are those of a random
    network, which is attacked with `apgd_eot` too.
    """
    beside = others or {}
    networks = {label: other.network for label, other in beside.items()}

    def state_of(name: str, spec: EvaluationSpec) -> State:
        asked = spec.evaluation.attacks.get(name)
        if asked and attack_declares(asked.attack, "other_networks"):
            digests = {label: other.sha256 for label, other in beside.items()}
            return _state(run, checkpoint, name, spec, identity, digests)
        return _state(run, checkpoint, name, spec, identity)

    found: dict[str, Candidates] = {}

    def made(name: str, spec: EvaluationSpec, *, random: bool = False) -> AttackRecord:
        results = evaluate_in_memory(model, test, name, spec, partial(state_of, name), networks)
        if results.found is not None:
            found[name] = results.found
        halved = results.details["batch_size"] < spec.evaluation.batch_size
        flags = {HALVED: halved, RANDOM: random}
        applying = tuple(flag for flag, applies in flags.items() if applies)
        return write_results(run, checkpoint, name, results, test, applying)

    with stopping_cleanly():
        records = {"clean": made("clean", spec)}
        if random := is_random(model, test):
            spec = with_eot(spec, checkpoint)
            print(
                f"{checkpoint}: forward passes of the same images differ: the network is random, "
                f"its attacks are flagged {RANDOM}, and apgd_eot is one of them unless the config "
                "says otherwise",
                flush=True,
            )
        _, *attacks = attacks_on(checkpoint, spec)
        records |= {name: made(name, spec, random=random) for name in attacks}
        for path in run.imports(checkpoint):
            imported = Imported.read(path)
            about = (imported.about.fingerprint, imported.about.eps)
            if about != (identity["images"], spec.threat.eps):
                print(f"{path}: of other images or another eps, so not counted", flush=True)
                continue
            results = evaluate_imported(model, test, path.stem, imported)
            records[path.stem] = write_results(run, checkpoint, path.stem, results, test)
            if spec.evaluation.witnesses:
                found[path.stem] = imported.found
    # What a random network gets wrong in one pass it may get right in the next.
    return records, {} if random else found


def evaluate_part(
    model: nn.Module,
    test: Images,
    spec: EvaluationSpec,
    run: RunPaths,
    checkpoint: str,
    identity: dict[str, Any],
    part: Part,
) -> None:
    """Make the units of AutoAttack of `part` on one checkpoint, for an evaluation to join."""
    name = "autoattack"
    if name not in attacks_on(checkpoint, spec):
        return

    state_of = partial(_state, run, checkpoint, name, identity=identity)
    with stopping_cleanly():
        results = evaluate_in_memory(model, test, name, spec, state_of, part=part)
    right, count = int(results.robust.sum()), len(results.robust)
    print(f"{checkpoint} {name}, part {part.number} of {part.of}: {right} of {count}", flush=True)


def _state(
    run: RunPaths,
    checkpoint: str,
    name: str,
    spec: EvaluationSpec,
    identity: dict[str, Any],
    *further: dict[str, Any],
) -> State:
    """Return where an attack keeps what it has found, and what that depends on."""
    depends = [identity, checkpoint, name, settings(spec, name), *further]
    return State(run.evaluation_state, run.cached(checkpoint, name), json.dumps(depends))


def write_results(
    run: RunPaths,
    checkpoint: str,
    name: str,
    results: ExampleResults,
    test: Images,
    flags: tuple[str, ...] = (),
) -> AttackRecord:
    """Write the per-example results of an attack and return its record."""
    path = run.examples(checkpoint, name)
    write_text(path, examples_text(_rows(results, test)))
    right, count = int(results.robust.sum()), len(results.robust)
    print(
        f"{checkpoint} {name}: {right} of {count} ({100 * right / count:.2f} %)"
        f" in {results.seconds:.1f} s",
        flush=True,
    )
    return AttackRecord(
        source=results.source,
        seed=results.seed,
        eps=results.eps,
        n=count,
        correct=right,
        seconds=round(results.seconds, 2),
        peak_memory_mb=results.peak_memory_mb,
        sha256=sha256(path),
        flags=flags,
        details=results.details,
    )


def keep_witnesses(
    model: nn.Module,
    test: Images,
    found: dict[str, Candidates],
    run: RunPaths,
    checkpoint: str,
    dataset: Dataset,
    spec: EvaluationSpec,
    weights_sha256: str,
) -> str | None:
    """Write the witnesses of a checkpoint and return their digest; None where none were kept."""
    path = run.witnesses(checkpoint)
    if not found:
        # Those of an earlier evaluation are not of this one.
        path.unlink(missing_ok=True)
        return None
    about = About(
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        images_sha256=of_all(digests(test.pixels, test.labels)),
        eps=spec.threat.eps,
        weights_sha256=weights_sha256,
    )
    merge(model, test, found, about).write(path)
    return sha256(path)


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

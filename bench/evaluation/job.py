"""Judge every checkpoint of a run under every attack and leave verdicts and a record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config.experiment import EvaluationSpec, TrainSpec, spec_json
from bench.data.dataset import Dataset, Images, load
from bench.evaluation.halving import judge_in_memory
from bench.evaluation.judge import Verdicts
from bench.evaluation.state import State, forget
from bench.models import checkpoint as weights
from bench.numerics.device import describe, prepare
from bench.results.changes import ELSE, changes, listed
from bench.results.flags import HALVED
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256, write_json, write_text
from bench.runtime.provenance import evaluate_digest, packages
from bench.runtime.signals import stopping_cleanly

STATE = "state/evaluation"
KEPT = "judged"  # no rule's output, which Snakemake would delete before the job runs again
# What is needed of the record of a training, by its dotted key.
NEEDED: dict[str, Any] = {
    "experiment": str,
    "method": str,
    "seed": int,
    "data.fingerprint": str,
    "spec.model.name": str,
    "spec.threat.eps": int | float,
    "checkpoints": dict,
}


def attacks_on(checkpoint: str, spec: EvaluationSpec) -> list[str]:
    """Return the names of the attacks that `checkpoint` is judged under, clean first."""
    evaluation = spec.evaluation
    names = ["clean"]
    names += [name for name, pgd in evaluation.pgd.items() if checkpoint in pgd.checkpoints]
    if evaluation.autoattack and checkpoint in evaluation.autoattack.checkpoints:
        names.append("autoattack")
    return names


def evaluate(
    spec: EvaluationSpec, *, data: Path, folder: Path, training: TrainSpec | None = None
) -> None:
    """Judge the run in `folder` on the test images of the data file `data`.

    Writes ``verdicts/<checkpoint>/<attack>.csv`` and, when all is done, ``evaluation.json``. With
    `training`, the settings that the run should have been trained under, no other run is judged.

    Raises
    ------
    BenchError
        The run was trained on other images, in another ball or under other settings, or its weights
        are not those it recorded.
    """
    record = training_record(folder / "train.json")
    dataset = load(data)
    check_data(record["data"]["fingerprint"], dataset, folder / "train.json")
    keys = changes(training, record["spec"]) if training else []
    if record["spec"]["threat"]["eps"] != spec.threat.eps:
        keys = keys or ["threat.eps"]
    if keys:
        raise BenchError(
            f"{folder / 'train.json'}: trained with another {listed(keys)} than the config has; "
            f"train this run again, {ELSE}"
        )
    device = prepare(spec.compute)
    test = Images(dataset.test.pixels.to(device), dataset.test.labels.to(device))
    digest = evaluate_digest(record["spec"]["model"]["name"])
    checkpoints = {}
    for checkpoint, trained in record["checkpoints"].items():
        path = folder / f"{checkpoint}.safetensors"
        model, description = weights.load(path)
        check_data(description.fingerprint, dataset, path)
        if sha256(path) != trained["weights_sha256"]:
            raise BenchError(
                f"{path}: not the weights that train.json records; train this run again"
            )
        checkpoints[checkpoint] = {
            "weights_sha256": trained["weights_sha256"],
            "attacks": judge_all(
                model.to(device),
                test,
                attacks_on(checkpoint, spec),
                spec,
                folder,
                checkpoint,
                {**surroundings(dataset, device, digest), "weights": trained["weights_sha256"]},
            ),
        }
    write_json(
        folder / "evaluation.json",
        {
            "experiment": record["experiment"],
            "method": record["method"],
            "seed": record["seed"],
            "spec": spec_json(spec),
            "code_digest": digest,
            "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "device": describe(device),
            "threads": spec.compute.threads,
            "packages": packages(),
            "peak_memory_mb": most_memory(
                record for judged in checkpoints.values() for record in judged["attacks"].values()
            ),
            "checkpoints": checkpoints,
        },
    )
    forget(folder / STATE)


def training_record(path: Path) -> dict[str, Any]:
    """Return the record of a training; BenchError where a key that is needed here is not right."""
    record = read_json(
        path, "train this run with `python -m bench train`, or name another with --folder"
    )
    for key, kind in NEEDED.items():
        value = _at(record, key)
        if not isinstance(value, kind) or value == {}:
            raise _no_record(path, key)
    for name, kept in record["checkpoints"].items():
        if not isinstance(_at(kept, "weights_sha256"), str):
            raise _no_record(path, f"checkpoints.{name}.weights_sha256")
    return dict(record)


def _at(value: Any, key: str) -> Any:
    """Return what a record has at a dotted key, None where it has nothing there."""
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _no_record(path: Path, key: str) -> BenchError:
    return BenchError(
        f"{path}: not the record of a training, as {key} is missing, empty or of another type; "
        "train this run again"
    )


def surroundings(dataset: Dataset, device: torch.device, digest: str) -> dict[str, Any]:
    """Return what every verdict of a job depends on: images, code, packages and device."""
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


def judge_all(
    model: nn.Module,
    test: Images,
    names: list[str],
    spec: EvaluationSpec,
    folder: Path,
    checkpoint: str,
    identity: dict[str, Any],
) -> dict[str, Any]:
    """Judge one checkpoint under the attacks `names`, write the verdicts, return their records.

    Attacks that an earlier evaluation had finished are taken over, if all is as it was: `identity`
    is what the verdicts depend on besides `spec`. An attack that does not fit into the memory is
    made with a smaller batch, and its record is flagged.
    """

    def state_of(name: str, spec: EvaluationSpec) -> State:
        key = json.dumps([identity, checkpoint, name, settings(spec, name)])
        return State(folder / STATE, folder / KEPT / checkpoint / f"{name}.json", key)

    records: dict[str, Any] = {}
    with stopping_cleanly():
        for name in names:
            verdicts = judge_in_memory(model, test, name, spec, partial(state_of, name))
            path = folder / "verdicts" / checkpoint / f"{name}.csv"
            write_text(path, verdicts_csv(verdicts, test))
            right, count = int(verdicts.robust.sum()), len(verdicts.robust)
            print(
                f"{checkpoint} {name}: {right} of {count} ({100 * right / count:.2f} %)"
                f" in {verdicts.seconds:.1f} s",
                flush=True,
            )
            halved = verdicts.details["batch_size"] < spec.evaluation.batch_size
            records[name] = _record(verdicts, sha256(path), [HALVED] if halved else [])
    return records


def most_memory(attacks: Iterable[Mapping[str, Any]]) -> float | None:
    """Return the peak memory of the attack that had most, from their records; None on a CPU."""
    peaks = [record["peak_memory_mb"] for record in attacks]
    return max((peak for peak in peaks if peak is not None), default=None)


def _record(verdicts: Verdicts, digest: str, flags: list[str]) -> dict[str, Any]:
    return {
        "source": verdicts.source,
        "seed": verdicts.seed,
        "eps": verdicts.eps,
        "n": len(verdicts.robust),
        "correct": int(verdicts.robust.sum()),
        "seconds": round(verdicts.seconds, 2),
        "peak_memory_mb": verdicts.peak_memory_mb,
        "sha256": digest,
        "precision": "float32",
        "tf32": False,
        "flags": flags,
        "details": verdicts.details,
    }


def check_data(fingerprint: str, dataset: Dataset, path: Path) -> None:
    """Raise BenchError unless `path` belongs to the images of `dataset`."""
    if fingerprint != dataset.fingerprint:
        raise BenchError(
            f"{path}: trained on other images than {dataset.name} (fingerprint {fingerprint[:12]}, "
            f"here {dataset.fingerprint[:12]}); train this run again or give its own data file"
        )


def verdicts_csv(verdicts: Verdicts, test: Images) -> str:
    """Return a row for each judged image: index, label, clean, robust, broken_by."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["index", "label", "clean", "robust", "broken_by"])
    clean, robust = verdicts.clean.int().tolist(), verdicts.robust.int().tolist()
    labels = test.labels[: len(clean)].tolist()
    for index, row in enumerate(zip(labels, clean, robust, verdicts.broken_by, strict=True)):
        writer.writerow([index, *row])
    return out.getvalue()

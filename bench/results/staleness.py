"""The records that runs left below results/, and where they no longer fit config, code or images.

Standard library only: what is planned or compared must not wait for torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.experiment import Data, Experiment
from bench.config.schema import CHECKPOINTS
from bench.results.changes import changes, listed
from bench.results.data_header import header
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json
from bench.runtime.provenance import diagnose_digest, evaluate_digest, train_digest, transfer_digest


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One run of an experiment and its two records, None where there is none that can be read."""

    label: str
    seed: int
    folder: Path
    training: dict[str, Any] | None
    evaluation: dict[str, Any] | None


def recorded(experiment: Experiment, results: Path) -> list[Recorded]:
    """Return every run of `experiment` with what `results` (the folder above it) has of it."""
    models = results / experiment.experiment / "models"
    return [
        Recorded(
            label=label,
            seed=seed,
            folder=(folder := models / label / f"seed{seed}"),
            training=record(folder / "train.json"),
            evaluation=record(folder / "evaluation.json"),
        )
        for label, seed in experiment.runs()
    ]


def record(path: Path) -> dict[str, Any] | None:
    """Return the record at `path`, or None where it is missing or damaged."""
    try:
        found = read_json(path)
    except BenchError:
        return None
    return found if isinstance(found, dict) else None


def about_images(experiment: Experiment, results: Path) -> dict[str, Any]:
    """Return data.json of `experiment`; nothing where it has not been made."""
    return record(results / experiment.experiment / "data.json") or {}


def section_differs(data: Data, path: Path) -> list[str]:
    """Return the keys of the section `data` that were others when the data file `path` was made.

    None of a file that does not say, as those of before the section was kept in them.
    """
    made = header(path).get("spec")
    return [f"data.{key}" for key in changes(data, made)] if made else []


def images_differ(experiment: Experiment, results: Path) -> list[str]:
    """Return why the images must be read again: nothing if they are those of the config."""
    about, path = about_images(experiment, results), images_of(experiment, results)
    if not about:
        return ["they have not been read"]
    reasons = []
    if keys := section_differs(experiment.data, path):
        reasons.append(f"the config has another {listed(keys)}")
    # One of the two files may be a copy, or what a killed process left of a pair.
    said = header(path)
    if said and "origin" not in said:
        reasons.append(
            f"{path.name} does not say whether its images are lossless and of which source"
        )
    if said and any(about.get(key) != said.get(key) for key in ("name", "classes", "fingerprint")):
        reasons.append("data.json is about other images than data.safetensors has")
    return reasons


def images_of(experiment: Experiment, results: Path) -> Path:
    """Return where the data file of `experiment` is."""
    return results / experiment.experiment / "data.safetensors"


def training_differs(run: Recorded, experiment: Experiment, fingerprint: str | None) -> list[str]:
    """Return why the weights of `run` are not those that would be trained now: nothing if they are.

    `fingerprint` is that of the images now, None if it is not known.
    """
    if run.training is None:
        return ["it is not trained"]
    spec = experiment.train_spec(run.label, run.seed)
    reasons = []
    if keys := changes(spec, run.training.get("spec")):
        reasons.append(f"the config has another {listed(keys)}")
    if run.training.get("code_digest") != train_digest(
        spec.method, spec.model.name, spec.training.engine
    ):
        reasons.append("the code that trains it has changed")
    then = _part(run.training, "data").get("fingerprint")
    if fingerprint is not None and then != fingerprint:
        reasons.append("it was trained on other images")
    if (start := spec.training.start) is not None:
        begun = record(run.folder.parents[1] / start / run.folder.name / "train.json")
        if weights(begun)["best"] != run.training.get("start_sha256"):
            reasons.append(f"it did not start from the weights that {start} has now")
    return reasons


def judging_differs(run: Recorded, experiment: Experiment, fingerprint: str | None) -> list[str]:
    """Return why the verdicts on `run` are not those that would come out now: nothing if they are.

    Weights that must be trained again count by themselves: see `training_differs`.
    """
    if run.evaluation is None:
        return ["it is not judged"]
    reasons = []
    if keys := changes(experiment.evaluation_spec(), run.evaluation.get("spec")):
        reasons.append(f"the config has another {listed(keys)}")
    if run.evaluation.get("code_digest") != evaluate_digest(experiment.model.name):
        reasons.append("the code that judges it has changed")
    then = _part(run.evaluation, "data").get("fingerprint")
    if fingerprint is not None and then != fingerprint:
        reasons.append("it was judged on other images")
    trained, judged = weights(run.training), weights(run.evaluation)
    if run.training is not None and trained != judged:
        reasons.append("it was judged with other weights than train.json has")
    return reasons


def examining_differs(run: Recorded, experiment: Experiment) -> list[str]:
    """Return why the diagnostics of `run` are not those that would come out now: nothing if so.

    Weights or verdicts that must be made again count by themselves.
    """
    path = run.folder / "diagnostics" / "record.json"
    found = record(path)
    if found is None:
        return ["it is not examined"]
    reasons = _examined_otherwise(found, experiment, diagnose_digest(experiment.model.name))
    examined, trained = weights(found), weights(run.training)
    if any(digest not in (None, trained[name]) for name, digest in examined.items()):
        reasons.append("it was examined with other weights than train.json has")
    judged = run.folder / "evaluation.json"
    if judged.is_file() and judged.stat().st_mtime > path.stat().st_mtime:
        reasons.append("it was judged since")
    return reasons


def transfer_differs(folder: Path, seed: int, experiment: Experiment) -> list[str]:
    """Return why a seed's transfer is not what would come out now: nothing if it is.

    `folder` is the experiment's, and all its runs with that seed are trained and judged.
    """
    path = folder / "transfer" / f"seed{seed}.json"
    found = record(path)
    if found is None or not path.with_suffix(".csv").is_file():
        return ["it has not been tried"]
    reasons = _examined_otherwise(found, experiment, transfer_digest(experiment.model.name))
    labels = [method.label for method in experiment.methods]
    if found.get("methods") != labels:
        reasons.append("the config has other methods")
    judged = [folder / "models" / label / f"seed{seed}" / "evaluation.json" for label in labels]
    if any(one.stat().st_mtime > path.stat().st_mtime for one in judged if one.is_file()):
        reasons.append("a run was judged since")
    return reasons


def _examined_otherwise(found: dict[str, Any], experiment: Experiment, code: str) -> list[str]:
    reasons = []
    if keys := changes(experiment.diagnostics_spec(), found.get("spec")):
        reasons.append(f"the config has another {listed(keys)}")
    if found.get("code_digest") != code:
        reasons.append("the code that examines it has changed")
    return reasons


def weights(found: dict[str, Any] | None) -> dict[str, str | None]:
    """Return the digest of each checkpoint's weights that a record of either kind names."""
    checkpoints = _part(found or {}, "checkpoints")
    return {name: _part(checkpoints, name).get("weights_sha256") for name in CHECKPOINTS}


def attacks(evaluation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (checkpoint, attack, what evaluation.json says of it)."""
    checkpoints = _part(evaluation, "checkpoints")
    for checkpoint in checkpoints:
        judged = _part(_part(checkpoints, checkpoint), "attacks")
        for attack in judged:
            yield checkpoint, attack, _part(judged, attack)


def _part(found: dict[str, Any], key: str) -> dict[str, Any]:
    inner = found.get(key)
    return inner if isinstance(inner, dict) else {}

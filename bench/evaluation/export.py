"""A trained model as a folder that needs nothing of this suite: weights, architecture, record."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench.config.parsing import nearest, plain
from bench.evaluation.architecture import adapted, standalone
from bench.evaluation.model_card import model_card
from bench.external import network as external
from bench.models import checkpoint as weights
from bench.results.origin import read_origin
from bench.results.paths import RunPaths
from bench.results.records import AttackRecord, EvaluationRecord
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256, write_json, write_text

HINT = "train and evaluate the run with `python -m bench run`, or name another with --folder"


def export(run_dir: Path, checkpoint: str, out: Path) -> Path:
    """Write a checkpoint of the run in `run_dir` into the new folder `out`; return its README.md.

    ``model.safetensors`` are the run's weights, byte for byte; ``model.py`` is the architecture
    with a function `load`; ``record.json`` is train.json or network.json with the accuracies that
    were measured; ``README.md`` is its model card. Witnesses go with it.
    """
    run, out = RunPaths(Path(run_dir)), Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BenchError(f"{out} is not an empty folder: name one that is not there yet")
    trained = read_origin(run, HINT)
    if checkpoint not in trained.checkpoints:
        known = nearest(checkpoint, trained.checkpoints)
        raise BenchError(f"{run.folder} has no checkpoint {checkpoint!r}; {known}")
    weights_sha256 = trained.checkpoints[checkpoint].weights_sha256
    attacks = _attacks(run, checkpoint, weights_sha256)
    path = run.weights(checkpoint)
    source, needs = _source(path, weights_sha256, run.origin_record.name)
    witnesses = run.witnesses(checkpoint)
    card = model_card(
        trained, checkpoint, attacks, needs=needs, witnesses=bool(attacks) and witnesses.is_file()
    )
    accuracy = {
        attack: {**plain(record), "percent": round(100 * record.correct / record.n, 2)}
        for attack, record in attacks.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, out / "model.safetensors")
    write_text(out / "model.py", source)
    record = {**plain(trained), "exported": checkpoint, "accuracy": accuracy}
    write_json(out / "record.json", record)
    if external.SOURCE in needs:
        shutil.copyfile(run.folder / external.SOURCE, out / external.SOURCE)
    if attacks and witnesses.is_file():
        kept = RunPaths(out).witnesses(checkpoint)
        kept.parent.mkdir()
        shutil.copyfile(witnesses, kept)
    write_text(out / "README.md", card)
    return out / "README.md"


def _attacks(run: RunPaths, checkpoint: str, weights_sha256: str) -> dict[str, AttackRecord]:
    """Return the attacks on a checkpoint, none where it was not evaluated."""
    path = run.evaluation_record
    if not path.exists():
        return {}
    evaluated = EvaluationRecord.read(path, HINT).checkpoints.get(checkpoint)
    if evaluated is not None and evaluated.weights_sha256 != weights_sha256:
        raise BenchError(
            f"{path} is of other weights than train.json describes: evaluate the run again"
        )
    return {} if evaluated is None else evaluated.attacks


def _source(path: Path, expected: str, record: str) -> tuple[str, str]:
    """Return the module that loads the weights in `path`, and the packages that it needs.

    Their checksum must be `expected`, that of the record of this name.
    """
    described = external.described(path)
    if described is None:
        _, ours = weights.load(path)
    found = sha256(path)
    if found != expected:
        raise BenchError(
            f"{path} holds other weights than {record} describes (sha256 {found[:12]}, recorded"
            f" {expected[:12]}): restore it or make the run again"
        )
    if described is not None:
        return adapted(described, path.parent)
    arguments = {"classes": ours.classes, "channels": ours.channels}
    if ours.width is not None:
        arguments["width"] = ours.width
    source = standalone(ours.model, arguments, normalization=ours.normalization)
    return source, "torch and safetensors"

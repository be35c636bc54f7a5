"""A trained model as a folder that needs nothing of this suite: weights, architecture, record."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from bench.config.parsing import nearest
from bench.evaluation.architecture import standalone
from bench.evaluation.export_readme import readme
from bench.models import checkpoint as weights
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256, write_json, write_text

REMEDY = "train and evaluate the run with `python -m bench run`, or name another with --folder"


def export(run_dir: Path, checkpoint: str, out: Path) -> Path:
    """Write a checkpoint of a run into the folder `out`, to be loaded without this suite.

    ``model.safetensors`` are the run's weights, byte for byte; ``model.py`` is the architecture
    with a function `load`; ``record.json`` is train.json with the accuracies that were judged;
    ``README.md`` says how to load and score it.

    Parameters
    ----------
    run_dir
        Folder of the run: train.json, the weights and, once it was judged, evaluation.json.
    checkpoint
        Such as "best" or "last".
    out
        A folder that is empty or not there yet.

    Returns
    -------
    Path
        The README.md that was written.

    Raises
    ------
    BenchError
        `out` holds something, a file of the run is missing, truncated or another run's, or the
        architecture cannot stand alone. Nothing was written then.
    """
    run_dir, out = Path(run_dir), Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BenchError(f"{out} is not an empty folder: name one that is not there yet")
    path = run_dir / f"{checkpoint}.safetensors"
    try:
        record = _record(run_dir, checkpoint)
        source = _source(path, record["checkpoints"][checkpoint]["weights_sha256"])
        guide = readme(record)
    except (KeyError, TypeError) as error:
        raise BenchError(
            f"{run_dir}: train.json or evaluation.json is not a whole record"
            f" ({type(error).__name__}: {error}); train and evaluate the run again"
        ) from error
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, out / "model.safetensors")
    write_text(out / "model.py", source)
    write_json(out / "record.json", record)
    write_text(out / "README.md", guide)
    return out / "README.md"


def _record(run_dir: Path, checkpoint: str) -> dict[str, Any]:
    train = read_json(run_dir / "train.json", REMEDY)
    if checkpoint not in train["checkpoints"]:
        known = nearest(checkpoint, train["checkpoints"])
        raise BenchError(f"{run_dir} has no checkpoint {checkpoint!r}; {known}")
    accuracy: dict[str, Any] = {}
    path = run_dir / "evaluation.json"
    found = read_json(path, REMEDY) if path.exists() else {"checkpoints": {}}
    judged = found["checkpoints"].get(checkpoint)
    if judged is not None:
        if judged["weights_sha256"] != train["checkpoints"][checkpoint]["weights_sha256"]:
            raise BenchError(
                f"{path} judged other weights than train.json describes: evaluate the run again"
            )
        for attack, entry in judged["attacks"].items():
            accuracy[attack] = {**entry, "percent": round(100 * entry["correct"] / entry["n"], 2)}
    return {**train, "exported": checkpoint, "accuracy": accuracy}


def _source(path: Path, expected: str) -> str:
    """Return the module that loads the weights in `path`, whose checksum must be `expected`."""
    _, described = weights.load(path)
    found = sha256(path)
    if found != expected:
        raise BenchError(
            f"{path} holds other weights than train.json describes (sha256 {found[:12]}, recorded"
            f" {expected[:12]}): restore it or train the run again"
        )
    arguments = {"classes": described.classes, "channels": described.channels}
    if described.width is not None:
        arguments["width"] = described.width
    return standalone(described.model, arguments)

"""Examine the saved weights of one run; leave curves, loss surfaces and a record of all checks."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks.mode import evaluating, frozen
from bench.config.experiment import DiagnosticsSpec, spec_json
from bench.data.dataset import Dataset, Images, load, to_unit
from bench.diagnostics import baseline_attacks as others
from bench.diagnostics import curves, geometry
from bench.diagnostics.checks import Outcome
from bench.diagnostics.curves import Curve
from bench.diagnostics.geometry import SIDE, Surface
from bench.diagnostics.target import Subject
from bench.evaluation.job import check_data
from bench.models import checkpoint as weights
from bench.numerics.device import convolutions, describe, peak_memory_mb, prepare
from bench.results.runs import Run, read_run
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256, write_json, write_text
from bench.runtime.provenance import diagnose_digest, packages

CURVES = ("check", "checkpoint", "x", "accuracy", "n", "loss")
SURFACES = ("checkpoint", "index", "label", "along", "aside", "loss", "right")


def diagnose(spec: DiagnosticsSpec, *, data: Path, folder: Path) -> None:
    """Examine the run in `folder`, which is judged already, on test images of the data file `data`.

    Writes ``diagnostics/curves.csv``, ``diagnostics/surfaces.csv`` and, last, the record of all
    checks, ``diagnostics/record.json``.

    Raises
    ------
    BenchError
        The run was trained on other images or for another radius, there are fewer images than are
        asked for, or a file of the run is missing or not what its record says.
    """
    began = time.perf_counter()
    run, dataset = read_run(folder), load(data)
    device = prepare(spec.compute)
    test = examined(run, dataset, spec)
    points: list[Sequence[object]] = []
    pictures: list[Sequence[object]] = []
    checkpoints: dict[str, Any] = {}
    for name in spec.diagnostics.checkpoints:
        network, description = checked_weights(run, dataset, name)
        with examining(network.to(device), test, spec) as subject:
            drawn, outcomes, departures = examine(subject, spec)
            shown = geometry.surfaces(subject, spec.diagnostics.surfaces)
        gap = others.autoattack_gap(run.results.get(name, {}))
        outcomes |= {} if gap is None else {"autoattack_gap": gap}
        points += [row for curve in drawn for row in _curve_rows(name, curve)]
        pictures += [row for surface in shown for row in _surface_rows(name, surface)]
        quartiles = departures.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        checkpoints[name] = {
            "weights_sha256": run.training.checkpoints[name].weights_sha256,
            "departure_quartiles_nats": [float(f"{value:.6g}") for value in quartiles],
            "checks": {check: plain(outcome) for check, outcome in outcomes.items()},
        }
        tell(f"{run.training.method} seed {run.training.seed} {name}", outcomes)
    place = folder / "diagnostics"
    write_text(place / "curves.csv", table(CURVES, points))
    write_text(place / "surfaces.csv", table(SURFACES, pictures))
    write_json(
        place / "record.json",
        {
            "experiment": run.training.experiment,
            "method": run.training.method,
            "seed": run.training.seed,
            "spec": spec_json(spec),
            "code_digest": diagnose_digest(description.model),
            "data": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            "device": describe(device),
            "threads": spec.compute.threads,
            "packages": packages(),
            "seconds": round(time.perf_counter() - began, 2),
            "peak_memory_mb": peak_memory_mb(device),
            "sha256": {name: sha256(place / f"{name}.csv") for name in ("curves", "surfaces")},
            "checkpoints": checkpoints,
        },
    )


def examined(run: Run, dataset: Dataset, spec: DiagnosticsSpec) -> Images:
    """Return the first test images, as many as `spec` asks for, if the run belongs to them."""
    path, count = run.folder / "train.json", spec.diagnostics.images
    check_data(run.training.data.fingerprint, dataset, path)
    eps = run.training.spec.threat.eps
    if eps != spec.threat.eps:
        raise BenchError(
            f"{path}: trained with threat.eps {eps:.6g}, and the config says "
            f"{spec.threat.eps:.6g}; train this run again, or give the changed config another name "
            "under `experiment`"
        )
    if count > len(dataset.test):
        raise BenchError(
            f"diagnostics.images: {count} are asked for and the test set has {len(dataset.test)}; "
            "lower it"
        )
    return Images(dataset.test.pixels[:count], dataset.test.labels[:count])


def checked_weights(
    run: Run, dataset: Dataset, checkpoint: str
) -> tuple[nn.Module, weights.Description]:
    """Return the network of a checkpoint, whose weights must be those on record, and what it is."""
    path = run.folder / f"{checkpoint}.safetensors"
    network, description = weights.load(path)
    check_data(description.fingerprint, dataset, path)
    trained = run.training.checkpoints.get(checkpoint)
    if trained is None or sha256(path) != trained.weights_sha256:
        raise BenchError(f"{path}: not the weights that train.json records; train this run again")
    return network, description


@contextmanager
def examining(network: nn.Module, test: Images, spec: DiagnosticsSpec) -> Iterator[Subject]:
    """Lend `network`, frozen and in float32 without TF32, and the images to examine it on."""
    device = next(network.parameters()).device
    with evaluating(network), frozen(network), convolutions(tf32=False):
        yield Subject(
            model=network,
            images=to_unit(test.pixels.to(device)),
            labels=test.labels.to(device),
            eps=spec.threat.eps,
            steps=spec.diagnostics.steps,
            batch_size=spec.batch_size,
            seed=spec.diagnostics.seed,
        )


def examine(
    subject: Subject, spec: DiagnosticsSpec
) -> tuple[list[Curve], dict[str, Outcome], Tensor]:
    """Return the curves of one network, the outcomes by check, and the departures [N]."""
    asked = spec.diagnostics
    eps = curves.against_eps(subject)
    fgsm = curves.against_eps_fgsm(subject, curves.radii(subject.eps))
    steps = curves.against_steps(subject, asked.most_steps)
    restarts = curves.against_restarts(subject, asked.restarts)
    square = others.square_alone(subject, asked.square_queries)
    linearity, departures = geometry.linearity(subject)
    first, last = restarts.stands[0], restarts.stands[-1]
    outcomes = {
        "eps_zero": curves.zero(eps),
        "eps_rise": curves.rise("eps_rise", eps),
        "steps_rise": curves.rise("steps_rise", steps),
        "steps_flat": curves.steps_flat(steps),
        "restarts_flat": curves.restarts_flat(restarts),
        "fgsm_stronger": others.fgsm_stronger(fgsm.at(subject.eps), first),
        "square_stronger": others.square_stronger(square.stands[-1], last),
        "linearity": linearity,
        "zero_gradient": geometry.zero_gradient(subject),
    }
    return [eps, fgsm, steps, restarts, square], outcomes, departures


def plain(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as what JSON holds, rounded so that last bits of exp() do not matter."""
    return {
        key: float(f"{value:.6g}") if isinstance(value, float) else value
        for key, value in asdict(outcome).items()
    }


def tell(name: str, outcomes: dict[str, Outcome]) -> None:
    """Print which checks failed and by how much."""
    failed = [
        f"{check} ({outcome.value:.1f} %, allowed {outcome.threshold:g} %)"
        for check, outcome in outcomes.items()
        if not outcome.passed
    ]
    said = f"failed {', '.join(failed)}; see docs/diagnostics.md" if failed else "all passed"
    print(f"{name}: {len(outcomes)} checks, {said}", flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def _curve_rows(checkpoint: str, curve: Curve) -> Iterator[Sequence[object]]:
    n = curve.stands.shape[1]
    for place, x in enumerate(curve.x):
        accuracy = 100 * int(curve.stands[place].sum()) / n
        loss = "" if curve.losses is None else f"{float(curve.losses[place].mean()):.6g}"
        yield (curve.name, checkpoint, f"{x:.6g}", f"{accuracy:.2f}", n, loss)


def _surface_rows(checkpoint: str, surface: Surface) -> Iterator[Sequence[object]]:
    ticks = torch.linspace(-1, 1, SIDE).tolist()
    losses, right = surface.losses.tolist(), surface.right.int().tolist()
    for row, along in enumerate(ticks):
        for column, aside in enumerate(ticks):
            yield (
                checkpoint,
                surface.index,
                surface.label,
                f"{along:.6g}",
                f"{aside:.6g}",
                f"{losses[row][column]:.6g}",
                right[row][column],
            )

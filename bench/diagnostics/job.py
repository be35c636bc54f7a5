"""Diagnose the weights of one run; leave curves, loss surfaces and a record of all checks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks.mode import evaluating, frozen
from bench.config.experiment import DiagnosticsSpec
from bench.data.dataset import Dataset, Images, load, to_unit
from bench.diagnostics import backward, baseline_attacks, consistency, curves, geometry, gradients
from bench.diagnostics.backward import Connected
from bench.diagnostics.cause import Evidence, cause
from bench.diagnostics.checks import Outcome
from bench.diagnostics.curves import Curve
from bench.diagnostics.geometry import SIDE, Surface
from bench.diagnostics.target import EvaluationTarget, compared
from bench.evaluation.job import check_data, load_checkpoint, made_with
from bench.numerics.device import convolutions, peak_memory_mb, prepare
from bench.results.changes import ELSE
from bench.results.columns import CURVES, SURFACES
from bench.results.evaluated import EvaluatedRun, read_run
from bench.results.paths import RunPaths
from bench.results.records import (
    CheckRecord,
    DiagnosedCheckpoint,
    DiagnosticsRecord,
)
from bench.results.tables import from_rows
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.provenance import diagnose_digest


def diagnose(spec: DiagnosticsSpec, *, data: Path, folder: Path) -> None:
    """Diagnose the evaluated run in `folder` on test images of the data file `data`.

    Writes ``diagnostics/curves.csv``, ``diagnostics/surfaces.csv`` and, last, the record of all
    checks, ``diagnostics/record.json``.
    """
    began = time.perf_counter()
    run, dataset = read_run(RunPaths(folder)), load(data)
    device = prepare(spec.compute)
    test = chosen_images(run, dataset, spec)
    points: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    checkpoints: dict[str, DiagnosedCheckpoint] = {}
    for name in spec.diagnostics.checkpoints:
        # Weights of others are one checkpoint.
        if name not in run.training.checkpoints:
            continue
        network = load_checkpoint(run.paths, run.training, name, dataset)
        with evaluation_target(network.to(device), test, spec) as target:
            found = run_checks(target, spec)
            shown = geometry.surfaces(target, spec.diagnostics.surfaces)
        gap = baseline_attacks.autoattack_gap(run.results.get(name, {}))
        outcomes = found.outcomes | ({} if gap is None else {"autoattack_gap": gap})
        probable = cause(failed(outcomes), found.evidence)
        points += [row for curve in found.curves for row in _curve_rows(name, curve)]
        pictures += [row for surface in shown for row in _surface_rows(name, surface)]
        quartiles = found.departures.quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
        checkpoints[name] = DiagnosedCheckpoint(
            weights_sha256=run.training.checkpoints[name].weights_sha256,
            departure_quartiles_nats=tuple(float(f"{value:.6g}") for value in quartiles),
            checks={check: recorded(outcome) for check, outcome in outcomes.items()},
            cause=probable,
        )
        tell(f"{run.training.method} seed {run.training.seed} {name}", outcomes, probable)
    paths = run.paths
    CURVES.write(paths.curves, from_rows(CURVES, points))
    SURFACES.write(paths.surfaces, from_rows(SURFACES, pictures))
    DiagnosticsRecord(
        experiment=run.training.experiment,
        method=run.training.method,
        seed=run.training.seed,
        code_digest=diagnose_digest(run.training.spec.architecture),
        **made_with(spec, dataset, device),
        seconds=round(time.perf_counter() - began, 2),
        peak_memory_mb=peak_memory_mb(device),
        sha256={"curves": sha256(paths.curves), "surfaces": sha256(paths.surfaces)},
        checkpoints=checkpoints,
    ).write(paths.diagnostics_record)


def chosen_images(run: EvaluatedRun, dataset: Dataset, spec: DiagnosticsSpec) -> Images:
    """Return the first test images, as many as `spec` asks for, if the run belongs to them."""
    path, count = run.paths.origin_record, spec.diagnostics.images
    check_data(run.training.data.fingerprint, dataset, path)
    eps = run.training.spec.threat.eps
    if eps != spec.threat.eps:
        raise BenchError(
            f"{path}: trained with threat.eps {eps:.6g}, and the config says "
            f"{spec.threat.eps:.6g}; train this run again, {ELSE}"
        )
    if count > len(dataset.test):
        raise BenchError(
            f"diagnostics.images: {count} are asked for and the test set has {len(dataset.test)}; "
            "lower it"
        )
    return Images(dataset.test.pixels[:count], dataset.test.labels[:count])


@contextmanager
def evaluation_target(
    network: nn.Module, test: Images, spec: DiagnosticsSpec
) -> Iterator[EvaluationTarget]:
    """Yield `network`, frozen and in float32 without TF32, and the images to attack it on."""
    device = next((weights.device for weights in network.parameters()), torch.device("cpu"))
    with evaluating(network), frozen(network), convolutions(tf32=False):
        yield EvaluationTarget(
            model=Connected(network),
            images=to_unit(test.pixels.to(device)),
            labels=test.labels.to(device),
            eps=spec.threat.eps,
            steps=spec.diagnostics.steps,
            batch_size=spec.batch_size,
            seed=spec.diagnostics.seed,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Findings:
    """What the checks on one network found; `departures` [N] are those of its loss in nats."""

    curves: list[Curve]
    outcomes: dict[str, Outcome]
    evidence: Evidence
    departures: Tensor


def run_checks(target: EvaluationTarget, spec: DiagnosticsSpec) -> Findings:
    """Run all checks that need no other network and no evaluation."""
    asked = spec.diagnostics
    eps = curves.against_eps(target)
    fgsm = curves.against_eps_fgsm(target, curves.radii(target.eps))
    steps = curves.against_steps(target, asked.max_steps)
    restarts = curves.against_restarts(target, asked.restarts)
    square = baseline_attacks.square_alone(target, asked.square_queries)
    linearity, departures = geometry.linearity(target)
    zero_gradient, flat = geometry.zero_gradient(target)
    gradient_wrong, jumps = gradients.gradient_wrong(target)
    first, last = restarts.robust[0], restarts.robust[-1]
    one_step = fgsm.at(target.eps)
    outcomes = {
        "random": consistency.random(target),
        "batch_dependent": consistency.batch_dependent(target),
        "zero_gradient": zero_gradient,
        "gradient_wrong": gradient_wrong,
        "scale_stronger": gradients.scale_stronger(target, first),
        "averaged_stronger": gradients.averaged_stronger(target, first),
        "eps_zero": curves.zero(eps),
        "eps_rise": curves.rise("eps_rise", eps),
        "steps_rise": curves.rise("steps_rise", steps),
        "steps_flat": curves.steps_flat(steps),
        "restarts_flat": curves.restarts_flat(restarts),
        "fgsm_stronger": compared("fgsm_stronger", one_step, first),
        "square_stronger": compared("square_stronger", square.robust[-1], last),
        "fgsm_gap": curves.fgsm_gap(one_step, last),
        "linearity": linearity,
    }
    lost_at, half = backward.lost_at(target, flat)
    evidence = Evidence(
        lost_at=lost_at,
        half=half,
        jumps=jumps,
        classes=target.classes(),
        step_saturates=gradients.step_saturates(target, one_step & ~last),
    )
    return Findings(
        curves=[eps, fgsm, steps, restarts, square],
        outcomes=outcomes,
        evidence=evidence,
        departures=departures,
    )


def recorded(outcome: Outcome) -> CheckRecord:
    """Return an outcome as records hold it, rounded so that last bits of exp() do not matter."""
    return CheckRecord(
        value=float(f"{outcome.value:.6g}"),
        threshold=float(f"{outcome.threshold:.6g}"),
        chance=float(f"{outcome.chance:.6g}"),
        n=outcome.n,
        passed=outcome.passed,
    )


def failed(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Return the names of the checks that failed."""
    return [check for check, outcome in outcomes.items() if not outcome.passed]


def tell(name: str, outcomes: Mapping[str, Outcome], probable: str = "") -> None:
    """Print which checks failed and by how much, and the `probable` cause."""
    found = [
        f"{check} ({outcomes[check].value:.1f} %, allowed {outcomes[check].threshold:g} %)"
        for check in failed(outcomes)
    ]
    said = f"failed {', '.join(found)}; see docs/diagnostics.md" if found else "all passed"
    print(f"{name}: {len(outcomes)} checks, {said}", flush=True)
    if probable:
        print(f"{name}: most probable cause: {probable}", flush=True)


def _curve_rows(checkpoint: str, curve: Curve) -> Iterator[dict[str, Any]]:
    n = curve.robust.shape[1]
    for place, x in enumerate(curve.x):
        yield {
            "check": curve.name,
            "checkpoint": checkpoint,
            "x": x,
            "accuracy": 100 * int(curve.robust[place].sum()) / n,
            "n": n,
            "loss": None if curve.losses is None else float(curve.losses[place].mean()),
        }


def _surface_rows(checkpoint: str, surface: Surface) -> Iterator[dict[str, Any]]:
    ticks = torch.linspace(-1, 1, SIDE).tolist()
    losses, right = surface.losses.tolist(), surface.right.int().tolist()
    for row, along in enumerate(ticks):
        for column, aside in enumerate(ticks):
            yield {
                "checkpoint": checkpoint,
                "index": surface.index,
                "label": surface.label,
                "along": along,
                "aside": aside,
                "loss": losses[row][column],
                "right": right[row][column],
            }

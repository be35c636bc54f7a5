"""Adversarial images of each method's network, tried on the networks of all others.

An image made on another network knows nothing of the gradients of the one it is tried on. Where it
does more harm than an attack on that network itself, those gradients mislead (Athalye et al. 2018,
arXiv:1802.00420; Papernot et al. 2017, arXiv:1602.02697).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.config.experiment import DiagnosticsSpec
from bench.data.dataset import Dataset, load
from bench.diagnostics.checks import Outcome, stronger
from bench.diagnostics.job import chosen_images, evaluation_target, recorded, tell
from bench.diagnostics.target import EvaluationTarget, only
from bench.evaluation.job import load_checkpoint, made_with
from bench.numerics.device import peak_memory_mb, prepare
from bench.results.columns import TRANSFER
from bench.results.evaluated import EvaluatedRun, read_run
from bench.results.paths import Paths
from bench.results.records import Checks, TransferRecord
from bench.results.tables import from_rows
from bench.runtime.files import sha256
from bench.runtime.provenance import transfer_digest


def transfer(
    spec: DiagnosticsSpec, methods: Sequence[str], seed: int, *, data: Path, folder: Path
) -> None:
    """Try the images made on each of `methods`, labels of evaluated runs, on all of them.

    Writes ``transfer/seed<k>.csv`` and, last, the record ``transfer/seed<k>.json``.
    """
    began = time.perf_counter()
    paths = Paths(folder)
    every = [read_run(paths.run(label, seed)) for label in methods]
    dataset = load(data)
    device = prepare(spec.compute)
    rows: list[dict[str, Any]] = []
    checkpoints: dict[str, dict[str, Checks]] = {}
    for name in spec.diagnostics.checkpoints:
        # Weights of others are one checkpoint.
        runs = [run for run in every if name in run.training.checkpoints]
        if len(runs) < 2:
            continue
        robust = _matrix(runs, dataset, spec, name, device)
        rows += [
            {
                "checkpoint": name,
                "source": source,
                "target": target,
                "accuracy": 100 * int(kept.sum()) / len(kept),
                "n": len(kept),
            }
            for (source, target), kept in robust.items()
        ]
        labels = [run.training.method for run in runs]
        outcomes = {label: _outcome(label, labels, robust) for label in labels}
        checkpoints[name] = {
            run.training.method: Checks(
                weights_sha256=run.training.checkpoints[name].weights_sha256,
                checks={"transfer_stronger": recorded(outcomes[run.training.method])},
            )
            for run in runs
        }
        for label, outcome in outcomes.items():
            tell(f"{label} seed {seed} {name}", {"transfer_stronger": outcome})
    TRANSFER.write(paths.transfer(seed), from_rows(TRANSFER, rows))
    TransferRecord(
        experiment=every[0].training.experiment,
        methods=tuple(methods),
        seed=seed,
        code_digest=transfer_digest(*(run.training.spec.architecture for run in every)),
        **made_with(spec, dataset, device),
        seconds=round(time.perf_counter() - began, 2),
        peak_memory_mb=peak_memory_mb(device),
        sha256=sha256(paths.transfer(seed)),
        checkpoints=checkpoints,
    ).write(paths.transfer_record(seed))


def attacked(target: EvaluationTarget) -> Tensor:
    """Return the images [N, C, H, W] that PGD makes of those of `target`, on the CPU."""
    return torch.cat([target.pgd(*batch).cpu() for batch in target.batches()])


def robust_to(target: EvaluationTarget, moved: Tensor) -> Tensor:
    """Return which images [N] are right unattacked and also as `moved`, on the CPU."""
    right = [
        target.evaluated(images.to(labels.device), labels)[0]
        for images, labels in zip(
            torch.split(moved, target.batch_size),
            torch.split(target.labels, target.batch_size),
            strict=True,
        )
    ]
    return (target.right() & torch.cat(right)).cpu()


def _matrix(
    runs: Sequence[EvaluatedRun],
    dataset: Dataset,
    spec: DiagnosticsSpec,
    checkpoint: str,
    device: torch.device,
) -> dict[tuple[str, str], Tensor]:
    """Return which images are robust [N], by the labels of (source, target)."""
    # The images are the same for all, and all runs must belong to them.
    test, *_ = [chosen_images(run, dataset, spec) for run in runs]
    networks = {
        run.training.method: load_checkpoint(run.paths, run.training, checkpoint, dataset)
        for run in runs
    }
    moved, robust = {}, {}
    # One network at a time is on the device.
    for label, network in networks.items():
        with evaluation_target(network.to(device), test, spec) as target:
            moved[label] = attacked(target)
        network.cpu()
    for label, network in networks.items():
        with evaluation_target(network.to(device), test, spec) as target:
            for source in networks:
                robust[source, label] = robust_to(target, moved[source])
        network.cpu()
    return robust


def _outcome(
    target: str, methods: Sequence[str], robust: Mapping[tuple[str, str], Tensor]
) -> Outcome:
    own = robust[target, target]
    pairs = [only(robust[source, target], own) for source in methods if source != target]
    return stronger("transfer_stronger", pairs, len(own))

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

from bench.attacks.pgd import pgd
from bench.config.experiment import DiagnosticsSpec
from bench.data.dataset import Dataset, load
from bench.diagnostics.checks import Outcome, stronger
from bench.diagnostics.job import checked_weights, examined, examining, recorded, tell
from bench.diagnostics.target import EvaluationTarget, only
from bench.numerics.device import describe, peak_memory_mb, prepare
from bench.results.columns import TRANSFER
from bench.results.evaluated import EvaluatedRun, read_run
from bench.results.paths import Paths
from bench.results.records import Checks, ImagesRecord, TransferRecord
from bench.results.tables import from_rows
from bench.runtime.files import sha256
from bench.runtime.provenance import packages, transfer_digest


def transfer(
    spec: DiagnosticsSpec, methods: Sequence[str], seed: int, *, data: Path, folder: Path
) -> None:
    """Try the images made on each of `methods`, label by label, on all of them.

    Writes ``transfer/seed<k>.csv`` and, last, the record ``transfer/seed<k>.json``.

    Parameters
    ----------
    methods
        Labels of at least two runs with `seed`, trained and evaluated, in `folder`.
    data
        The data file.
    folder
        results/<experiment>.

    Raises
    ------
    BenchError
        As `bench.diagnostics.job.diagnose` does, for any of the runs.
    """
    began = time.perf_counter()
    paths = Paths(folder)
    runs = [read_run(paths.run(label, seed)) for label in methods]
    dataset = load(data)
    device = prepare(spec.compute)
    rows: list[dict[str, Any]] = []
    checkpoints: dict[str, dict[str, Checks]] = {}
    for name in spec.diagnostics.checkpoints:
        stands = _matrix(runs, dataset, spec, name, device)
        rows += [
            {
                "checkpoint": name,
                "source": source,
                "target": target,
                "accuracy": 100 * int(kept.sum()) / len(kept),
                "n": len(kept),
            }
            for (source, target), kept in stands.items()
        ]
        outcomes = {label: _outcome(label, methods, stands) for label in methods}
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
        experiment=runs[0].training.experiment,
        methods=tuple(methods),
        seed=seed,
        spec=spec,
        code_digest=transfer_digest(*(run.training.spec.model.name for run in runs)),
        data=ImagesRecord(name=dataset.name, fingerprint=dataset.fingerprint),
        device=describe(device),
        threads=spec.compute.threads,
        packages=packages(),
        seconds=round(time.perf_counter() - began, 2),
        peak_memory_mb=peak_memory_mb(device),
        sha256=sha256(paths.transfer(seed)),
        checkpoints=checkpoints,
    ).write(paths.transfer_record(seed))


def attacked(subject: EvaluationTarget) -> Tensor:
    """Return the images [N, C, H, W] that PGD makes of those of `subject`, on the CPU."""
    return torch.cat(
        [
            pgd(
                subject.model,
                images,
                labels,
                eps=subject.eps,
                step=subject.eps / 4,
                steps=subject.steps,
                generator=generator,
            ).cpu()
            for images, labels, generator in subject.batches()
        ]
    )


def standing(subject: EvaluationTarget, moved: Tensor) -> Tensor:
    """Return which images [N] are right unattacked and also as `moved`, on the CPU."""
    right = [
        subject.evaluated(images.to(labels.device), labels)[0]
        for images, labels in zip(
            torch.split(moved, subject.batch_size),
            torch.split(subject.labels, subject.batch_size),
            strict=True,
        )
    ]
    return (subject.right() & torch.cat(right)).cpu()


def _matrix(
    runs: Sequence[EvaluatedRun],
    dataset: Dataset,
    spec: DiagnosticsSpec,
    checkpoint: str,
    device: torch.device,
) -> dict[tuple[str, str], Tensor]:
    """Return what stands [N] by (source, target), by label."""
    # The images are the same for all, and all runs must belong to them.
    test, *_ = [examined(run, dataset, spec) for run in runs]
    networks = {run.training.method: checked_weights(run, dataset, checkpoint) for run in runs}
    moved, stands = {}, {}
    # One network at a time is on the device.
    for label, (network, _) in networks.items():
        with examining(network.to(device), test, spec) as subject:
            moved[label] = attacked(subject)
        network.cpu()
    for target, (network, _) in networks.items():
        with examining(network.to(device), test, spec) as subject:
            for source in networks:
                stands[source, target] = standing(subject, moved[source])
        network.cpu()
    return stands


def _outcome(
    target: str, methods: Sequence[str], stands: Mapping[tuple[str, str], Tensor]
) -> Outcome:
    own = stands[target, target]
    pairs = [only(stands[source, target], own) for source in methods if source != target]
    return stronger("transfer_stronger", pairs, len(own))

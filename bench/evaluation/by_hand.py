"""Evaluate the weights of one file, for whoever has no experiment."""

from __future__ import annotations

from pathlib import Path

from bench.attacks.autoattack_few_classes import AutoAttackFewClasses
from bench.config.experiment import (
    AutoAttack,
    Evaluation,
    EvaluationSpec,
    NetworkSpec,
    Pgd,
    RegisteredAttack,
)
from bench.config.experiment import with_step as step_filled_in
from bench.config.parsing import plain
from bench.data.dataset import load
from bench.evaluation.job import evaluate
from bench.external.job import take
from bench.results.paths import RunPaths
from bench.results.records import EvaluationRecord

BATCH = 200
CLASSES = 10  # that AutoAttack standard needs


def evaluate_file(
    spec: NetworkSpec, images: int | None, *, data: Path, folder: Path
) -> EvaluationRecord:
    """Evaluate the weights of `spec` under PGD-20 and AutoAttack; return the record.

    With fewer than ten classes it is `autoattack_few_classes`.

    `images` of the test set are attacked, None: all. Everything that an experiment would keep of
    the run is in `folder`.
    """
    label = folder.name
    take(spec, experiment="external", label=label, data=data, folder=folder)
    pgd20 = step_filled_in(Pgd(steps=20, images=images), spec.threat.eps, where="pgd20")
    few = len(load(data).classes) < CLASSES
    fewer = RegisteredAttack(
        attack=AutoAttackFewClasses.name,
        options=plain(AutoAttackFewClasses()),
        images=images,
        checkpoints=("best",),
    )
    asked = EvaluationSpec(
        threat=spec.threat,
        evaluation=Evaluation(
            batch_size=BATCH,
            engine="folded",
            pgd={"pgd20": pgd20},
            autoattack=None if few else AutoAttack(images=images),
            attacks={AutoAttackFewClasses.name: fewer} if few else {},
        ),
        compute=spec.compute,
    )
    evaluate(asked, data=data, folder=folder)
    return EvaluationRecord.read(RunPaths(folder).evaluation_record, "run the same command again")

"""PGD beside attacks that are not PGD: Square, which takes no gradient, and AutoAttack."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor, nn

from bench.attacks import autoattack
from bench.diagnostics.checks import Outcome, share
from bench.diagnostics.curves import Curve
from bench.diagnostics.target import EvaluationTarget
from bench.results.attack_result import AttackResult


def square_alone(target: EvaluationTarget, queries: int) -> Curve:
    """Return what AutoAttack's Square leaves robust when it attacks first and alone.

    It asks the network for its logits at most `queries` times and never for a gradient
    (Andriushchenko et al. 2020, arXiv:1912.00049). The curve has one point, at those queries, and
    no losses: Square raises the margin.
    """
    result = autoattack.run_standard(
        _Float32(target.model),
        target.images,
        target.labels,
        eps=target.eps,
        seed=target.seed,
        batch_size=target.batch_size,
        device=target.images.device,
        components=("square",),
        queries=queries,
    )
    return Curve("square", (queries,), result.robust.cpu()[None], None)


class _Float32(nn.Module):
    """A network with logits in float32, which is what the package's Square can compare."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits.float()


def autoattack_gap(results: Mapping[str, AttackResult]) -> Outcome | None:
    """Return how much of what PGD left robust AutoAttack broke, from the results of both.

    Of several PGDs with AutoAttack's radius the one that leaves least counts; the images are those
    that both evaluated, all of the test set if they did. None where either was not run.
    """
    ours = results.get("autoattack")
    if ours is None:
        return None
    found = []
    for name, theirs in results.items():
        if name in ("clean", "autoattack") or abs(theirs.record.eps - ours.record.eps) > 1e-6:
            continue
        # An attack of evaluation.attacks is no PGD.
        if theirs.record.about:
            continue
        shared_N = np.intersect1d(theirs.examples["index"], ours.examples["index"])
        if not len(shared_N):
            continue
        pgd_N, autoattack_N = (
            result.examples["robust"].to_numpy()[np.isin(result.examples["index"], shared_N)]
            for result in (theirs, ours)
        )
        broken = int((pgd_N & ~autoattack_N).sum())
        found.append(share("autoattack_gap", broken, len(shared_N)))
    return min(found, key=lambda outcome: outcome.value, default=None)

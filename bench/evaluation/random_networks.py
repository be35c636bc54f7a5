"""Networks whose forward passes of the same images differ: how they are found and attacked."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from bench.attacks.apgd_eot import ApgdEot
from bench.attacks.mode import evaluating
from bench.attacks.random_state import undisturbed
from bench.config.experiment import EvaluationSpec, RegisteredAttack
from bench.config.parsing import plain
from bench.data.dataset import Images, to_unit
from bench.numerics.device import convolutions
from bench.numerics.seeding import stream_seed

IMAGES, PASSES = 8, 5
ROUNDING = 1e-4  # share of the largest logit by which kernels of a device may differ


def is_random(model: nn.Module, test: Images) -> bool:
    """Return whether forward passes of `model` in evaluation mode differ on the same images.

    They are made one image at a time, for which there is memory where there is any for an attack.
    """
    images = to_unit(test.pixels[:IMAGES])
    seed = stream_seed(0, "evaluation", "random")
    with (
        evaluating(model),
        torch.no_grad(),
        convolutions(tf32=False),
        undisturbed(images.device, seed),
    ):
        for image in torch.split(images, 1):
            first, *again = [model(image) for _ in range(PASSES)]
            limit = ROUNDING * float(first.abs().max())
            if any(float((logits - first).abs().max()) > limit for logits in again):
                return True
    return False


def with_eot(spec: EvaluationSpec, checkpoint: str) -> EvaluationSpec:
    """Return `spec` with `apgd_eot` on `checkpoint`, where something else attacks it.

    It sees as many images as the attack there that sees the most. A config that names the attack
    has decided itself.
    """
    evaluation = spec.evaluation
    if any(asked.attack == ApgdEot.name for asked in evaluation.attacks.values()):
        return spec
    every = [*evaluation.pgd.values(), *evaluation.attacks.values(), evaluation.autoattack]
    counts = [asked.images for asked in every if asked and checkpoint in asked.checkpoints]
    if not counts:
        return spec
    known = [count for count in counts if count is not None]
    added = RegisteredAttack(
        attack=ApgdEot.name,
        options=plain(ApgdEot()),
        images=max(known) if len(known) == len(counts) else None,
        checkpoints=("best", "last"),
    )
    attacks = {**evaluation.attacks, ApgdEot.name: added}
    return replace(spec, evaluation=replace(evaluation, attacks=attacks))

"""From the checks that failed to their most probable cause, in one sentence.

Causes are tried in the order in which one explains the others: where passes differ gradients are
noise too, and where a gradient is zero every attack that needs it fails. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

# Autograd's names of operations, without "Backward" and a number.
SOFTMAX = {"LogSoftmax", "Softmax", "NllLoss", "Logsumexp"}
ROUNDING = {"Round", "Floor", "Ceil", "Trunc", "Sign", "Heaviside"}
SATURATING = {"Sigmoid", "LogSigmoid", "Tanh", "Hardsigmoid", "Hardtanh", "Erf", "Exp"}
INACTIVE = {"Relu", "Threshold", "Clamp"}
UNCONNECTED = {"NoGradient"}  # bench.diagnostics.backward


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What tells causes apart that fail the same checks.

    Attributes
    ----------
    lost_at
        Autograd's name of the operation at which gradients became zero, "" if none did.
    half
        That operation, or any if there is none, computes gradients in half precision.
    jumps
        Changes over small steps are those of a function that jumps, not of a smooth one.
    classes
        How many classes the network gives to all images together.
    step_saturates
        Of the images that PGD breaks and FGSM does not, FGSM breaks most once logits are divided.
    """

    lost_at: str = ""
    half: bool = False
    jumps: bool = False
    classes: int = 0
    step_saturates: bool = False


def cause(failed: Collection[str], evidence: Evidence) -> str:
    """Return the most probable cause of the `failed` checks as "name: what it is", "" without any.

    The name is one of the table of causes in docs/diagnostics.md.
    """
    if not failed:
        return ""
    if "random" in failed:
        return (
            "random inference: passes of the same images give different logits, as noise, "
            "dropout or random resizing does"
        )
    if "batch_dependent" in failed:
        return (
            "batch statistics: the logits of an image depend on the others of its batch, as "
            "batch-norm in train mode makes them"
        )
    if evidence.classes == 1:
        return "one class: the network gives every image the same class"
    if "zero_gradient" in failed:
        return _lost(evidence, failed)
    if "scale_stronger" in failed:
        return HALF if evidence.half else SATURATED
    if "gradient_wrong" in failed:
        return DISCONTINUOUS if evidence.jumps else WRONG_BACKWARD
    if "averaged_stronger" in failed:
        return (
            "rugged loss: gradients at single points mislead, and their average over nearby points "
            "does not"
        )
    if {"linearity", "fgsm_gap"} & set(failed):
        if evidence.step_saturates:
            return HALF if evidence.half else SATURATED
        return (
            "single-step overfitting: one step fails where many succeed, as after FGSM training "
            "that overfitted catastrophically"
        )
    if {"steps_flat", "restarts_flat"} >= set(failed):
        return "short attack: PGD has not converged with so few steps and restarts"
    return "misleading gradients: PGD does worse than it should, and no check says why"


HALF = (
    "half precision: gradients of cross-entropy are below what 16 bits can hold on their way "
    "back through the network"
)
SATURATED = (
    "saturated softmax: the logits are so far apart that probabilities round to 0 and 1, and "
    "cross-entropy loses its gradient"
)
DISCONTINUOUS = (
    "discontinuous function: the network jumps or ripples within steps that its gradient does not "
    "see, as with k-winners-take-all, rounding beside other paths or very steep activations"
)
WRONG_BACKWARD = (
    "wrong backward pass: the network is smooth, and its gradient is that of another function, "
    "as of a custom backward pass or a detached part"
)


def _lost(evidence: Evidence, failed: Collection[str]) -> str:
    operation = re.sub(r"Backward\d*$", "", evidence.lost_at)
    if operation in UNCONNECTED:
        return (
            "no path for gradients: an operation without a gradient, such as a comparison, argmax, "
            "an integer or detach(), lies between images and logits"
        )
    if operation in ROUNDING or "quantize" in operation.lower():
        return f"rounding: {operation} has a gradient of zero wherever it is constant"
    if evidence.half:
        return HALF
    if operation in SATURATING:
        return f"saturated activation: {operation} is so far out that its gradient rounds to zero"
    if operation in SOFTMAX or "scale_stronger" in failed:
        return SATURATED
    if operation in INACTIVE:
        return f"inactive units: all units of a layer are where {operation} is constant"
    return f"blocked gradient: {operation or 'an operation'} passes no finite gradient but zero"

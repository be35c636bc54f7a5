"""A network that hides how weak it is fails the check that looks for it, and its cause is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from margins import Blocks
from masked import SHAPE, SPEC, Quantised, Shattered, target
from torch import Tensor, nn

from bench.diagnostics.cause import Evidence, cause
from bench.diagnostics.checks import LIMITS
from bench.diagnostics.job import failed, run_checks

DOCS = Path(__file__).parents[2] / "docs" / "diagnostics.md"


class OfAnother(torch.autograd.Function):
    """Passes images on, and back the gradient of their mirror image."""

    @staticmethod
    def forward(ctx, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient.flip(dims=(2, 3)) - gradient


class Before(nn.Module):
    """`Blocks` of changed images."""

    def __init__(self, change: Callable[[Tensor], Tensor], scale: float = 100.0) -> None:
        super().__init__()
        self.blocks, self.change = Blocks(SHAPE, scale=scale), change

    def forward(self, images: Tensor) -> Tensor:
        return self.blocks(self.change(images))


def without_grad(images: Tensor) -> Tensor:
    with torch.inference_mode():
        return images * 1.0


def in_half(images: Tensor) -> Tensor:
    """Lose every gradient below what float16 holds."""
    return (images.half() * 1.0).float() + 0.0


NETWORKS = {
    "random inference": ("random", Before(lambda x: x + 0.1 * torch.randn_like(x))),
    "batch statistics": ("batch_dependent", Before(lambda x: x - 0.5 * x.mean(dim=0))),
    "saturated softmax": ("zero_gradient", Blocks(SHAPE, scale=1e5)),
    "rounding": ("zero_gradient", Quantised(SHAPE, scale=100)),
    "no path for gradients": ("zero_gradient", Before(lambda x: (x > 0.5).float())),
    "saturated activation": (
        "zero_gradient",
        Before(lambda x: torch.sigmoid(1e6 * (x - 0.5)), 5.0),
    ),
    "half precision": ("zero_gradient", Before(in_half, 250.0)),
    "discontinuous function": ("gradient_wrong", Shattered(SHAPE, scale=100)),
    "wrong backward pass": ("gradient_wrong", Before(OfAnother.apply)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_cause_is_named(name):
    check, network = NETWORKS[name]
    with target(network) as lent:
        found = run_checks(lent, SPEC)
    assert check in failed(found.outcomes)
    assert cause(failed(found.outcomes), found.evidence).startswith(f"{name}: ")


def test_what_inference_mode_computes_has_no_path_for_gradients():
    with target(Before(without_grad)) as lent:
        found = run_checks(lent, SPEC)
    assert cause(failed(found.outcomes), found.evidence).startswith("no path for gradients: ")


def test_without_a_failed_check_there_is_no_cause():
    assert cause([], Evidence(half=True, jumps=True)) == ""


@pytest.mark.parametrize("check", LIMITS)
def test_every_check_that_fails_has_a_cause_in_one_sentence(check):
    said = cause([check], Evidence(classes=10))
    name, _, text = said.partition(": ")
    assert f"| {name} |" in DOCS.read_text(encoding="utf-8")
    assert text
    assert "\n" not in said


def test_a_step_that_fails_because_logits_are_far_apart_is_no_overfitting():
    failures = ["linearity", "fgsm_gap"]
    assert cause(failures, Evidence(classes=10)).startswith("single-step overfitting")
    saturated = Evidence(classes=10, step_saturates=True)
    assert cause(failures, saturated).startswith("saturated softmax")

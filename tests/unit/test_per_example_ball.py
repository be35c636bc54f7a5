"""PGD takes the step size it is given, and what leaves its ball by little is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from margins import Blocks, pixels
from torch import Tensor, nn

from bench.config.experiment import Compute, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import Images
from bench.evaluation import per_example as module
from bench.evaluation.per_example import evaluate_attack
from bench.runtime.errors import BenchError

SHAPE = (1, 16, 16)
EPS = 8 / 255
LABELS = [0, 1, 2, 3]
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(batch_size=5, pgd={"pgd20": Pgd(steps=6, step_size=EPS / 3)}),
    compute=Compute(device="cpu", threads=1, tf32=False),
)


@pytest.fixture
def examined() -> Images:
    return Images(pixels(LABELS, [6, 20, 6, 10], SHAPE), torch.tensor(LABELS))


def test_pgd_has_the_step_size_of_the_configuration(monkeypatch, examined):
    calls: list[dict[str, Any]] = []

    def spy(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Tensor:
        calls.append(given)
        return images

    monkeypatch.setattr(module, "pgd", spy)
    evaluate_attack(Blocks(SHAPE), examined, "pgd20", SPEC)
    assert [(call["step"], call["steps"]) for call in calls] == [(EPS / 3, 6)]


def test_an_image_a_hundred_thousandth_outside_its_ball_stops_the_evaluation(monkeypatch, examined):
    def spoil(model: nn.Module, images: Tensor, labels: Tensor, **_: Any) -> Tensor:
        return (images + EPS + 1e-5).clamp(0, 1)

    monkeypatch.setattr(module, "pgd", spoil)
    with pytest.raises(BenchError, match=r"^pgd20: .*left its ball"):
        evaluate_attack(Blocks(SHAPE), examined, "pgd20", SPEC)

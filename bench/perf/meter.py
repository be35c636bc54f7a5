"""Where the time of an attack goes: the model's forward passes, its backward passes, the rest."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from bench.planning.stopwatch import wait


class Metered(nn.Module):
    """`model`, which takes the time of its passes; the device is waited for around each.

    Waiting costs time that an attack without a meter does not spend, so on CUDA a metered attack is
    never the one whose speed is reported. On a CPU there is nothing to wait for.

    Attributes
    ----------
    seconds, passes
        By "forward" and "backward".
    images
        How many images went through forward passes.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.device = next(model.parameters()).device
        self.seconds = {"forward": 0.0, "backward": 0.0}
        self.passes = {"forward": 0, "backward": 0}
        self.images = 0
        self._began = 0.0

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `model`."""
        self.images += len(images)
        self.start()
        entered: Tensor = _Enter.apply(images, self)
        logits: Tensor = _Leave.apply(self.model(entered), self)
        self.stop("forward")
        return logits

    def start(self) -> None:
        """Begin to take the time."""
        wait(self.device)
        self._began = time.perf_counter()

    def stop(self, name: str) -> None:
        """Add the time since `start` to that of the passes `name`."""
        wait(self.device)
        self.seconds[name] += time.perf_counter() - self._began
        self.passes[name] += 1


# A gradient goes through the model from _Leave to _Enter. Both give on what they are given.
class _Enter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, meter: Metered) -> Tensor:
        ctx.meter = meter
        return images.view_as(images)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.meter.stop("backward")
        return gradient, None


class _Leave(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, meter: Metered) -> Tensor:
        ctx.meter = meter
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.meter.start()
        return gradient, None

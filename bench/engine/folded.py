"""The same training, faster: what measurement showed to pay (docs/performance.md).

Attacks run on a copy of the network with its batch-norms folded; maps lie with their channels
together; where asked for, passes compute in bfloat16 while weights, losses and the descent are
float32. The last linear layer is in bfloat16 too, and logits become float32 after it. The passes of
a step share one cast of the weights, so the gradients of a weight are summed over them in bfloat16.

On a CUDA device "float32" means TF32 in convolutions where `compute.tf32` is true.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.engine.base import Engine
from bench.engine.folding import FoldedNetwork
from bench.engine.memory_format import layout


class Folded(Engine):
    """Attacks on a copy with folded batch-norms, and channels-last maps.

    Parameters
    ----------
    model
        Laid out again in place.
    precision
        "float32", or "bfloat16" for passes and attacks. Of a KL attack the target p(x) and the
        first gradient stay float32 (TF32 with its 10 bits where that is allowed): bfloat16 does not
        hold the 0.001 of its start, and where v is that near to x the gradient is a difference of
        nearly equal numbers.
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__(model, precision)
        self.layout = layout(model)
        model.to(memory_format=self.layout)
        self.bfloat16 = precision == "bfloat16"
        self._exact = FoldedNetwork(model)
        self._coarse = FoldedNetwork(model, torch.bfloat16) if self.bfloat16 else None

    def to_memory_format(self, images: Tensor) -> Tensor:
        """See `Engine.to_memory_format`."""
        return images.contiguous(memory_format=self.layout)

    def logits(
        self, images: Mapping[str, Tensor], network: nn.Module | None = None
    ) -> dict[str, Tensor]:
        """See `Engine.logits`."""
        model = (network or self.model).train()
        kind = next(model.parameters()).device.type
        # One context for all passes: weights are cast once, so their gradients are summed as cast.
        with torch.autocast(kind, torch.bfloat16, enabled=self.bfloat16):
            logits = {name: model(batch) for name, batch in images.items()}
        return {name: value.to(torch.float32) for name, value in logits.items()}

    def attack(
        self, attack: InnerAttack, images: Tensor, labels: Tensor, budget: Budget, noise: Tensor
    ) -> Tensor:
        """See `Engine.attack`."""
        network: nn.Module = self.model
        opening = None
        # An attack in train mode moves the statistics of the network itself.
        if attack.mode == "eval":
            network = exact = self.eval_model()
            if self._coarse is not None:
                opening = exact if attack.loss == "kl" else None
                # Folded once, for both.
                self._coarse.copy(exact)
                network = self._coarse
        else:
            network.train()
        return attack(network, images, labels, budget, noise, opening)

    def eval_model(self, network: nn.Module | None = None) -> FoldedNetwork:
        """Return a folded copy, float32."""
        self._exact.refresh(network or self.model)
        return self._exact

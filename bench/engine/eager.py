"""The reference: the network as the papers' code runs it, eager, contiguous, float32."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.engine.base import Engine


class Eager(Engine):
    """Every pass is a call of the network itself."""

    def to_memory_format(self, images: Tensor) -> Tensor:
        """Return `images`."""
        return images

    def logits(
        self, images: Mapping[str, Tensor], network: nn.Module | None = None
    ) -> dict[str, Tensor]:
        """See `Engine.logits`."""
        model = (network or self.model).train()
        return {name: model(batch) for name, batch in images.items()}

    def attack(
        self, attack: InnerAttack, images: Tensor, labels: Tensor, budget: Budget, noise: Tensor
    ) -> Tensor:
        """See `Engine.attack`."""
        if attack.mode == "train":
            self.model.train()
        return attack(self.model, images, labels, budget, noise)

    def eval_model(self, network: nn.Module | None = None) -> nn.Module:
        """Return the network itself."""
        return network or self.model

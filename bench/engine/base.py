"""What an engine is: it runs a network for the training loop and knows nothing of methods.

An engine may change the layout, the precision and the order of sums; it never changes which
gradients are taken, of what, and where an attack may go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack


class Engine(ABC):
    """Runs `model`, which is on its device already, for one training.

    Parameters
    ----------
    model
        The network whose weights are trained; they are float32 in any case.
    precision
        "float32" or "bfloat16": what passes compute in, where the engine has the choice.
    """

    def __init__(self, model: nn.Module, precision: str) -> None:
        self.model, self.precision = model, precision

    @abstractmethod
    def to_memory_format(self, images: Tensor) -> Tensor:
        """Return images [B, C, H, W] in the memory layout that the network is run in."""

    @abstractmethod
    def logits(
        self, images: Mapping[str, Tensor], network: nn.Module | None = None
    ) -> dict[str, Tensor]:
        """Return float32 logits [B, K] of one train-mode pass for each of `images`, in order.

        `network` takes the place of the engine's own: one that is trained beside it.
        """

    @abstractmethod
    def attack(
        self, attack: InnerAttack, images: Tensor, labels: Tensor, budget: Budget, noise: Tensor
    ) -> Tensor:
        """Return what `attack`, called with the same arguments, makes of the network."""

    @abstractmethod
    def eval_model(self, network: nn.Module | None = None) -> nn.Module:
        """Return the network as it is now, to be run in evaluation mode and float32.

        `network` takes the place of the engine's own: one of its architecture and layout.
        """

"""What a method may do in a step of training; the training loop fulfils it.

Random draws come from streams named by seed, purpose, epoch and step, so a method that draws more
than another shifts nothing, and a resumed training draws the same.

Shape suffixes: B images of a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from bench.attacks.inner import InnerAttack


class Step(Protocol):
    """One step: images, labels, and the verbs that `Method.forward` is written in.

    Attributes
    ----------
    x
        Clean images [B, C, H, W] in [0, 1], cropped and mirrored.
    labels
        Classes [B] int64.
    eps
        Radius of the ball, in pixel values.
    epoch, count
        The epoch, and the steps of the run up to this one; both from 1.
    """

    x: Tensor
    labels: Tensor
    eps: float
    epoch: int
    count: int

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """The network's parameters by name."""
        ...

    def attack(self, *, labels: Tensor | None = None, how: InnerAttack | None = None) -> Tensor:
        """Return x' [B, C, H, W], detached: `how` (the method's own attack) on the network.

        `labels` [B] int64 take the place of the step's own.
        """
        ...

    def input_gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the gradient of the summed cross-entropy of `images`, [B, C, H, W], detached.

        The network is in evaluation mode and float32.
        """
        ...

    def random_signs(self) -> Tensor:
        """Return -1 or 1 for each value of x."""
        ...

    def random(self, purpose: str) -> float:
        """Return a number in [0, 1) of the stream `purpose`."""
        ...

    def recall(self) -> Tensor | None:
        """Return x'', what `remember` was given for these images last; None in the first epoch."""
        ...

    def remember(self, adversarial: Tensor) -> None:
        """Keep x' [B, C, H, W] of these images for the next epoch; `recall` comes before."""
        ...

    def logits(self, **images: Tensor) -> dict[str, Tensor]:
        """Return logits [B, K] of one train-mode pass for each batch of images, in this order."""
        ...

    def joint_logits(self, **images: Tensor) -> dict[str, Tensor]:
        """Return logits of one train-mode pass over all images together, split again.

        Batch-norm's statistics are then those of all of them.
        """
        ...

    def network_logits(self, network: str, **images: Tensor) -> dict[str, Tensor]:
        """Return logits of a pass for each batch through one of `Method.networks`.

        A "trained" network is in train mode and its logits have a gradient; an "average" one is in
        train mode, a "frozen" one in evaluation mode, and theirs have none.
        """
        ...

    def weight_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Return the gradient of `loss` for each of `weights`; the graph can be used again."""
        ...

    def move_average(self, network: str, decay: float) -> None:
        """Move the parameters of an "average" network: a <- decay * a + (1 - decay) * w."""
        ...

"""Which operation of a network passes no gradient back to its images, and in what precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from bench.diagnostics.target import EvaluationTarget

EXAMINED = 8  # images
HALF = (torch.float16, torch.bfloat16)


class NoGradient(torch.autograd.Function):
    """Makes logits depend on images by a gradient of zero."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, images: Tensor) -> Tensor:
        """Return the logits."""
        ctx.save_for_backward(images)
        return logits.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> tuple[None, Tensor]:
        """Return no gradient of the logits and zero of the images."""
        (images,) = ctx.saved_tensors
        return None, torch.zeros_like(images)


class Connected(nn.Module):
    """A network whose logits depend on its images for autograd, whatever it does.

    After a comparison, argmax, an integer or detach() there is no gradient to ask for, and an
    attack would end in an error rather than in vain.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to the network's logits [B, K]."""
        logits: Tensor = self.network(images)
        if images.requires_grad and torch.is_grad_enabled() and not logits.requires_grad:
            logits = NoGradient.apply(logits, images)
        return logits


def lost_at(target: EvaluationTarget, flat: Tensor) -> tuple[str, bool]:
    """Follow the gradients of images that have none, `flat` [N]; of the first if all have one.

    Returns autograd's name of the operation that most often received a gradient and passed on none,
    or one that is not finite, and whether it passed half precision. Where every gradient reached
    its image the name is "", and it is whether any operation did. Each image is looked at alone,
    and is there twice because batch-norm in train mode needs two.
    """
    lost: Counter[tuple[str, bool]] = Counter()
    half = False
    for index in flat.nonzero().flatten().tolist()[:EXAMINED] or [0]:
        image, label = target.images[index], target.labels[index]
        for name, received, passed in _steps(target, torch.stack((image, image)), label):
            of_half = any(gradient.dtype in HALF for gradient in passed)
            half |= of_half
            if _useful(received) and passed and not _useful(passed):  # without any: a leaf
                lost[name, of_half] += 1
    return lost.most_common(1)[0][0] if flat.any() and lost else ("", half)


Step = tuple[str, list[Tensor], list[Tensor]]


def _steps(target: EvaluationTarget, images: Tensor, label: Tensor) -> list[Step]:
    """Return each operation's name and the gradients that it received and passed on."""
    found: list[Step] = []
    with torch.enable_grad():
        point = images.detach().clone().requires_grad_()
        loss = target.loss(label.expand(len(images)))(point).sum()
        assert loss.grad_fn is not None  # of a `Connected` network
        for node in _nodes(loss.grad_fn):

            def keep(passed: Any, received: Any, name: str = node.name()) -> None:
                found.append((name, _given(received), _given(passed)))

            node.register_hook(keep)
        torch.autograd.grad(loss, point)
    return found


def _given(gradients: Iterable[Tensor | None]) -> list[Tensor]:
    return [gradient for gradient in gradients if gradient is not None]


def _useful(gradients: Iterable[Tensor]) -> bool:
    """Return whether a gradient is not zero, and all are finite."""
    return any(bool(part.any()) for part in gradients) and all(
        bool(part.isfinite().all()) for part in gradients
    )


def _nodes(root: Node) -> Iterator[Node]:
    """Yield `root` and all operations that its gradient reaches."""
    waiting, seen = [root], {root}
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)

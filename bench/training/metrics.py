"""What one epoch measures: loss terms and accuracies, summed on the device."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.attacks.mode import evaluating
from bench.attacks.pgd import pgd
from bench.config.schema import ValidationAttack
from bench.data.dataset import Images, to_unit
from bench.numerics.seeding import stream

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


class EpochMetrics:
    """Sums over the images of an epoch, without waiting for the device at every step."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.images = 0
        self._sums: dict[str, Tensor] = {}
        self._losses: list[Tensor] = []

    def add(
        self, terms: Mapping[str, Tensor], logits: Mapping[str, Tensor], labels_B: Tensor
    ) -> None:
        """Add a batch: its loss terms (means) and the logits of every pass."""
        batch = len(labels_B)
        self.images += batch
        with torch.no_grad():
            for name, term in terms.items():
                self._add(f"loss_{name}", term.detach() * batch)
            self._losses.append(torch.stack([term.detach() for term in terms.values()]).sum())
            for name in ("clean", "adversarial"):
                if name in logits:
                    self._add(name, (logits[name].argmax(dim=1) == labels_B).sum())

    def _add(self, name: str, value: Tensor) -> None:
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        self._sums[name] = self._sums.get(name, zero) + value

    def means(self) -> dict[str, float]:
        """Return every sum over the number of images; accuracies are shares."""
        return {name: value.item() / self.images for name, value in self._sums.items()}

    def first_bad_step(self) -> int | None:
        """Return the first step, from 1, whose loss was not finite; None where all were."""
        bad = (~torch.stack(self._losses).isfinite()).nonzero()
        return int(bad[0]) + 1 if len(bad) else None

    def latest_loss(self) -> float:
        """Return the loss of the last step; waits for the device."""
        return self._losses[-1].item()


def at_chance(accuracy: float, images: int, most: int) -> bool:
    """Return whether an accuracy is no better than naming one class always, as far as images tell.

    Parameters
    ----------
    accuracy
        On images that nobody attacked, in percent.
    images, most
        How many there are, and how many have the most frequent label.

    It is better where Wilson's 95 % interval lies above the share of that label, which is what the
    score test of that share says.
    """
    correct, share = round(accuracy * images / 100), most / images
    return correct - most <= Z95 * math.sqrt(images * share * (1 - share))


def clean_accuracy(model: nn.Module, images: Images, batch_size: int) -> float:
    """Return the accuracy in percent on images that nobody attacked."""
    correct = 0
    with evaluating(model), torch.no_grad():
        for first in range(0, len(images), batch_size):
            part = slice(first, first + batch_size)
            logits_BK = model(to_unit(images.pixels[part]))
            correct += int((logits_BK.argmax(dim=1) == images.labels[part]).sum())
    return 100 * correct / len(images)


def pgd_accuracy(
    model: nn.Module,
    images: Images,
    batch_size: int,
    *,
    eps: float,
    attack: ValidationAttack,
    seed: int,
) -> float:
    """Return the accuracy in percent under `attack`, PGD from one uniform start.

    The starts come from the stream "validation" of `seed`: every epoch and every method meets the
    same ones.
    """
    correct = 0
    generator = stream(seed, "validation")
    for first in range(0, len(images), batch_size):
        part = slice(first, first + batch_size)
        labels_B, images_BCHW = images.labels[part], to_unit(images.pixels[part])
        moved_BCHW = pgd(
            model,
            images_BCHW,
            labels_B,
            eps=eps,
            step=attack.size,
            steps=attack.steps,
            loss=attack.loss,
            generator=generator,
        )
        with evaluating(model), torch.no_grad():
            fooled_B = model(moved_BCHW).argmax(dim=1) != labels_B
            # PGD may lose an image that was wrong to begin with.
            fooled_B |= model(images_BCHW).argmax(dim=1) != labels_B
        correct += int((~fooled_B).sum())
    return 100 * correct / len(images)

"""Measurements of evaluation: PGD-20 and AutoAttack, on the network itself or on a faster copy.

Shape suffixes: N images attacked.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks import autoattack
from bench.attacks.mode import evaluating
from bench.attacks.pgd import pgd
from bench.evaluation.judge import searched
from bench.numerics.seeding import stream
from bench.perf.bench import Bench
from bench.perf.meter import Metered
from bench.planning.stopwatch import wait

# So near that no image falls: AutoAttack drops a fallen image, and its cost would be by chance.
NEAR = 1e-6
PGD_STEPS = 20


class Pgd:
    """PGD-20 from one uniform start."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.model = bench, _searched(bench)
        self.images_NCHW, self.labels_N = bench.images(bench.settings.pgd_images)
        self._attack(1 if bench.device.type == "cpu" else PGD_STEPS)

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`."""
        return {"images": len(self.images_NCHW), "seconds": self._attack(PGD_STEPS)}

    def _attack(self, steps: int) -> float:
        batch, eps = self.bench.settings.attack_batch, self.bench.setup.eps
        with self.bench.timed() as spent:
            for first in range(0, len(self.images_NCHW), batch):
                part = slice(first, first + batch)
                pgd(
                    self.model,
                    self.images_NCHW[part],
                    self.labels_N[part],
                    eps=eps,
                    step=eps / 4,
                    steps=steps,
                    generator=stream(0, "pgd", first, device=self.bench.device),
                )
        return spent[0]


class AutoAttack:
    """AutoAttack by its reference package, on images that stay robust to the end."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.model = bench, _searched(bench)
        self.images_NCHW, _ = bench.images(bench.settings.attack_images)
        self.labels_N = self._predicted()

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`; "robust" images of all, and the "seconds" of each component."""
        last, seconds = time.perf_counter(), {}

        def note(component: str, _robust: int, _count: int) -> None:
            nonlocal last
            wait(self.bench.device)
            now = time.perf_counter()
            seconds[component], last = now - last, now

        with self.bench.timed() as spent:
            last = time.perf_counter()
            verdict = judged(self.bench, self.model, self.images_NCHW, self.labels_N, note=note)
        return {
            "images": len(self.images_NCHW),
            "seconds": spent[0],
            "robust": int(verdict.robust.sum()),
            "components": seconds,
        }

    def _predicted(self) -> Tensor:
        """Return what the network says of the images; it warms up for the attack as well."""
        parts = []
        with evaluating(self.model), torch.no_grad(), self.bench.timed():
            for images in torch.split(self.images_NCHW, self.bench.settings.attack_batch):
                parts.append(self.model(images).argmax(dim=1))
        return torch.cat(parts)


class Breakdown(AutoAttack):
    """AutoAttack once more, component by component, with the time of the model's passes taken."""

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`; in "split", what each component spends on what."""
        parts, robust = {}, len(self.images_NCHW)
        for component in self.bench.settings.components:
            meter = Metered(self.model)
            with self.bench.timed() as spent:
                verdict = judged(
                    self.bench, meter, self.images_NCHW, self.labels_N, components=(component,)
                )
            robust = min(robust, int(verdict.robust.sum()))
            parts[component] = {
                "seconds": spent[0],
                **meter.seconds,
                "outside": spent[0] - sum(meter.seconds.values()),
                "forward_passes": meter.passes["forward"],
                "backward_passes": meter.passes["backward"],
                "forward_images": meter.images,
            }
        return {
            "images": len(self.images_NCHW),
            "seconds": sum(part["seconds"] for part in parts.values()),
            "robust": robust,
            "split": parts,
        }


def judged(
    bench: Bench,
    model: nn.Module,
    images_NCHW: Tensor,
    labels_N: Tensor,
    *,
    components: tuple[str, ...] | None = None,
    note: Any = None,
) -> autoattack.AutoAttackVerdict:
    """Return the verdict of AutoAttack with a radius in which no image falls."""
    return autoattack.judge(
        model,
        images_NCHW,
        labels_N,
        eps=NEAR,
        seed=0,
        batch_size=bench.settings.attack_batch,
        device=bench.device,
        components=components or bench.settings.components,
        progress=note,
    )


def _searched(bench: Bench) -> nn.Module:
    return searched(bench.network(), "plain" if bench.route.engine == "plain" else "fast")

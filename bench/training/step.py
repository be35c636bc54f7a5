"""One step of a training, as methods see it: images, and verbs for attacks and passes.

Shape suffixes: B images of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.attacks.mode import evaluating, frozen
from bench.config.experiment import TrainSpec
from bench.data.augment import Frame
from bench.data.memory import Memory
from bench.engine.base import Engine
from bench.methods.base import Method
from bench.numerics.seeding import stream
from bench.training.networks import Networks, move

T = TypeVar("T")


class TrainingStep:
    """What `bench.methods.step.Step` promises, for the step `number` (from 0) of `epoch` (from 1).

    What it makes of images is made once: a second course through a method's `forward`, after
    `again`, gets the same images and the same constant logits back.

    Parameters
    ----------
    count
        Steps of the run up to this one.
    index_B, frame, clean
        Which images of the training set these are, where their views lie, and the views.
    labels
        Their classes [B] int64.
    """

    def __init__(
        self,
        spec: TrainSpec,
        method: Method,
        engine: Engine,
        networks: Networks,
        memory: Memory | None,
        *,
        epoch: int,
        number: int,
        count: int,
        index_B: Tensor,
        frame: Frame,
        clean: Tensor,
        labels: Tensor,
    ) -> None:
        self._spec, self._method, self._engine = spec, method, engine
        self._networks, self._memory = networks, memory
        self.epoch, self.count, self._number = epoch, count, number
        self.index_B, self.frame, self.labels = index_B, frame, labels
        self.x = engine.to_memory_format(clean)
        self.eps = spec.threat.eps
        self.images: dict[str, Tensor] = {}
        self._made: list[object] = []
        self._place = 0
        self._keeping = False
        self._before: list[tuple[Tensor, Tensor]] = []

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """See `Step`."""
        return dict(self._engine.model.named_parameters())

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Give batch-norms back the running statistics that they had before the first pass.

        What an attack in train mode moved stays: it is made once, whatever follows.
        """
        self._keeping = True
        try:
            yield
        finally:
            self._keeping = False
            with torch.no_grad():
                for buffer, value in self._before:
                    buffer.copy_(value)
            self._before.clear()

    def _remember_statistics(self) -> None:
        if self._keeping and not self._before:
            networks = (self._engine.model, *self._networks.trained())
            buffers = [buffer for network in networks for buffer in network.buffers()]
            self._before += [(buffer, buffer.clone()) for buffer in buffers]

    def again(self) -> None:
        """Go back to the beginning of `forward`."""
        self._place = 0

    def attack(self, *, labels: Tensor | None = None, how: InnerAttack | None = None) -> Tensor:
        """See `Step.attack`."""
        attack = how or self._method.attack
        assert attack is not None  # a method without an attack does not ask for it
        return self._once(lambda: self._attack(attack, self.labels if labels is None else labels))

    def _attack(self, attack: InnerAttack, labels_B: Tensor) -> Tensor:
        # Named by the start's distribution: methods with the same start share the noise.
        generator = self._stream("attack", attack.start)
        noise = attack.noise(self.x.shape, eps=self.eps, generator=generator)
        recipe = self._spec.training.attack
        budget = attack.budget(eps=self.eps, step=recipe.size, steps=recipe.steps)
        return self._engine.attack(attack, self.x, labels_B, budget, noise)

    def input_gradient(self, images: Tensor, labels: Tensor) -> Tensor:
        """See `Step.input_gradient`."""

        def gradient() -> Tensor:
            model = self._engine.eval_model()
            images_BCHW = images.detach().requires_grad_()
            with evaluating(model), frozen(model):
                loss = cross_entropy(model(images_BCHW), labels).sum()
                (found,) = torch.autograd.grad(loss, images_BCHW)
            return found

        return self._once(gradient)

    def random_signs(self) -> Tensor:
        """See `Step.random_signs`."""

        def signs() -> Tensor:
            generator = self._stream("signs")
            shape, device = self.x.shape, self.x.device
            bits = torch.randint(0, 2, tuple(shape), generator=generator, device=device)
            return (2 * bits - 1).to(self.x)

        return self._once(signs)

    def random(self, purpose: str) -> float:
        """See `Step.random`."""
        generator = stream(self._spec.seed, purpose, self.epoch, self._number)
        return torch.rand((), generator=generator).item()

    def recall(self) -> Tensor | None:
        """See `Step.recall`."""
        return self._once(self._recall)

    def _recall(self) -> Tensor | None:
        assert self._memory is not None  # made for every method with a pass "memory"
        if self.epoch == 1:
            return None
        recalled = self._memory.recall(self.index_B, self.frame, self.x)
        return self._engine.to_memory_format(recalled)

    def remember(self, adversarial: Tensor) -> None:
        """See `Step.remember`."""
        assert self._memory is not None
        self._memory.store(self.index_B, self.frame, self.x, adversarial)

    def logits(self, **images: Tensor) -> dict[str, Tensor]:
        """See `Step.logits`."""
        self.images |= images
        self._remember_statistics()
        return self._engine.logits(images)

    def joint_logits(self, **images: Tensor) -> dict[str, Tensor]:
        """See `Step.joint_logits`."""
        self.images |= images
        self._remember_statistics()
        together = self._engine.to_memory_format(torch.cat(list(images.values())))
        logits = self._engine.logits({"joint": together})["joint"]
        parts = torch.split(logits, [len(batch) for batch in images.values()])
        return dict(zip(images, parts, strict=True))

    def network_logits(self, network: str, **images: Tensor) -> dict[str, Tensor]:
        """See `Step.network_logits`."""
        if not self._networks.constant(network):
            self._remember_statistics()
            return self._networks.logits(network, images)
        return self._once(lambda: self._networks.logits(network, images))

    def weight_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """See `Step.weight_gradients`."""
        weights = self.weights
        gradients = torch.autograd.grad(loss, list(weights.values()), retain_graph=True)
        return dict(zip(weights, gradients, strict=True))

    def move_average(self, network: str, decay: float) -> None:
        """See `Step.move_average`."""
        move(self._networks[network], self._engine.model, decay)

    def _once(self, make: Callable[[], T]) -> T:
        """Return what `make` returned at this place of the first course, or does now."""
        if self._place == len(self._made):
            self._made.append(make())
        found = self._made[self._place]
        self._place += 1
        return found  # type: ignore[return-value]

    def _stream(self, *names: str) -> torch.Generator:
        seed, place = self._spec.seed, (self.epoch, self._number)
        return stream(seed, *names, *place, device=self.x.device)

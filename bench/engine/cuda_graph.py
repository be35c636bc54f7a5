"""The folded engine with each attack recorded once as a CUDA graph and replayed at every step.

An attack is hundreds of short kernels. Replayed, they are launched at once, so that the device
never waits for Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.engine.folded import Folded

WARM_UP = 3  # runs before the recording, in which libraries choose kernels and take their memory


class CudaGraph(Folded):
    """Records an attack for each shape of batch; needs a CUDA device."""

    def __init__(self, model: nn.Module, precision: str) -> None:
        super().__init__(model, precision)
        self._recorded: dict[Any, Recording] = {}
        self._read = self._addresses()

    def attack(
        self, attack: InnerAttack, images: Tensor, labels: Tensor, budget: Budget, noise: Tensor
    ) -> Tensor:
        """See `Engine.attack`."""
        if attack.mode != "eval":
            return super().attack(attack, images, labels, budget, noise)

        def run(images: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
            return Folded.attack(self, attack, images, labels, budget, noise)

        # A replay reads what was recorded, even where it was freed since.
        if self._read != (now := self._addresses()):
            self._recorded.clear()
            self._read = now
        # The last batch of an epoch is smaller: it has a recording of its own.
        key = (attack, tuple(images.shape), budget)
        if key not in self._recorded:
            self._recorded[key] = Recording(run, images, labels, noise)
        return self._recorded[key](images, labels, noise)

    def _addresses(self) -> tuple[int, ...]:
        """Return where the network's tensors are."""
        tensors = (*self.model.parameters(), *self.model.buffers())
        return tuple(tensor.data_ptr() for tensor in tensors)


class Recording:
    """`run` on tensors like `example` as one CUDA graph; what else it reads is read in place.

    Weights that `run` refreshes from a network are therefore refreshed at every replay, as long as
    the network's tensors stay where they are, as in-place updates leave them; `CudaGraph` watches
    that.
    """

    def __init__(self, run: Callable[..., Tensor], *example: Tensor) -> None:
        # clone() keeps the layout.
        self._inputs = [tensor.clone() for tensor in example]
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                run(*self._inputs)
        current.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = run(*self._inputs)

    def __call__(self, *given: Tensor) -> Tensor:
        """Return what `run` returns for `given`, of the shapes of `example`."""
        for own, new in zip(self._inputs, given, strict=True):
            own.copy_(new)
        self._graph.replay()
        # The next replay writes where this one wrote.
        return self._output.clone()

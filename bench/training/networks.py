"""The networks beside the one that is trained: a method's own, and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from bench.engine.base import Engine
from bench.methods.base import Method


class Networks:
    """The networks that a method declares beside the trained one, on its device and in its layout.

    Parameters
    ----------
    method
        Its `networks` have names and kinds.
    engine
        Runs the network that is trained, as training begins.
    states
        State of every frozen network, and the initial one of every trained one.
    """

    def __init__(
        self, method: Method, engine: Engine, states: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        self._engine, self._kinds = engine, dict(method.networks)
        self._networks: dict[str, nn.Module] = {}
        for name, kind in self._kinds.items():
            network = copy.deepcopy(engine.model)
            if kind != "average":
                network.load_state_dict(states[name])
            if kind != "trained":
                network.requires_grad_(False)
            self._networks[name] = network.train(kind != "frozen")

    def trained(self) -> Iterator[nn.Module]:
        """Yield those that the optimizer trains too."""
        return (self[name] for name, kind in self._kinds.items() if kind == "trained")

    def kept(self) -> dict[str, nn.Module]:
        """Return those that change in training, by name: an exact resume needs their state."""
        return {name: self[name] for name, kind in self._kinds.items() if kind != "frozen"}

    def __getitem__(self, name: str) -> nn.Module:
        return self._networks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._networks)

    def constant(self, name: str) -> bool:
        """Return whether the logits of the network `name` have no gradient."""
        return self._kinds[name] != "trained"

    def logits(self, name: str, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return float32 logits [B, K] of one pass through the network `name` for each batch."""
        network = self[name]
        if not self.constant(name):
            return self._engine.logits(images, network)
        with torch.no_grad():
            return {which: network(batch) for which, batch in images.items()}


@torch.no_grad()
def move(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of `average`: a <- decay * a + (1 - decay) * w; buffers stay."""
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    update(list(average.parameters()), list(network.parameters()), None)


class AveragedWeights:
    """The exponential moving average of the weights of `model`, begun at those that it has now.

    Batch-norm's statistics are the model's own at the time of an evaluation.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._network = copy.deepcopy(model).requires_grad_(False)
        self.update = partial(move, self._network, model, decay)
        self._model = model

    @torch.no_grad()
    def network(self) -> nn.Module:
        """Return the average as a network."""
        for own, theirs in zip(self._network.buffers(), self._model.buffers(), strict=True):
            own.copy_(theirs)
        return self._network

"""What searches for adversarial images, and the search of an attack of `evaluation.attacks`.

Such an attack is given one batch after the other. A batch depends on no other: its random numbers
begin at streams of their own, and the network is in evaluation mode each time. So a search that was
stopped goes on after the batches that are kept, to the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from bench.attacks.base import Attack, SearchResult, Target, file_of, search_batch
from bench.attacks.mode import evaluating, frozen
from bench.attacks.random_state import undisturbed
from bench.config.experiment import EvaluationSpec
from bench.engine.folding import FoldedNetwork
from bench.engine.memory_format import layout
from bench.evaluation.state import State
from bench.numerics.device import convolutions
from bench.numerics.seeding import stream, stream_seed
from bench.runtime.errors import CodeError

# Searches on a network, with TF32 or without.
Search = Callable[[nn.Module, Tensor, Tensor, bool], SearchResult]


def searched(model: nn.Module, engine: str) -> nn.Module:
    """Return the network that `engine` searches on for `model`."""
    if engine == "eager":
        return model
    return FoldedNetwork(model).to(memory_format=layout(model))


def registered_search(
    attack: Attack,
    label: str,
    spec: EvaluationSpec,
    model: nn.Module,
    others: Mapping[str, nn.Module],
    state: State | None,
) -> Search:
    """Return the search of `attack`, called `label` in `spec`, for the network `model`.

    With `state` it resumes after the batches that an interrupted one finished.
    """
    evaluation, asked = spec.evaluation, spec.evaluation.attacks[label]

    def search(network: nn.Module, images: Tensor, labels: Tensor, tf32: bool) -> SearchResult:
        engine = "eager" if network is model else evaluation.engine
        beside = {name: searched(other, engine) for name, other in others.items()}
        part = f"{engine}-{'tf32' if tf32 else 'float32'}"
        found = state.begun(part, SearchResult) if state else None
        if found is None:
            found = SearchResult(images=images[:0], by=[])
        report = state.keeper(part) if state else None
        before = [value.clone() for value in _weights(network, *beside.values())]
        for first in range(len(found.images), len(images), evaluation.batch_size):
            batch = slice(first, first + evaluation.batch_size)
            target = Target(
                network=network,
                images=images[batch],
                labels=labels[batch],
                eps=spec.threat.eps,
                generator=stream(asked.seed, attack.name, first, device=images.device),
                others=beside,
            )
            seed = stream_seed(asked.seed, attack.name, "global", first)
            with ExitStack() as stack:
                stack.enter_context(convolutions(tf32=tf32))
                stack.enter_context(undisturbed(images.device, seed))
                for one in (network, *beside.values()):
                    stack.enter_context(evaluating(one))
                    stack.enter_context(frozen(one))
                new = search_batch(attack, label, target)
            found = _joined(found, new)
            if report is not None:
                report(found)
        if not all(map(torch.equal, before, _weights(network, *beside.values()))):
            raise CodeError(
                f"{file_of(attack)}: search of the attack {attack.name!r} changed weights of a "
                "network; let it work on a copy"
            )
        if state:
            state.write(part, found)
        return found

    return search


def _weights(*networks: nn.Module) -> list[Tensor]:
    return [value for network in networks for value in network.state_dict().values()]


def _joined(found: SearchResult, new: SearchResult) -> SearchResult:
    return SearchResult(
        images=torch.cat([found.images.to(new.images), new.images]),
        by=[*found.by, *new.by],
        warnings=tuple(dict.fromkeys((*found.warnings, *new.warnings))),
    )

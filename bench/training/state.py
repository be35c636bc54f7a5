"""What an interrupted training needs to go on as if nothing had happened.

All random draws follow from seed, epoch and step, so after a whole epoch there is no random state
to keep: weights, momentum, the memory and what was measured are everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.results.changes import differences, listed
from bench.runtime.files import appearing
from bench.training.run import Epoch, Run

KEY = "memloss-bench-training"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was made so far: a history row an epoch, both checkpoints' epochs, `best`'s weights."""

    history: list[dict[str, Any]]
    checkpoints: dict[str, Epoch]
    best: dict[str, Tensor]


def save_state(path: Path, identity: str, run: Run, kept: Kept) -> None:
    """Write the state after a whole epoch; the file before stays until this one is complete."""
    tensors = {
        **_named("model", run.model.state_dict()),
        **_named("best", kept.best),
        **{
            f"beside/{key}": value
            for name, network in run.networks_beside().items()
            for key, value in _named(name, network.state_dict()).items()
        },
        **_named("momentum", run.momentum()),
        **_named("memory", run.memory.state_dict() if run.memory else {}),
        **_named("probe", run.probe.state_dict() if run.probe else {}),
    }
    about = {
        "identity": identity,
        "history": kept.history,
        "checkpoints": {name: asdict(epoch) for name, epoch in kept.checkpoints.items()},
    }
    with appearing(path) as partial:
        save_file(tensors, partial, {KEY: json.dumps(about)})


def load_state(path: Path, identity: str, run: Run) -> Kept | None:
    """Put `run` where the file at `path` left it; None where there is none for `identity`.

    A file of other settings, code, images or versions would give a mixture of two runs, so it
    counts for nothing; what differs is said. Neither does a damaged one count.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            if about["identity"] != identity:
                other = listed(differences(json.loads(identity), json.loads(about["identity"])))
                print(
                    "starting again: the training that was interrupted here had other values of"
                    f" {other}",
                    flush=True,
                )
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    run.model.load_state_dict(_part("model", tensors))
    for name, network in run.networks_beside().items():
        network.load_state_dict(_part(f"beside/{name}", tensors))
    if run.memory:
        run.memory.load_state_dict(_part("memory", tensors))
    if run.probe:
        run.probe.load_state_dict(_part("probe", tensors))
    run.advance(len(about["history"]), _part("momentum", tensors))
    return Kept(
        history=about["history"],
        checkpoints={name: Epoch(**epoch) for name, epoch in about["checkpoints"].items()},
        best=_part("best", tensors),
    )


def _named(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A copy each: safetensors refuses two names for one piece of memory, and other layouts.
    return {
        f"{part}/{name}": torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
        for name, value in tensors.items()
    }


def _part(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    head = f"{part}/"
    return {
        name.removeprefix(head): value for name, value in tensors.items() if name.startswith(head)
    }

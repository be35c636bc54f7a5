"""A network of others as a file of its run: weights, and what is needed to build it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bench.config.parsing import Count, parse, plain
from bench.config.schema import Normalization
from bench.external.architecture import build
from bench.external.reordered import Reordered
from bench.external.weights_file import State
from bench.models.normalized import Normalized
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import appearing

KEY = "memloss-bench-external"
SOURCE = "architecture.py"  # beside the weights: the user's file, where there is one


@dataclass(frozen=True, kw_only=True)
class ExternalDescription:
    """What is needed to build the network, and which images it was taken for.

    `outputs` is the class of each output, by our labels; None: in our order.
    """

    architecture: str
    arguments: dict[str, Any]
    normalization: Normalization | None
    channel_order: Literal["rgb", "bgr"]
    outputs: tuple[int, ...] | None
    classes: Count
    channels: Count
    fingerprint: str

    def bare(self, folder: Path, *, where: str) -> nn.Module:
        """Return the network alone, with weights that are still to be loaded."""
        name = self.architecture
        if name.startswith(f"{SOURCE}:"):
            name = f"{folder}/{name}"
        return build(
            name, self.arguments, classes=self.classes, channels=self.channels, where=where
        )

    def around(self, network: nn.Module) -> nn.Module:
        """Return `network` so that our images go in and logits in our order come out."""
        if self.normalization is not None:
            norm = self.normalization
            network = Normalized(network, norm.mean, norm.std)
        if self.channel_order == "rgb" and self.outputs is None:
            return network
        return Reordered(network, flipped=self.channel_order == "bgr", outputs=self.outputs)


def save(path: Path, state: State, description: ExternalDescription) -> None:
    """Write the weights of a network of others to `path`."""
    # Tensors that share memory, as tied weights do, are written each by itself.
    tensors = {name: value.detach().clone().contiguous() for name, value in state.items()}
    with appearing(path) as partial:
        save_file(tensors, partial, {KEY: json.dumps(plain(description))})


def described(path: Path) -> ExternalDescription | None:
    """Return what the file says of its network; None of one that was trained here."""
    try:
        with safe_open(path, framework="pt") as file:
            raw = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError):
        return None
    return None if raw is None else parse(ExternalDescription, json.loads(raw), where=str(path))


def load(path: Path, description: ExternalDescription) -> nn.Module:
    """Return the network with the weights of `path`, on the CPU, in evaluation mode.

    Raises
    ------
    BenchError
        The file is truncated, or its architecture cannot be built here.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = description.bare(path.parent, where=str(path))
        network.load_state_dict(state)
    except (SafetensorError, OSError, RuntimeError, ConfigError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise BenchError(
            f"{path}: damaged, or of an architecture that cannot be built here ({first}); read it "
            "again: delete the file and call snakemake"
        ) from None
    return description.around(network).eval()

"""Weights as safetensors files that say which network they belong to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.config.parsing import Count, parse, plain
from bench.config.schema import Normalization
from bench.models import base
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import appearing

KEY = "memloss-bench"


@dataclass(frozen=True, kw_only=True)
class Description:
    """What is needed to build the network, and which images it was trained on."""

    model: str
    width: Count | None
    normalization: Normalization | None = None
    classes: Count
    channels: Count
    data: str
    fingerprint: str

    def build(self) -> nn.Module:
        """Return the network, with weights that are still to be loaded."""
        return base.build(
            self.model,
            classes=self.classes,
            channels=self.channels,
            seed=0,
            width=self.width,
            normalization=self.normalization,
        )


def save(path: Path, state: Mapping[str, Tensor], description: Description) -> None:
    """Write weights and buffers to `path`; equal weights give equal bytes."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    about = plain(description)
    if description.normalization is None:
        del about["normalization"]
    # One metadata entry: safetensors writes several in no fixed order.
    with appearing(path) as partial:
        save_file(tensors, partial, {KEY: json.dumps(about)})


def load(path: Path) -> tuple[nn.Module, Description]:
    """Return the network with the weights of `path`, on the CPU, in evaluation mode.

    Raises
    ------
    BenchError
        The file is missing, truncated, no checkpoint, or of another or an unknown architecture.
    """
    fix = "train this run again: delete the file and call snakemake"
    try:
        with safe_open(path, framework="pt") as file:
            raw = json.loads((file.metadata() or {})[KEY])
            description = parse(Description, raw, where=str(path))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise BenchError(f"{path}: there is no such file; train this run first") from None
    except (SafetensorError, OSError) as error:
        raise BenchError(f"{path}: truncated or not a checkpoint ({error}); {fix}") from error
    except (KeyError, TypeError, ValueError, ConfigError):
        raise BenchError(f"{path}: not a checkpoint of this suite; {fix}") from None
    try:
        model = description.build()
    except BenchError as error:
        raise BenchError(
            f"{path}: of an architecture that cannot be built here ({error}); put its file back "
            "into bench/models, or train this run again"
        ) from None
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise BenchError(f"{path}: not weights of {description.model} ({first}); {fix}") from None
    return model.eval(), description

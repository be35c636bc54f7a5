"""Weights in a file of anyone's: which tensors belong to a network. Nothing in the file is run."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from bench.runtime.errors import BenchError
from bench.runtime.exit_code import named
from bench.runtime.out_of_memory import out_of_memory

DEPTH = 4  # of mappings in mappings, as in {"state_dict": {"model": {...}}}
# What wrappers put between the names of modules.
WRAPPERS = ("_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.")
# No weights: counters of profilers and of averages, and states of optimizers.
COUNTERS = ("total_ops", "total_params", "n_averaged")
NO_NETWORKS = ("optim", "sched", "scaler", "momentum", "exp_avg")
State = dict[str, Tensor]


@dataclass(frozen=True)
class WeightsFile:
    """The weights in a file, by the path of keys to them ("" where they are the file itself).

    `metadata` is what a safetensors file says of itself.
    """

    entries: Mapping[str, State]
    metadata: Mapping[str, str]


def read_weights(path: Path, *, where: str) -> WeightsFile:
    """Read the tensors of `path`; `where` is the key of the config that names it.

    Raises
    ------
    BenchError
        There is no such file, it holds more than tensors and numbers, or no weights.
    """
    if not path.is_file():
        raise BenchError(f"{where}: there is no file {path}; give the path from this folder")
    if path.suffix == ".safetensors" or _has_header(path):
        raw, metadata = _safetensors(path, where)
    else:
        raw, metadata = _torch(path, where), {}
    entries = dict(_entries(raw))
    if not entries:
        raise BenchError(
            f"{where}: {path} holds no weights; save `network.state_dict()` with torch.save"
        )
    return WeightsFile(entries, metadata)


def _has_header(path: Path) -> bool:
    """Return whether a file of another name is safetensors: a length of 8 bytes, then JSON."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _safetensors(path: Path, where: str) -> tuple[State, Mapping[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, file.metadata() or {}
    except SafetensorError as error:
        raise BenchError(f"{where}: {path} is truncated or no safetensors file ({error})") from None


def _torch(path: Path, where: str) -> Any:
    # Numbers of numpy and the arguments of a script lie beside the weights in many checkpoints;
    # neither runs code when it is read.
    number: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(1).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?")]
    harmless = [argparse.Namespace, np.dtype, np.ndarray, number, array, *kinds]
    try:
        with torch.serialization.safe_globals(harmless):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        said = " ".join(str(error).split())
        _, found, name = said.partition("Unsupported global: GLOBAL ")
        what = f" ({name.split(' ')[0]})" if found else ""
        raise BenchError(
            f"{where}: {path} holds more than tensors{what}, and reading it could run code of its "
            "own; load it where you trust it and save `network.state_dict()` alone"
        ) from None
    except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        if out_of_memory(error):
            raise
        raise BenchError(
            f"{where}: {path} cannot be read as weights ({named(error)}); it may be truncated, or "
            "a TorchScript archive: save `network.state_dict()` with torch.save"
        ) from None


def _entries(raw: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    if isinstance(raw, argparse.Namespace) or not isinstance(raw, Mapping) or depth > DEPTH:
        return
    state = {
        _unwrapped(name): value
        for name, value in raw.items()
        if isinstance(name, str) and isinstance(value, Tensor) and not name.endswith(COUNTERS)
    }
    if any(value.ndim and value.is_floating_point() for value in state.values()):
        yield place, state
    for name, value in raw.items():
        if isinstance(name, str) and not any(word in name.lower() for word in NO_NETWORKS):
            yield from _entries(value, f"{place}.{name}" if place else name, depth + 1)


def _unwrapped(name: str) -> str:
    for wrapper in WRAPPERS:
        name = name.replace(wrapper, "")
    return name

"""Code that draws from global random numbers, run without a trace of it outside."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def undisturbed(device: torch.device | str, seed: int | None = None) -> Iterator[None]:
    """Give back the global random state of PyTorch, NumPy and Python, also after an error.

    Inside, all of them begin at `seed`; without one they go on from where they are.
    """
    device, devices = torch.device(device), set[int]()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        devices = {torch.cuda.current_device()}
        if device.type == "cuda" and device.index is not None:
            devices.add(device.index)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the global one)
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            if seed is not None:
                _seed(seed, devices)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


def _seed(seed: int, devices: set[int]) -> None:
    # torch.manual_seed would also reseed every other CUDA device, which nobody would put back.
    torch.default_generator.manual_seed(seed)
    for index in devices:
        torch.cuda.default_generators[index].manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002

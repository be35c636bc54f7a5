"""The engine that a configuration names; each is the one class of the file of its name."""

from __future__ import annotations

import importlib

from torch import nn

from bench.engine.base import Engine

CLASSES = {"eager": "Eager", "folded": "Folded", "cuda_graph": "CudaGraph"}


def create(name: str, model: nn.Module, *, precision: str = "float32") -> Engine:
    """Return the engine `name`, such as "eager" or "folded", that runs `model`.

    Parameters
    ----------
    precision
        "float32", or "bfloat16" for passes in bfloat16 with float32 weights, where the engine
        has them.
    """
    # By name, so that the code of the other engines decides nothing of a result.
    kind = getattr(importlib.import_module(f"bench.engine.{name}"), CLASSES[name])
    engine: Engine = kind(model, precision)
    return engine

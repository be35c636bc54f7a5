"""Which batch of a training would fit into the memory, where the configured one does not.

The batch size is part of the protocol, so nothing is halved here: the user is told what would fit.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from bench.config.experiment import TrainSpec
from bench.data.dataset import Dataset, Images
from bench.numerics.device import describe
from bench.runtime.errors import BenchError
from bench.runtime.out_of_memory import free_memory, out_of_memory
from bench.training.run import Run


def too_large(spec: TrainSpec, dataset: Dataset, device: torch.device) -> BenchError:
    """Return the error that says which batch of `spec` would fit; to be called outside a handler.

    Halves of the batch are tried until one goes through a step and its validation.
    """
    size = spec.training.batch_size
    fitting = size // 2
    while fitting and not _fits(spec, fitting, dataset, device):
        fitting //= 2
    keeps = "the finished epochs are kept; end what else fills the memory, use a device with more"
    where = f"training.batch_size: out of memory on {describe(device)} with batches of {size}"
    if fitting == 0:
        return BenchError(f"{where}, and with every half of it; {keeps}, or choose a smaller model")
    return BenchError(
        f"{where}, while {fitting} fit; {keeps}, or set training.batch_size: {fitting}, which is "
        "another protocol and trains from the start"
    )


def _fits(spec: TrainSpec, size: int, dataset: Dataset, device: torch.device) -> bool:
    free_memory()
    shell = replace(spec.training, batch_size=size)
    try:
        run = Run(replace(spec, training=shell), dataset, device)
        # One batch to train on and, as in a training, one of twice the size to validate on.
        run.index_N = run.index_N[:size]
        run.judged = Images(run.judged.pixels[: 2 * size], run.judged.labels[: 2 * size])
        # A memory of perturbations is first used in the second epoch.
        for epoch in range(1, min(2, shell.epochs) + 1):
            run.epoch(epoch, lambda *_: None)
    except BenchError:
        # NaN after one step says nothing about the memory.
        return True
    except ValueError:
        # Batch-norm cannot train on a single value a channel.
        return False
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        return False
    return True

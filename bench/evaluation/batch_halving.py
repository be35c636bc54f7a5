"""An attack whose batch is too large for the memory begins again with half of it.

The starts of an attack depend on the batch, so the batch size that was used is in its record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import nn

from bench.config.experiment import EvaluationSpec
from bench.data.dataset import Images
from bench.evaluation.per_example import (
    ExampleResults,
    Part,
    evaluate_attack,
    finish_results,
    finished_results,
)
from bench.evaluation.state import State
from bench.numerics.device import peak_memory_mb
from bench.runtime.errors import BenchError
from bench.runtime.out_of_memory import free_memory, out_of_memory


def evaluate_in_memory(
    model: nn.Module,
    test: Images,
    name: str,
    spec: EvaluationSpec,
    state_of: Callable[[EvaluationSpec], State],
    others: Mapping[str, nn.Module] | None = None,
    part: Part | None = None,
) -> ExampleResults:
    """Return the per-example results of the attack `name` with the largest batch that fits.

    The batch of `spec` is tried first, then half of it and so on. `state_of` returns the state of
    the attack with the batch size of what it is given; finished per-example results are taken from
    there. `others` and `part` are as `evaluate_attack` has them.
    """
    device = test.pixels.device
    while True:
        state = state_of(spec)
        if part is None and (finished := finished_results(state, spec)) is not None:
            print(f"{name}: reusing cached result (inputs unchanged)", flush=True)
            return finished
        forget_peak(device)
        try:
            results = evaluate_attack(model, test, name, spec, state, others, part)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        else:
            results = replace(results, peak_memory_mb=peak_memory_mb(device))
            if part is None:
                finish_results(state, results)
            return results
        free_memory()
        size = spec.evaluation.batch_size
        if size == 1:
            raise BenchError(
                f"{name}: out of memory even with a batch of one image; end what else fills the "
                "memory, or use a device with more, and run the same command again"
            )
        spec = replace(spec, evaluation=replace(spec.evaluation, batch_size=size // 2))
        print(
            f"{name}: out of memory with batches of {size} images; it begins again with {size // 2}"
            " (see evaluation.batch_size)",
            flush=True,
        )


def forget_peak(device: torch.device) -> None:
    """Let the peak of the memory be that of the attack that follows, not of those before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

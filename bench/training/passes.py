"""How many passes a training step makes of each image: counted in a step, not declared."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.experiment import Compute, Model, Schedule, TrainSpec
from bench.data.dataset import Dataset, Images
from bench.methods.base import create
from bench.models.base import build
from bench.results.records import Passes
from bench.training.metrics import EpochMetrics
from bench.training.run import Run, initial_network

SIDE, CLASSES = 8, 10  # the number of passes does not depend on the images
DIGITS = 3  # an attack on one image of a batch is a fraction of a pass


@dataclass(frozen=True, kw_only=True)
class CountedPasses:
    """Passes of one image in one step, of attack and update together.

    A backward pass to the weights takes about twice as long as one to the image alone.
    """

    forward: float
    backward_to_images: float
    backward_to_weights: float

    def record(self) -> Passes:
        """Return what train.json has of them."""
        backward = self.backward_to_images + self.backward_to_weights
        return Passes(forward=self.forward, backward=round(backward, DIGITS))


def count_passes(spec: TrainSpec) -> CountedPasses:
    """Return the passes of a step of the last epoch of `spec`, its memory filled."""
    recipe, compute = spec.training, Compute(device="cpu", threads=1)
    size, epochs = recipe.batch_size, max(2, recipe.epochs)
    shape = (size, 1, SIDE, SIDE)
    images = Images(torch.zeros(shape, dtype=torch.uint8), torch.arange(size) % CLASSES)
    data = Dataset("counted", tuple(map(str, range(CLASSES))), images, images)
    plain = replace(
        recipe,
        epochs=epochs,
        schedule=Schedule(),
        crop_padding=0,
        checkpoint_selection="test",
        engine="eager",
        precision="float32",
    )
    counted = replace(spec, training=plain, model=_smallest(spec.model), compute=compute)
    run = untrained(counted, data, torch.device("cpu"))
    metrics, index_B = EpochMetrics(run.device), torch.arange(size)
    run.probe = None
    run.step(1, 0, index_B, metrics)
    counts: Counter[str] = Counter()
    for network in (run.model, *(run.networks[name] for name in run.networks)):
        network.register_forward_hook(_counting(counts))
    run.step(epochs, 0, index_B, metrics)
    return CountedPasses(
        forward=round(counts["forward"] / size, DIGITS),
        backward_to_images=round(counts["images"] / size, DIGITS),
        backward_to_weights=round(counts["weights"] / size, DIGITS),
    )


def _smallest(model: Model) -> Model:
    """Return the smallest network of an architecture, whose layers a method may name.

    Another takes its place where it has no width or cannot take images as small as these.
    """
    if model.width is not None:
        with suppress(Exception), torch.no_grad():
            small = build(model.name, classes=CLASSES, channels=1, seed=0, width=1)
            small(torch.zeros(2, 1, SIDE, SIDE))
            return Model(name=model.name, width=1)
    return Model(name="small_cnn", width=1)


def untrained(spec: TrainSpec, dataset: Dataset, device: torch.device) -> Run:
    """Return a run whose frozen networks are untrained, for measurements alone."""
    frozen = {
        name: initial_network(spec, dataset, name).state_dict()
        for name, kind in create(spec.method, spec.options).networks.items()
        if kind == "frozen"
    }
    return Run(spec, dataset, device, None, frozen)


def _counting(counts: Counter[str]) -> Any:
    """Return a hook that counts the images of a network's passes, forward and backward."""

    def passed(network: nn.Module, given: tuple[Tensor, ...], logits: Tensor) -> None:
        images = len(given[0])
        counts["forward"] += images
        # As it is now: an attack asks for no gradient of the weights.
        to = "weights" if next(network.parameters()).requires_grad else "images"
        if logits.requires_grad:
            logits.register_hook(  # type: ignore[no-untyped-call]
                lambda _: counts.update({to: images})
            )

    return passed

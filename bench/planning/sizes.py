"""How many images, and how many bytes, an experiment has. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.experiment import Experiment, Method, Training
from bench.config.method_options import declared
from bench.results.records import DataRecord
from bench.runtime.errors import Problems
from bench.training.sizes import check_training

# Images and shapes of sources that are always the same; the others' are known once data.json is.
SOURCES: dict[str, tuple[int, int, tuple[int, ...], int]] = {
    "digits": (1497, 300, (1, 8, 8), 10),
    "cifar10": (50_000, 10_000, (3, 32, 32), 10),
    "cifar100": (50_000, 10_000, (3, 32, 32), 100),
    "svhn": (73_257, 26_032, (3, 32, 32), 10),
}
STORAGE = {"int8": 1, "float16": 2, "float32": 4}
FLOAT = 4
LABEL = 8


@dataclass(frozen=True, kw_only=True)
class Size:
    """Images of both parts, shape [C, H, W] and number of classes."""

    train: int
    test: int
    shape: tuple[int, ...]
    classes: int

    @property
    def values(self) -> int:
        """Pixel values of one image."""
        count = 1
        for side in self.shape:
            count *= side
        return count


def size_of(experiment: Experiment, about: DataRecord | None) -> Size | None:
    """Return the size of the images, from data.json or the source; None where neither tells."""
    data = experiment.data
    usual = SOURCES.get(data.source)
    if usual is None and about is not None and about.image_shape:
        usual = (about.train_images, about.test_images, about.image_shape, len(about.classes))
    if usual is None:
        return None
    train, test, shape, classes = usual
    return Size(
        train=data.train_images or train,
        test=data.test_images or test,
        shape=shape,
        classes=len(data.classes) if data.classes else classes,
    )


def check_beside(training: Training, label: str, data: Path) -> None:
    """Do what `check_training` does for the data file `data`, if a record beside it describes it.

    Without one, only who opens the file knows its images.
    """
    about = DataRecord.find(data.with_suffix(".json"))
    if about is not None and about.image_shape:
        check_training(training, label, about.train_images, about.image_shape)


def check_sizes(experiment: Experiment, about: DataRecord | None = None) -> Size | None:
    """Return the size of the images, as `size_of` does, once all methods can be trained on them.

    Raises
    ------
    ConfigError
        An attack needs more classes or test images, or a method more training images or steps.
    """
    size = size_of(experiment, about)
    if size is None:
        return None
    needs = experiment.needs
    needs.check(experiment.data.name, classes=size.classes, test_images=size.test)
    problems = Problems()
    for method in experiment.methods:
        with problems.collecting():
            check_training(method.training, method.label, size.train, size.shape)
    problems.settle()
    return size


def disk_bytes(experiment: Experiment, size: Size, parameters: int) -> dict[str, int]:
    """Return the bytes of what stays (weights, data) and of what a job keeps while it runs.

    An interrupted training goes on from weights, best weights, momentum, memory and the networks
    beside the trained one, an interrupted AutoAttack or registered attack from an adversarial image
    for each test image.
    """
    weights = parameters * FLOAT
    training = [
        (3 + _beside(method)) * weights + _memory(method.options, size)
        for method in experiment.methods
    ]
    attacked = experiment.evaluation.autoattack or experiment.evaluation.attacks
    return {
        "weights": 2 * weights * len(experiment.runs()),
        "data": (size.train + size.test) * (size.values + LABEL),
        "while_training": max(training, default=0),
        "while_evaluating": size.test * size.values * FLOAT if attacked else 0,
    }


def _beside(method: Method) -> int:
    """Return how many times the weights are kept for networks beside the one that is trained."""
    kept = {"frozen": 0, "trained": 2, "average": 1}  # that in the optimizer has momentum too
    networks = declared(method.name, "networks") or {}
    averaged = method.training.weight_averaging is not None
    return averaged + sum(kept[kind] for kind in networks.values())


def _memory(options: dict[str, Any], size: Size) -> int:
    storage = options.get("storage")
    return size.train * (size.values * STORAGE[storage] + LABEL) if storage in STORAGE else 0

"""Whether a network can be trained on batches of the sizes that come up; tried beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import torch
from torch import Tensor

from bench.config.experiment import Experiment, Model, Training
from bench.models.base import build, file_of
from bench.results.records import DataRecord
from bench.runtime.errors import BenchError, CodeError, ConfigError, Problems
from bench.runtime.exit_code import code_error, named
from bench.runtime.out_of_memory import out_of_memory
from bench.training.held_out import held_out
from bench.training.sizes import check_training, smallest_batch

LARGE = 256  # pixels of a side at which no network finds an image too small


def check_network(
    model: Model,
    training: Training,
    label: str,
    *,
    train_images: int,
    shape: Sequence[int],
    classes: int,
) -> None:
    """Raise ConfigError where the method `label` would fail in a step for the size of its batch.

    A batch-norm needs two values for each channel in train mode. A batch of one image has them
    where the network's smallest map has more than one place: whether it does, one pass of a network
    with fresh weights on the CPU tells. There are `train_images` images of `shape` [C, H, W].

    Raises
    ------
    CodeError
        The network itself is at fault: see `_refused`.
    """
    refused = _refused(model, 2, tuple(shape), classes)
    pixels = " x ".join(map(str, shape))
    if refused:
        raise ConfigError(
            f"model.name: {model.name} cannot be trained on images of {pixels} ({refused}); choose "
            "larger images or another model"
        )
    if smallest_batch(training, train_images) > 1 or not _refused(model, 1, tuple(shape), classes):
        return
    left, size = train_images - held_out(training, train_images), training.batch_size
    raise ConfigError(
        f"training.batch_size: methods.{label}: {left} training images in batches of {size} leave "
        f"a batch of one image, and {model.name} cannot normalize it, because its smallest map of "
        f"an image of {pixels} is a single value; {_advice(left, size)}"
    )


def check_all(experiment: Experiment, labels: Iterable[str], about: DataRecord | None) -> None:
    """Raise ConfigError with what stops any of the methods `labels` from being trained.

    Where the record `about` of the images does not tell their shape, each training looks itself.
    """
    if about is None or not about.image_shape:
        return
    problems = Problems()
    for label in labels:
        method = experiment.method(label)
        training = method.training
        with problems.collecting():
            check_training(training, label, about.train_images, about.image_shape)
            check_network(
                method.model,
                training,
                label,
                train_images=about.train_images,
                shape=about.image_shape,
                classes=len(about.classes),
            )
    problems.settle()


@cache
def _refused(model: Model, count: int, shape: tuple[int, ...], classes: int) -> str:
    """Return why the network cannot make a training pass over `count` images; empty if it can.

    Raises
    ------
    CodeError
        It fails on two images of any size, or returns something else than finite logits.
    """
    error = _failure(model, count, shape, classes)
    if error is None:
        return ""
    larger = (shape[0], *(max(LARGE, 2 * side) for side in shape[1:]))
    if count > 1 and _failure(model, count, larger, classes) is not None:
        doing = f"forward of the model {model.name!r} failed on images {list(shape)}"
        raise code_error(error, file_of(model.name), doing)
    return named(error)


def _failure(model: Model, count: int, shape: tuple[int, ...], classes: int) -> Exception | None:
    """Return what a training pass raises; CodeError where it returns no finite logits."""
    network = build(
        model.name,
        classes=classes,
        channels=shape[0],
        seed=0,
        width=model.width,
        normalization=model.normalization,
    )
    images = torch.rand((count, *shape), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = network.train()(images)
    except BenchError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        return error
    wrong = ""
    if not isinstance(logits, Tensor):
        wrong = f"{type(logits).__name__}, not a tensor"
    elif logits.shape != (count, classes):
        wrong = f"logits {list(logits.shape)}, not {[count, classes]} for images and classes"
    elif not logits.isfinite().all():
        wrong = "NaN or infinite logits at its initial weights"
    if wrong:
        raise CodeError(
            f"{file_of(model.name)}: forward of the model {model.name!r} returns {wrong}; fix it "
            "there"
        )
    return None


def _advice(images: int, size: int) -> str:
    """Return which batch sizes beside `size` leave no single image over."""
    fine = [other for other in range(2, images + 1) if images % other != 1]
    nearest = {*[other for other in fine if other < size][-1:]}
    nearest |= {*[other for other in fine if other > size][:1]}
    sizes = " or ".join(map(str, sorted(nearest)))
    return f"batch_size {sizes} leaves none" if sizes else "train on more images"

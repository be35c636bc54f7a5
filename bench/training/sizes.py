"""Which sizes a training can have. Standard library only: planning asks too."""

from __future__ import annotations

from collections.abc import Sequence

from bench.config.experiment import Training
from bench.runtime.errors import ConfigError
from bench.training.held_out import held_out

INITIAL = 0.1  # share of the initial weights that an average of weights may end with


def check_training(training: Training, label: str, train_images: int, shape: Sequence[int]) -> None:
    """Raise ConfigError where the method `label` cannot be trained so on images of this size.

    There are `train_images` of them, and `shape` is [C, H, W].
    """
    held = held_out(training, train_images)
    if held >= train_images:
        raise ConfigError(
            f"training.validation_images: methods.{label} cannot hold out {held} of "
            f"{train_images} training images; ask for fewer"
        )
    if training.batch_size > train_images - held:
        raise ConfigError(
            f"training.batch_size: methods.{label} asks for batches of {training.batch_size}, and "
            f"there are {train_images - held} images to train on; choose at most that"
        )
    side = min(shape[1:])
    # A window that far out shows the padding alone.
    if training.crop_padding >= side:
        raise ConfigError(
            f"training.crop_padding: methods.{label} cannot shift images of {shape[1]} x "
            f"{shape[2]} pixels by up to {training.crop_padding}; choose at most {side - 1}"
        )
    _check_average(training, label, train_images - held)


def _check_average(training: Training, label: str, images: int) -> None:
    """Raise ConfigError where an average of the weights would be of the initial ones still."""
    if training.weight_averaging is None:
        return
    steps = training.epochs * -(-images // training.batch_size)
    share = training.weight_averaging.decay**steps
    if share > INITIAL:
        raise ConfigError(
            f"training.weight_averaging.decay: methods.{label}: after {steps} steps {share:.0%} "
            "of the average would still be initial weights; choose at most "
            f"{INITIAL ** (1 / steps):.4f}"
        )


def smallest_batch(training: Training, train_images: int) -> int:
    """Return the images of an epoch's smallest batch, which is the last."""
    left = train_images - held_out(training, train_images)
    return left % training.batch_size or min(training.batch_size, left)

"""How many training images select the checkpoint. Standard library only: planning asks too."""

from __future__ import annotations

from bench.config.experiment import Training

ENOUGH = 10_000  # training images; from here on 1,000 are held out, below a tenth


def held_out(training: Training, train_images: int) -> int:
    """Return how many of `train_images` select the checkpoint instead of being learnt from."""
    if training.checkpoint_selection == "test":
        return 0
    usual = 1000 if train_images >= ENOUGH else max(1, train_images // 10)
    return training.validation_images or usual

"""Sizes of batches where the test set chooses the checkpoint."""

from __future__ import annotations

from dataclasses import replace

from synthetic import some_spec

from bench.training.sizes import check_training, smallest_batch


def test_selection_on_the_test_set_leaves_all_images_to_train_on():
    training = some_spec(batch_size=13, checkpoint_selection="test").training
    assert smallest_batch(training, 40) == 1
    check_training(replace(training, batch_size=40), "mine", 40, (1, 8, 8))

"""The flags of a result, by which summary.csv says what to know before quoting it.

Standard library only.
"""

from __future__ import annotations

ABOVE_PGD = "autoattack_above_pgd"
WARNED = "autoattack_warned"
ON_TEST = "selected_on_test"
SUBSET = "subset"
OTHER_IMAGES = "not_the_published_images"
TRAIN_SUBSET = "train_subset"
CHANCE = "chance_level"
TEST_IN_TRAIN = "test_images_in_train"
OWN_RECIPE = "own_recipe"
HALVED = "batch_halved"
WITH_TF32 = "attacked_with_tf32"
# What these begin goes on with the name of a check, and with a precision.
DIAGNOSTICS = "diagnostics_"
ATTACKED_IN = "attacked_in_"

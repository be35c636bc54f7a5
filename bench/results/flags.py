"""The flags of a result: what to know before quoting it, and what each means in one sentence.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable

ABOVE_PGD = "autoattack_above_pgd"
WARNED = "autoattack_warned"
ON_TEST = "selected_on_test"
SUBSET = "subset"
TRAIN_SUBSET = "train_subset"
OTHER_IMAGES = "not_the_published_images"
TEST_IN_TRAIN = "test_images_in_train"
OWN_RECIPE = "own_recipe"
CHANCE = "chance_level"
HALVED = "batch_halved"
EXTERNAL = "trained_elsewhere"
RANDOM = "random_network"
DIAGNOSTICS = "diagnostics_"  # followed by the name of a check

MEANINGS = {
    ABOVE_PGD: "AutoAttack left more images robust than PGD or an attack of `evaluation.attacks`, "
    "which a stronger attack should not: look for masked gradients or too few images",
    WARNED: "AutoAttack's own checks, or those of an attack of `evaluation.attacks`, warned that "
    "its number may be too high",
    ON_TEST: "the epoch was chosen on the test images, which flatters it, and training held "
    "out no images for that, so it had more to learn from",
    SUBSET: "not all test images of the source were evaluated: no published number is comparable",
    TRAIN_SUBSET: "not all training images of the source were used: no published number is "
    "comparable",
    OTHER_IMAGES: "the images have the name of a published data set and are not shown to be its "
    "own: size, counts, encoding or channel statistics differ or are not recorded, and no "
    "published number is comparable",
    TEST_IN_TRAIN: "some test images are equal to training images in every pixel, so accuracy "
    "on them is not accuracy on unseen images: see train_test_duplicates in data.json",
    OWN_RECIPE: "trained by a recipe of its own (`methods.<label>.training`), not by that of the "
    "section `training`: no published number is comparable, and a claim counts it only where it "
    "names this label",
    CHANCE: "the clean accuracy cannot be told from guessing the most frequent class: such a "
    "network may withstand every attack by giving all images one class",
    EXTERNAL: "the weights come from a file of the section `networks`: how and on which images "
    "they were trained was not seen here",
    HALVED: "the memory was too small for the configured batch; random starts are drawn "
    "per batch, so the results of single images may differ",
    RANDOM: "forward passes of the network on the same images differ: an image counts as robust "
    "where one pass is right, and only `apgd_eot` is made for such networks",
}


def meaning(flag: str) -> str:
    """Return what `flag` means."""
    if flag.startswith(DIAGNOSTICS):
        check = flag.removeprefix(DIAGNOSTICS)
        return (
            f"the check {check} failed: the robust accuracy is likely an overestimate; "
            f"docs/diagnostics.md has cause and fix under {check}"
        )
    return MEANINGS.get(flag, "a flag that this version does not know")


def flags_of(cells: Iterable[str]) -> set[str]:
    """Return all flags of some cells of the column `flags`."""
    return {flag for cell in cells for flag in cell.split(";") if flag}

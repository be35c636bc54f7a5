"""What a flag of summary.csv means, in one sentence."""

from __future__ import annotations

from bench.results.flags import (
    ABOVE_PGD,
    ATTACKED_IN,
    CHANCE,
    DIAGNOSTICS,
    HALVED,
    ON_TEST,
    OTHER_IMAGES,
    OWN_RECIPE,
    SUBSET,
    TEST_IN_TRAIN,
    TRAIN_SUBSET,
    WARNED,
    WITH_TF32,
)

MEANINGS = {
    ABOVE_PGD: "AutoAttack left more images standing than PGD, which a stronger "
    "attack should not: look for masked gradients or too few images",
    WARNED: "AutoAttack's own checks warned that its number may be too high",
    ON_TEST: "the epoch was chosen on the test images, which flatters it, and training held "
    "out no images for that, so it had more to learn from",
    SUBSET: "not all test images of the source were judged: no published number is comparable",
    TRAIN_SUBSET: "not all training images of the source were used: no published number is "
    "comparable",
    OTHER_IMAGES: "the images have the name of a published data set and are not shown to be its "
    "own: size, counts, encoding or channel statistics differ or are not recorded, and no "
    "published number is comparable",
    CHANCE: "the clean accuracy cannot be told from guessing the most frequent class: such a "
    "network may withstand every attack by saying the same of all images",
    TEST_IN_TRAIN: "some test images are equal to training images in every pixel, so accuracy "
    "on them is not accuracy on unseen images: see train_test_duplicates in data.json",
    OWN_RECIPE: "trained by a recipe of its own (`methods.<label>.training`), not by that of the "
    "section `training`: no published number is comparable, and a claim counts it only where it "
    "names this label",
    HALVED: "the memory was too small for the configured batch; random starts are drawn "
    "per batch, so single verdicts may differ",
    WITH_TF32: "the attack computed in TF32, not in full float32",
}


def meaning(flag: str) -> str:
    """Return what `flag` means."""
    if flag in MEANINGS:
        return MEANINGS[flag]
    if flag.startswith(DIAGNOSTICS):
        check = flag.removeprefix(DIAGNOSTICS)
        return (
            f"the check {check} failed: the robust accuracy is likely an overestimate; "
            f"docs/diagnostics.md has cause and remedy under {check}"
        )
    if flag.startswith(ATTACKED_IN):
        return f"the attack computed in {flag.removeprefix(ATTACKED_IN)}, not in float32"
    return "a flag that this version does not know"

"""What a reader must know to read the comparison, as sentences for its foot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.results.flags import ON_TEST, OWN_RECIPE, SUBSET
from bench.results.published import ROBUSTBENCH

NOT_MEASURED = "–"
RULES = {
    "validation": "best is the epoch that did best on held-out training images, "
    "chosen without the test set",
    "test": "best was chosen on the test set, as the authors' code does, and is optimistic",
}


def notes(rows: Sequence[dict[str, str]], judged: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the sentences about images, seeds, radius, checkpoints and flags.

    Parameters
    ----------
    rows
        Those of summary.csv.
    judged
        By the name of an attack, the numbers of images of its cells.
    """
    ours = [row for row in rows if row["model"] != ROBUSTBENCH]
    counts = "; ".join(
        f"{attack} {listed(numbers)}" for attack, numbers in judged.items() if numbers
    )
    subset = any(SUBSET in row["flags"].split(";") for row in rows)
    attacked = (row["eps"] for row in rows if row["attack"] != "clean")
    said = [
        f"Test images judged: {counts}{' (in part a subset of the test set)' if subset else ''}.",
        f"Seeds: {listed(row['seed'] for row in ours)}; ± is the sample standard deviation over "
        f"them, absent with one seed.",
        f"Radius of the attacks (L-infinity, pixels in [0, 1]): {listed(attacked) or 'none'}.",
        *_rules(rows),
        "AutoAttack stands alone; the worst case counts an image only if no attack broke it, of "
        "the images that all attacks have in common.",
        f"{NOT_MEASURED} not measured, or not reported.",
    ]
    if len(ours) < len(rows):
        said.append(
            "Reference models were trained by others, on other architectures and data perhaps, and "
            "judged here as ours; best is the checkpoint that RobustBench lists."
        )
    caveats = sorted(
        f"{flag} ({_place(row)})"
        for row in rows
        for flag in row["flags"].split(";")
        if flag not in ("", SUBSET, ON_TEST, OWN_RECIPE)
    )
    warned = sorted({text for row in rows for text in row["warnings"].split(" | ") if text})
    own = listed(row["method"] for row in ours if OWN_RECIPE in row["flags"].split(";"))
    if own:
        said.append(
            f"Trained by a recipe of their own, not by the one that all others share: {own}."
        )
    if caveats:
        said.append(f"Flags: {'; '.join(caveats)}.")
    return [*said, *(f"AutoAttack warned: {text}" for text in warned)]


def source_notes(sources: Mapping[str, str]) -> list[str]:
    """Return the footnotes of reported numbers: `sources` holds the mark of each source."""
    if not sources:
        return []
    said = "Reported numbers were not measured here; the difference is ours minus reported."
    return [said, *(f"[{mark}] {source}" for source, mark in sources.items())]


def listed(words: Iterable[str]) -> str:
    """Return the distinct words, shortest first, joined by commas."""
    return ", ".join(sorted(set(words), key=lambda word: (len(word), word)))


def _place(row: Mapping[str, str]) -> str:
    seed = f"seed {row['seed']}, " if row["seed"] else ""
    return f"{row['method']}, {seed}{row['checkpoint']}, {row['attack']}"


def _rules(rows: Sequence[dict[str, str]]) -> list[str]:
    by_rule = {
        chosen: listed(row["method"] for row in rows if row["selected_on"] == chosen)
        for chosen in RULES
    }
    used = [chosen for chosen in RULES if by_rule[chosen]]
    return [
        f"Checkpoints{f' of {by_rule[chosen]}' if len(used) > 1 else ''}: "
        f"{RULES[chosen]}; last is the last epoch."
        for chosen in used
    ]

"""What a reader must know about the numbers of a figure, as sentences below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.analysis.names import model_name
from bench.analysis.plots.context import Context
from bench.analysis.sheets import span
from bench.results.text import eps_text

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10-jpeg": "CIFAR-10 (JPEG copy)",
    "svhn": "SVHN",
    "digits": "scikit-learn digits",
}


def joined(words: Iterable[object]) -> str:
    """Return the distinct words, in their order, joined by commas."""
    return ", ".join(dict.fromkeys(map(str, words)))


def datasets(rows: pd.DataFrame) -> str:
    """Return the data sets of `rows` by name."""
    return joined(DATASETS.get(name, name) for name in rows["dataset"].unique())


def models(rows: pd.DataFrame) -> str:
    """Return the architectures of `rows` by name."""
    return "; ".join(map(model_name, rows["model"].unique()))


def images(rows: pd.DataFrame, attack: str) -> str:
    """Return how many test images `attack` was run on: 10,000, or 500–1,000 where runs differ."""
    counts = sorted(rows.loc[rows["attack"] == attack, "n"].unique().tolist()) or [0]
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}–{counts[-1]:,}"


def setting(context: Context, attack: str = "", seeds: Sequence[int] = (), n: int = 0) -> str:
    """Return the sentence that every figure of an experiment has.

    `seeds` are all of training where none are given; `n` images where not those of `attack`.
    """
    ours = context.results.ours
    shown = sorted(seeds) or sorted(context.results.trained["seed"].unique().tolist())
    radii = joined(map(eps_text, context.radii))
    parts = [datasets(ours), models(ours), f"L∞ ε = {radii}"]
    if shown:
        parts.append(f"{'seed' if len(shown) == 1 else 'seeds'} {span(shown)}")
    if attack:
        parts.append(f"{images(ours, attack)} test images")
    if n:
        parts.append(f"first {n:,} test images")
    return f"{' · '.join(parts)}."


def selection(context: Context) -> str:
    """Return the sentence that says on what the checkpoints were chosen."""
    trained = context.results.trained.drop_duplicates("method").set_index("method")
    trained = trained.reindex([label for label in context.methods if label in trained.index])
    if trained.empty:
        return "Checkpoint: as it was trained elsewhere."

    def names(which: pd.Series) -> str:
        return joined(context.methods[label].name for label in which.index[which])

    # The most usual first, with the names of those that another accuracy chose.
    usual, *others = trained["selected_by"].value_counts().index
    named = [f"{names(trained['selected_by'] == other)}: {other}" for other in others]
    metric = f"best {usual}" + (f" ({'; '.join(named)})" if named else "")
    on_test = trained["selected_on"] == "test"
    selected = "on the TEST images" if on_test.all() else "on held-out training images"
    if on_test.any() and not on_test.all():
        selected += f"; {names(on_test)}: on the TEST images"
    if len(trained) < len(context.methods):
        selected += "; networks trained elsewhere: as they are"
    return f"Checkpoint: {metric} {selected}."


def lengths(context: Context, epochs: pd.Series) -> list[str]:
    """Return the sentence that says how long methods were trained, by label, where they differ."""
    if epochs.nunique() < 2:
        return []
    names: dict[int, list[str]] = {}
    for label in context.methods:
        if label in epochs:
            names.setdefault(int(epochs[label]), []).append(context.methods[label].name)
    usual = max(names, key=lambda count: len(names[count]))
    others = [f"{joined(found)}: {count}" for count, found in names.items() if count != usual]
    return [f"Epochs of training: {usual}; {'; '.join(others)}."]

"""What a reader must know about the numbers of a figure, as sentences below it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.analysis.names import attack_name
from bench.analysis.plots.context import Context
from bench.analysis.plots.style import family_of
from bench.analysis.robust import under
from bench.diagnostics.checks import RISK
from bench.results.text import eps_text

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10-jpeg": "CIFAR-10 (JPEG copy)",
    "svhn": "SVHN",
    "digits": "scikit-learn digits",
}
MODELS = {"resnet18": "ResNet-18", "small_cnn": "small CNN"}
REPLAY = (
    "Up to 256 training images, followed with every method that attacks them in training, with a "
    "memory or without; means over seeds. An example is what that attack made of an image in an "
    "epoch; it is replayed to the network at the end of later epochs.",
    "Replay success rate: how many of last epoch's examples fool the network. Forgetting rate: of "
    "those that did not at the end of their own epoch, how many do now. Cosine: between an "
    "image's perturbations of last epoch and this one. Loss by age: mean cross-entropy at the end "
    "of training, whatever loss a method was trained with.",
)


def joined(words: Iterable[object]) -> str:
    """Return the distinct words, in their order, joined by commas."""
    return ", ".join(dict.fromkeys(map(str, words)))


def datasets(rows: pd.DataFrame) -> str:
    """Return the data sets of `rows` by name."""
    return joined(DATASETS.get(name, name) for name in rows["dataset"].unique())


def models(rows: pd.DataFrame) -> str:
    """Return the architectures of `rows` by name."""
    return joined(MODELS.get(name, name) for name in rows["model"].unique())


def images(rows: pd.DataFrame, attack: str) -> str:
    """Return how many test images `attack` was run on: 10,000, or 500–1,000 where runs differ."""
    counts = sorted(rows.loc[rows["attack"] == attack, "n"].unique().tolist()) or [0]
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}–{counts[-1]:,}"


def setting(context: Context, attack: str = "", seeds: Sequence[int] = (), n: int = 0) -> str:
    """Return the sentence that every figure of an experiment has.

    `seeds` are all where none are given; `n` images where not those of `attack`.
    """
    ours = context.results.ours
    shown = sorted(seeds) or sorted(ours["seed"].unique().tolist())
    radii = joined(map(eps_text, context.radii))
    parts = [datasets(ours), models(ours), f"L∞ ε = {radii}"]
    parts.append(f"{'seed' if len(shown) == 1 else 'seeds'} {_span(shown)}")
    if attack:
        parts.append(f"{images(ours, attack)} test images")
    if n:
        parts.append(f"first {n:,} test images")
    return f"{' · '.join(parts)}."


def selection(context: Context) -> str:
    """Return the sentence that says on what the checkpoints were chosen."""
    rows = context.results.ours.drop_duplicates("method").set_index("method")
    clean = [
        shown.name
        for label, shown in context.methods.items()
        if rows["selected_by"][label] == "clean accuracy"
        or (not rows["selected_by"][label] and family_of(label) == "standard")
    ]
    metric = "best PGD accuracy" + (f" ({joined(clean)}: clean accuracy)" if clean else "")
    return f"Checkpoint: {metric} {selected_on(context)}."


def selected_on(context: Context) -> str:
    """Return the images that chose the checkpoints, as it follows a noun: "on ..."."""
    ours = context.results.ours
    on_test = set(ours.loc[ours["selected_on"] == "test", "method"])
    if on_test == set(context.methods):
        return "on the TEST images"
    names = joined(shown.name for label, shown in context.methods.items() if label in on_test)
    return "on held-out training images" + (f"; {names}: on the TEST images" if names else "")


def frontier_gaps(context: Context, attack: str, shown: Iterable[str]) -> list[str]:
    """Return what the frontier does not show as a reader expects it."""
    ours = context.results.ours
    said = []
    if images(ours, "clean") != images(ours, attack):
        said.append(f"Clean accuracy is that on {images(ours, 'clean')} test images.")
    if attack != "autoattack":
        said.append(f"AutoAttack was not run: robustness is against {under(attack)}.")
    known = set(shown)
    absent = joined(d.name for label, d in context.methods.items() if label not in known)
    if absent:
        said.append(f"Not shown, as {attack_name(attack)} was not run: {absent}.")
    return said


def reported_radii(context: Context, attack: str) -> list[str]:
    """Return which reported numbers are for another radius than ours, or do not state it."""
    points = [
        (context.displays[point.method].name, point.robust.eps)
        for point in context.reported(attack)
    ] + [(short(card.name), card.eps) for card in context.cards(attack)]
    differing = joined(
        f"{name} for {eps_text(eps)}"
        for name, eps in points
        if eps is not None and all(abs(eps - ours) > 1e-6 for ours in context.radii)
    )
    silent = joined(name for name, eps in points if eps is None)
    said = [f"Reported for another ε: {differing}."] if differing else []
    return said + ([f"Some reports do not state ε: {silent}."] if silent else [])


def short(name: str) -> str:
    """Return a RobustBench model's first author and year: Gowal2021Improving_R18 is Gowal 2021."""
    digits = next((i for i, sign in enumerate(name) if sign.isdigit()), 0)
    year = name[digits : digits + 4]
    return f"{name[:digits]} {year}" if digits and year.isdigit() and len(year) == 4 else name


def components(context: Context, attack: str) -> list[str]:
    """Return how to read the components' figure."""
    if attack != "autoattack":
        return [f"AutoAttack was not run: what {attack_name(attack)} broke instead."]
    return [
        "Mean over seeds. Each attack in turn sees only the images that none before it broke.",
    ]


def diagnostics(context: Context, seeds: Sequence[int], n: int) -> list[str]:
    """Return how to read the figure of accuracy against stronger attacks."""
    return [
        setting(context, seeds=seeds, n=n),
        "Left: against the radius, with a dotted line at the ε that robustness is claimed for. "
        "Right: against PGD steps at that ε.",
        "Accuracy that rises, that does not reach 0, or Square below PGD are signs of masked "
        f"gradients. A check fails (✗) only where that is beyond chance for {n:,} images "
        f"(p < {RISK:g}).",
    ]


def surfaces(context: Context, seeds: Sequence[int]) -> list[str]:
    """Return how to read the figure of loss surfaces."""
    return [
        setting(context, seeds=seeds),
        "Each picture: an image that is classified correctly at its center, ±ε along the sign of "
        "the loss's gradient (vertical) and along random signs (horizontal).",
        "An even slope is what gradient attacks need; plateaus, ripples and cliffs mislead them.",
    ]


def transfer(context: Context, seeds: Sequence[int], n: int) -> list[str]:
    """Return how to read the figure of transfer."""
    mean = " Mean over seeds." if len(seeds) > 1 else ""
    return [
        setting(context, seeds=seeds, n=n),
        f"Accuracy in percent of each network on the PGD images of each other, same seed.{mean}",
        "In a column the framed field, images made on the network itself, should be the lowest; "
        "✗: another network's are lower by more than chance.",
    ]


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]}–{seeds[-1]}"
    return joined(seeds)

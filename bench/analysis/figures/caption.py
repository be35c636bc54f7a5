"""What a reader must know about the numbers of a figure, as sentences for its foot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.analysis.figures.points import NOT_ATTACKS, Mean, Other, Row, front
from bench.analysis.figures.style import family
from bench.analysis.labels import attack_name, eps_text
from bench.analysis.robust import under
from bench.diagnostics.checks import RISK

DATASETS = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10-jpeg": "CIFAR-10 (JPEG copy)",
    "svhn": "SVHN",
    "digits": "scikit-learn digits",
}
MODELS = {"resnet18": "ResNet-18", "small_cnn": "small CNN"}


def setting(rows: Sequence[Row], attack: str = "") -> list[str]:
    """Return the sentences that every figure of an experiment carries."""
    judged = [row for row in rows if row.attack not in NOT_ATTACKS]
    datasets = joined(DATASETS.get(row.dataset, row.dataset) for row in rows)
    models = joined(MODELS.get(row.model, row.model) for row in rows)
    bounds = joined(eps_text(eps) for eps in sorted({row.eps for row in judged}))
    seeds = sorted({row.seed for row in rows})
    noun = "seed" if len(seeds) == 1 else "seeds"
    parts = [datasets, models, f"L∞ ε = {bounds}", f"{noun} {_span(seeds)}"]
    if attack:
        parts.append(f"{images(rows, attack)} test images")
    return [" · ".join(parts) + "."]


def images(rows: Iterable[Row], attack: str) -> str:
    """Return how many test images `attack` judged: 10,000, or 500–1,000 where runs differ."""
    counts = sorted({row.n for row in rows if row.attack == attack}) or [0]
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,}–{counts[-1]:,}"


def selection(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """Return the sentence that says on what the checkpoints were chosen."""
    cleanly = {
        row.method
        for row in rows
        if row.selected_by == "clean accuracy"
        or (not row.selected_by and family(row.method) == "standard")
    }
    unattacked = joined(names[method] for method in names if method in cleanly)
    merit = "best PGD accuracy" + (f" ({unattacked}: clean accuracy)" if unattacked else "")
    return f"Checkpoint: {merit} {selected_on(rows, names)}."


def selected_on(rows: Sequence[Row], names: Mapping[str, str]) -> str:
    """Return the images that chose the checkpoints, as it follows a noun: "on ..."."""
    on_test = {row.method for row in rows if row.selected_on == "test"}
    if on_test == {row.method for row in rows}:
        return "on the TEST images"
    chosen = joined(names[method] for method in names if method in on_test)
    return "on held-out training images" + (f"; {chosen}: on the TEST images" if chosen else "")


def gaps(
    rows: Sequence[Row], means: Sequence[Mean], attack: str, names: Mapping[str, str]
) -> list[str]:
    """Return what the frontier cannot show as it is, such as attacks on fewer images."""
    sentences = []
    if images(rows, "clean") != images(rows, attack):
        sentences.append(f"Clean accuracy is that on {images(rows, 'clean')} test images.")
    if attack != "autoattack":
        sentences.append(f"AutoAttack was not run: robustness is against {under(attack)}.")
    shown = {mean.method for mean in means}
    absent = joined(names[row.method] for row in rows if row.method not in shown)
    if absent:
        sentences.append(f"Not shown, as {attack_name(attack)} was not run: {absent}.")
    return sentences


def twins(means: Sequence[Mean]) -> list[str]:
    """Return that seeds were moved apart, where some lie on one spot."""
    equal = Counter((seed.clean, seed.robust) for mean in means for seed in mean.seeds)
    if any(count > 1 for count in equal.values()):
        return ["Seeds with equal accuracies stand side by side."]
    return []


def our_radii(rows: Iterable[Row]) -> set[float]:
    """Return the radii that our networks were attacked with."""
    return {row.eps for row in rows if row.attack not in NOT_ATTACKS}


def mixtures(means: Sequence[Mean]) -> list[str]:
    """Return what the front is, where there is one."""
    if len(front(means)) < 2:
        return []
    return [
        "Front: the best that drawing one of two methods for each image gives on average; the "
        "claims hold a method against that of the others."
    ]


def radii(others: Sequence[Other], rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return which reported numbers are for another radius than ours, or do not say."""
    ours = our_radii(rows)
    silent = joined(names[other.name] for other in others if other.eps is None)
    differing = joined(
        f"{names[other.name]} for {eps_text(other.eps)}"
        for other in others
        if other.eps is not None and all(abs(other.eps - eps) > 1e-6 for eps in ours)
    )
    sentences = [f"Reported for another ε: {differing}."] if differing else []
    return sentences + ([f"Some reports do not state ε: {silent}."] if silent else [])


def turns(attack: str) -> list[str]:
    """Return how to read the components' figure."""
    if attack != "autoattack":
        return [f"AutoAttack was not run: what {attack_name(attack)} broke instead."]
    return ["Mean over seeds. Each attack in turn sees only the images that none before it broke."]


REMEMBERED = (
    "Up to 256 training images, followed with every method that attacks them in training, "
    "remembering or not; means over seeds. An example is what that attack made of an image in an "
    "epoch, asked about from the end of that epoch on.",
    "Top: how many of last epoch's fool the network, and of those known then, which did not fool "
    "it at the end of their own epoch, how many do now.",
    "Bottom: mean cosine between the perturbations of an image in last epoch and in this, and at "
    "the end of training the network's mean cross-entropy on examples of that age, whatever loss "
    "it was trained with.",
)


def strength(rows: Sequence[Row], seeds: Sequence[int], n: int) -> list[str]:
    """Return how to read the figure of accuracy against stronger attacks."""
    return [
        *_of(rows, seeds, n),
        "Left: against the radius, at the dotted line the ε that robustness is claimed for; right: "
        "against PGD steps at that ε.",
        "PGD's curve ends at the first radius where nothing stands. Curves that rise, that do not "
        "reach 0, or Square below PGD speak for masked gradients. A check fails, and is named in "
        f"the panel, only where that is beyond chance for {n:,} images (p < {RISK:g}).",
    ]


def surface(rows: Sequence[Row], seeds: Sequence[int]) -> list[str]:
    """Return how to read the figure of loss surfaces."""
    return [
        *_of(rows, seeds[:1]),
        "Each picture: an image that is classified correctly, in its middle, ±ε along the sign of "
        "the loss's gradient (upwards) and along random signs (to the right).",
        "Even slopes upwards are what gradients promise; plains, ripples and cliffs hide what is "
        "there from them.",
    ]


def transferred(rows: Sequence[Row], seeds: Sequence[int], n: int) -> list[str]:
    """Return how to read the figure of transfer."""
    mean = " Mean over seeds." if len(seeds) > 1 else ""
    return [
        *_of(rows, seeds, n),
        f"Accuracy in percent of each network on the PGD images of each other, same seed.{mean}",
        "In a column the framed field, images made on the network itself, should be the lowest; "
        "✗: another's are lower by more than chance.",
    ]


def _of(rows: Sequence[Row], seeds: Sequence[int], n: int | None = None) -> list[str]:
    sentences = setting([row for row in rows if row.seed in seeds])
    return sentences if n is None else [f"{sentences[0][:-1]} · first {n:,} test images."]


def training(rows: Sequence[Row], names: Mapping[str, str]) -> list[str]:
    """Return the sentences for the learning curves, which know no test images."""
    return [*setting(rows), selection(rows, names)]


def _span(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"{seeds[0]}–{seeds[-1]}"
    return joined(seeds)


def joined(words: Iterable[object]) -> str:
    """Return the distinct words, in their order, joined by commas."""
    return ", ".join(dict.fromkeys(map(str, words)))

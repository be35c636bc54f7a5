"""What goes wrong with weights from elsewhere, told apart by clean accuracy on some images.

Each hypothesis is a way in which the images or the network may not be what the config says. Where
the network is right far more often under one of them, that is the likely cause.

Shape suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom, binomtest
from torch import Tensor, nn

from bench.attacks.mode import evaluating
from bench.config.schema import Normalization
from bench.data.published import PUBLISHED
from bench.external.network import ExternalDescription
from bench.runtime.errors import BenchError
from bench.runtime.out_of_memory import out_of_memory

IMAGES = 500  # that the hypotheses are compared on
GAIN = 3.0  # points of clean accuracy below which another reading of the images is no explanation
# What an explanation must reach: a share of the way from guessing to all right or, of many classes,
# so many times guessing.
KNOWS, TIMES = 0.2, 4
ALIKE = 1.0  # points of clean accuracy within which two explanations are equally good
RISK = 0.001  # of calling a network wrong that is right
ROUGH = 1e-3  # of the largest logit: what the order of sums explains
HANDICAP = 0.1  # share of images by which batch statistics must explain more than another reading
STATISTICS = "batch-norm uses the batch's own statistics"
BATCH, SLACK = 100, 2  # images of a batch, and of it what two equally good readings may differ by
# What weights were trained with beside the moments of the images: ImageNet's, [-1, 1], 0 to 255,
# and the standard deviations of CIFAR-10 that many copy, which are means over single images.
COMMON: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "values in [-1, 1]": ((0.5,) * 3, (0.5,) * 3),
    "values from 0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    "CIFAR-10's, as it is often copied": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """Test images in [0, 1] with labels, and the moments of the training images' channels."""

    images: Tensor  # float32 [N, C, H, W]
    labels: Tensor  # int64 [N]
    classes: Sequence[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """What the check saw: images that are classified correctly [N], and whether outputs vary."""

    correct: Tensor
    random: bool

    @property
    def accuracy(self) -> float:
        """The clean accuracy in percent."""
        return 100 * float(self.correct.float().mean())


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A cause in words, the key that is its fix, and what is right [N] if it holds."""

    cause: str
    fix: str
    correct: Tensor

    @property
    def accuracy(self) -> float:
        """The clean accuracy in percent."""
        return 100 * float(self.correct.float().mean())


def check_network(
    network: nn.Module,
    description: ExternalDescription,
    sample: Sample,
    *,
    where: str,
    claimed: float | None = None,
    hints: Sequence[Normalization] = (),
) -> Found:
    """Return the clean accuracy of a network of others, if nothing is found to be wrong.

    `network` is bare: what the description has around it is put on here. `hints` are normalisations
    that its file has beside the weights.

    Raises
    ------
    BenchError
        Its output is not finite logits of the right shape, depends on the other images of a batch,
        or clean accuracy says that the images are not given as it expects them.
    """
    whole = description.around(network)
    logits = _checked_logits(whole, sample, where)
    _check_alone(whole, sample, logits, where)
    random = not torch.equal(_logits(whole, sample.images[:BATCH]), logits[:BATCH])
    found = Found(logits.argmax(dim=1) == sample.labels, random)
    every = [
        *_other_inputs(network, description, sample, found, hints),
        *_other_classes(logits, sample),
        *_batch_statistics(network, description, sample),
    ]
    right, n = int(found.correct.sum()), len(sample.labels)
    refuted = claimed is not None and not _agrees(right, n, claimed)
    likely = _likely(every, sample, found)
    if likely is None and claimed is not None and refuted:
        # Too weak by itself, but the claim holds under it.
        best = _best(every)
        likely = best if _agrees(int(best.correct.sum()), n, claimed) else None
    if likely is not None:
        raise BenchError(
            f"{where}: clean accuracy is {found.accuracy:.1f} % on {n} images, and "
            f"{likely.accuracy:.1f} % if {likely.cause}; {likely.fix}{_alike(likely, every)}"
        )
    if claimed is not None and refuted:
        fraction = claimed <= 1 and _agrees(right, n, 100 * claimed)
        raise BenchError(
            f"{where}.claimed: {claimed:g} % is claimed and {found.accuracy:.1f} % of {n} "
            + (
                f"images are right; it is in percent: claimed: {100 * claimed:g}"
                if fraction
                else "images are right; none of the usual causes (normalization, range, channels, "
                "classes, batch-norm) explains it, so look for other weights, other images or "
                "another claim"
            )
        )
    if claimed is None and not random and binom.sf(right - 1, n, _majority(sample)) > RISK:
        raise BenchError(
            f"{where}: {found.accuracy:.1f} % of {n} images are right, no better than guessing, "
            "and none of the usual causes (normalization, range, channels, classes, batch-norm) "
            "explains it; check weights and architecture, or say what to expect with `claimed`"
        )
    return found


def _majority(sample: Sample) -> float:
    return float(sample.labels.bincount().max()) / len(sample.labels)


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    with evaluating(network), torch.no_grad():
        parts = [network(part) for part in torch.split(images, BATCH) if len(part)]
        return torch.cat(parts) if parts else images.new_empty(0, 1)


def _checked_logits(network: nn.Module, sample: Sample, where: str) -> Tensor:
    shape = " x ".join(map(str, sample.images.shape[1:]))
    try:
        logits = _logits(network, sample.images)
    except Exception as error:
        if out_of_memory(error):
            raise
        first = str(error).strip().partition("\n")[0]
        raise BenchError(
            f"{where}.architecture: it cannot take images of {shape} in [0, 1] ({first}); choose "
            "the variant for this size"
        ) from error
    expected = (len(sample.images), len(sample.classes))
    if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
        got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise BenchError(
            f"{where}.architecture: it returns {got} for {expected[0]} images of {expected[1]} "
            "classes; return logits [images, classes]"
        )
    if not logits.isfinite().all():
        raise BenchError(
            f"{where}: the logits of {int((~logits.isfinite()).any(dim=1).sum())} images are not "
            "finite; the weights are damaged, or need images in another range"
        )
    sums = logits.sum(dim=1)
    if (logits >= 0).all() and (sums - 1).abs().max() < 1e-4:
        raise BenchError(
            f"{where}.architecture: it returns probabilities, whose gradients vanish in attacks; "
            "return the logits before the softmax"
        )
    return logits.float()


def _check_alone(network: nn.Module, sample: Sample, logits: Tensor, where: str) -> None:
    """Raise BenchError where the logits of an image change with the images beside it."""
    some = range(min(8, len(sample.images)))
    alone = torch.cat([_logits(network, sample.images[i : i + 1]) for i in some])
    again = _logits(network, sample.images[:BATCH])
    largest = float(logits.abs().max())
    noise = float((again - logits[:BATCH]).abs().max())
    change = float((alone - logits[: len(alone)]).abs().max())
    if change > ROUGH * largest + 4 * noise:
        raise BenchError(
            f"{where}: the logits of an image change with the other images of its batch (by "
            f"{change:.3g}); a batch-norm is in train mode although the network is in evaluation "
            "mode: let it use its running statistics"
        )


def _agrees(right: int, n: int, claimed: float) -> bool:
    """Return whether `right` of `n` images may come of a clean accuracy of `claimed` percent."""
    share = min(max(claimed / 100, 1e-6), 1 - 1e-6)
    return bool(binomtest(right, n, share).pvalue >= RISK)


def _best(every: Sequence[Hypothesis]) -> Hypothesis:
    """Return the hypothesis under which most images are right; the first is the simplest."""

    def plausible(hypothesis: Hypothesis) -> float:
        # The batch's own statistics also make up for a wrong scale of the images.
        handicap = 100 * HANDICAP if hypothesis.cause == STATISTICS else 0.0
        return hypothesis.accuracy - handicap

    return max(every, key=plausible)


def _likely(every: Sequence[Hypothesis], sample: Sample, found: Found) -> Hypothesis | None:
    """Return the best hypothesis, if far more images are right under it than as it is."""
    best = _best(every)
    gained = int((best.correct & ~found.correct).sum())
    lost = int((~best.correct & found.correct).sum())
    much = 100 * (gained - lost) / len(sample.labels) >= GAIN
    # Another constant answer of a network that knows nothing explains nothing.
    majority = _majority(sample)
    much &= best.accuracy >= 100 * min(majority + KNOWS * (1 - majority), TIMES * majority)
    if not much or binom.sf(gained - 1, gained + lost, 0.5) * len(every) >= RISK:
        return None
    return best


def _alike(likely: Hypothesis, every: Sequence[Hypothesis]) -> str:
    """Return the other causes that explain the images as well, empty where there is none."""
    others = [
        one.cause
        for one in every
        if one is not likely and abs(one.accuracy - likely.accuracy) < ALIKE
    ]
    if not others:
        return ""
    return (
        f"; it is about the same if {', or if '.join(others)}: take what the weights were trained "
        "with"
    )


def _other_inputs(
    network: nn.Module,
    description: ExternalDescription,
    sample: Sample,
    found: Found,
    hints: Sequence[Normalization],
) -> Iterator[Hypothesis]:
    """Yield what is right where the images are read in another way.

    A reading that is worse on the first batch is not tried on the others.
    """
    channels = sample.images.shape[1]
    given = description.normalization
    readings: list[tuple[str, Normalization | None]] = []
    readings.append(("", given))
    if given is not None:
        readings.append(("the images are not normalised: the network does it itself", None))
    readings += [
        (f"the images are normalised ({name})", other)
        for name, other in _normalizations(sample, hints)
        if len(other.mean) == channels and other != given
    ]
    for cause, normalization in readings:
        for order in ("rgb", "bgr") if channels == 3 else ("rgb",):
            if not cause and order == description.channel_order:
                continue
            swapped = order != description.channel_order
            words = [cause] if cause else []
            words += [f"the channels are given as {order.upper()}"] if swapped else []
            fixes = [f"set channels: {order}"] if swapped else []
            if cause:
                fixes.append(_as_key(normalization))
            changed = replace(description, normalization=normalization, channel_order=order)
            whole = changed.around(network)
            first = _logits(whole, sample.images[:BATCH]).argmax(dim=1) == sample.labels[:BATCH]
            if int(first.sum()) < int(found.correct[:BATCH].sum()) - SLACK:
                continue
            rest = _logits(whole, sample.images[BATCH:]).argmax(dim=1) == sample.labels[BATCH:]
            correct = torch.cat([first, rest])
            yield Hypothesis(" and ".join(words), " and ".join(fixes), correct)


def _normalizations(
    sample: Sample, hints: Sequence[Normalization]
) -> Iterator[tuple[str, Normalization]]:
    for hint in hints:
        yield "by the mean and std that the file holds", hint
    rounded = [tuple(round(value, 4) for value in one) for one in (sample.mean, sample.std)]
    if all(rounded[1]) and rounded[1]:
        yield "by the moments of these images", Normalization(mean=rounded[0], std=rounded[1])
    for name, published in PUBLISHED.items():
        if published.mean:
            yield f"by those of {name}", Normalization(mean=published.mean, std=published.std)
    channels = sample.images.shape[1]
    for name, (mean, std) in COMMON.items():
        if len(set(mean)) == 1:
            mean, std = mean[:1] * channels, std[:1] * channels
        yield name, Normalization(mean=mean, std=std)


def _as_key(normalization: Normalization | None) -> str:
    if normalization is None:
        return "remove normalization"
    mean, std = (
        ", ".join(f"{value:.4g}" for value in one)
        for one in (normalization.mean, normalization.std)
    )
    return f"set normalization: {{mean: [{mean}], std: [{std}]}}"


def _batch_statistics(
    network: nn.Module, description: ExternalDescription, sample: Sample
) -> Iterator[Hypothesis]:
    """Yield what is right with the batch's own statistics in each batch-norm."""
    trained = copy.deepcopy(network).eval()
    norms = [one for one in trained.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    whole = description.around(trained)
    for norm in norms:
        norm.train()
    with torch.no_grad():
        logits = torch.cat([whole(part) for part in torch.split(sample.images, BATCH)])
    yield Hypothesis(
        STATISTICS,
        "its running statistics are not those of the weights (save them with the weights, or "
        "estimate them again on training images), or the images are scaled in a way of its own "
        "(set normalization)",
        logits.argmax(dim=1) == sample.labels,
    )


def _other_classes(logits: Tensor, sample: Sample) -> Iterator[Hypothesis]:
    """Yield what is right with the best assignment of outputs to classes.

    It is found on one half of the images and counted on the other, and the other way round: the
    best of many assignments fits by chance.
    """
    classes = len(sample.classes)
    halves = torch.arange(len(sample.labels)) % 2 == 0
    predicted = logits.argmax(dim=1)
    correct = torch.zeros_like(halves)
    for half in (halves, ~halves):
        place = _assignment(predicted[half], sample.labels[half], classes)
        correct[~half] = place[predicted[~half]] == sample.labels[~half]
    names = [sample.classes[i] for i in _assignment(predicted, sample.labels, classes).tolist()]
    yield Hypothesis(
        "its outputs are classes in another order",
        f"set class_order: [{', '.join(names)}], once it is known to be that of their training",
        correct,
    )


def _assignment(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    counts = torch.zeros(classes, classes)
    counts.index_put_((predicted, labels), torch.ones(len(labels)), accumulate=True)
    _, columns = linear_sum_assignment(counts.numpy(), maximize=True)
    return torch.from_numpy(columns)

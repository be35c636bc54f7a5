"""AutoAttack, run by its reference package one component at a time.

Nothing here is an attack of our own: each component is run by the package's own loop over the
images that are still robust (Croce and Hein 2020, arXiv:2003.01690).

Shape suffixes: N images evaluated, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks.autoattack_package import Logger, installed, provide, source
from bench.attacks.mode import evaluating, frozen
from bench.attacks.random_state import undisturbed
from bench.config.parsing import nearest
from bench.config.schema import FEWER_CLASSES
from bench.runtime.errors import BenchError, ConfigError

__all__ = [
    "STANDARD",
    "AutoAttackState",
    "installed",
    "provide",
    "remarks_on_square",
    "require_classes",
    "run_standard",
    "source",
]

STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
COMPONENTS = (*STANDARD, "apgd-dlr")
VERSIONS = ("standard", "rand")
TARGETED = {"apgd-t", "fab-t"}
TARGETS = 9


@dataclass(frozen=True, kw_only=True)
class AutoAttackState:
    """What AutoAttack found so far; with every component in `left` it is final.

    Attributes
    ----------
    adversarial
        [N, C, H, W]; the image that the model gets wrong, or the clean one where none was found
        (and where the clean one is wrong already).
    clean
        [N] bool; classified correctly unattacked.
    robust
        [N] bool; classified correctly under every component so far.
    broken_by
        N names: "" (never broken), "clean" (wrong unattacked) or the component.
    left
        Images still robust after each component, in the order in which they ran.
    next_index
        The component that is running has attacked all images before this one.
    warnings
        What AutoAttack's own checks of the model said, each text once.
    """

    adversarial: Tensor
    clean: Tensor
    robust: Tensor
    broken_by: list[str]
    left: dict[str, int] = field(default_factory=dict)
    next_index: int = 0
    warnings: tuple[str, ...] = ()


def run_standard(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    seed: int,
    batch_size: int,
    device: torch.device | str,
    version: str = "standard",
    components: Sequence[str] = STANDARD,
    targets: int | None = None,
    queries: int | None = None,
    eot_iterations: int | None = None,
    start: AutoAttackState | None = None,
    report: Callable[[AutoAttackState], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> AutoAttackState:
    """Attack `images` with each component in turn, as the package's own run does in one go.

    A component attacks only what is still robust. The package draws random starts again from `seed`
    for each batch, so `batch_size` is part of the result's identity; stopping between two batches
    is not.

    Parameters
    ----------
    model
        Maps images in [0, 1] to logits; already on `device`. Given back as it was: mode,
        parameters' gradients, and the global random state, also after an error.
    images, labels
        [N, C, H, W] float32 in [0, 1] and [N] int64; they may stay in host memory.
    eps
        Radius of the Linf ball, in units of pixel value.
    version
        "standard", or "rand" for a network whose forward passes differ: APGD then averages
        gradients over some passes, and the package does not warn of the network.
    components
        Which to run, in this order; the four standard ones make AutoAttack's number.
    targets
        Wrong classes that the targeted components aim at; None is the 9 that AutoAttack's number
        is made with.
    queries
        Of Square for each image; None is the 5,000 that AutoAttack's number is made with.
    eot_iterations
        Passes that APGD averages gradients over; None is what the version has.
    start
        A result that `report` was given for the same images, to go on from.
    report
        Called with the result after every batch.
    progress
        Called with (component, images still robust, N) after every component.

    Raises
    ------
    ConfigError
        The version or a component is unknown, or the model has too few classes for `targets`.
    BenchError
        `start` belongs to other images or other components, or no AutoAttack is installed.
    """
    _check_request(version, components, images, labels)
    package = provide()
    with evaluating(model), frozen(model), _undisturbed(torch.device(device)):
        if start is None:
            few = (components, TARGETS if targets is None else targets)
            result = _unattacked(model, images, labels, batch_size, device, *few)
        else:
            result = _resumable(start, images, components)
        heard = list(result.warnings)
        attack = package.AutoAttack(
            model, norm="Linf", eps=eps, seed=seed, verbose=False, version=version, device=device
        )
        attack.logger = Logger(lambda text: _keep_warning(heard, text))
        attack.apgd.logger = attack.apgd_targeted.logger = attack.logger
        if targets is not None:
            attack.apgd_targeted.n_target_classes = attack.fab.n_target_classes = targets
        if queries is not None:
            attack.square.n_queries = queries
        if eot_iterations is not None:
            attack.apgd.eot_iter = eot_iterations
        for component in components[len(result.left) :]:
            while len(batch := _next_batch(result, batch_size)):
                # What a random network makes of a batch does not depend on those before it.
                with undisturbed(device, seed):
                    result = _advance(attack, component, result, batch, images, labels)
                result = replace(result, warnings=tuple(heard))
                if report is not None:
                    report(result)
            left = {**result.left, component: int(result.robust.sum())}
            result = replace(result, left=left, next_index=0)
            if progress is not None:
                progress(component, left[component], len(images))
    return result


def remarks_on_square(robust: Mapping[str, int], count: int) -> list[str]:
    """Return what the package's check says where Square broke more than gradients hide by chance.

    Parameters
    ----------
    robust
        Of the `count` images that were evaluated, how many were classified correctly unattacked
        ("clean") and after each component. The check's threshold is a share of all of them, so it
        is asked once for all parts that were attacked one by one.
    """
    heard: list[str] = []
    provide().checks.check_square_sr(
        {name: left / count for name, left in robust.items()},
        logger=Logger(lambda text: _keep_warning(heard, text)),
    )
    return heard


def require_classes(
    classes: int, components: Sequence[str] = STANDARD, targets: int = TARGETS
) -> None:
    """Raise ConfigError where targeted components would need more classes than there are."""
    if classes <= targets and TARGETED & set(components):
        raise ConfigError(
            f"AutoAttack standard needs at least {TARGETS + 1} classes, because it targets"
            f" {TARGETS} wrong ones; this data set has {classes}: {FEWER_CLASSES}"
        )


def _keep_warning(heard: list[str], text: str) -> None:
    warning = text.removeprefix("Warning: ")
    if warning not in (text, *heard):
        heard.append(warning)


def _check_request(version: str, components: Sequence[str], images: Tensor, labels: Tensor) -> None:
    if version not in VERSIONS:
        raise ConfigError(
            f"AutoAttack version {version!r} is unknown; {nearest(version, VERSIONS)}"
        )
    for component in components:
        if component not in COMPONENTS:
            raise ConfigError(
                f"AutoAttack component {component!r} is unknown; {nearest(component, COMPONENTS)}"
            )
    if not components or len(set(components)) < len(components):
        raise ConfigError(f"AutoAttack components: expected each once, got {list(components)}")
    if len(images) == 0 or images.shape[:1] != labels.shape:
        raise ValueError(f"{len(images)} images and labels of shape {tuple(labels.shape)}")
    if images.dtype != torch.float32 or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError("images must be float32 in [0, 1]")


def _unattacked(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    device: torch.device | str,
    components: Sequence[str],
    targets: int,
) -> AutoAttackState:
    clean = torch.empty(len(images), dtype=torch.bool)
    with torch.no_grad():
        for first in range(0, len(images), batch_size):
            part = slice(first, first + batch_size)
            logits_BK = model(images[part].to(device))
            require_classes(logits_BK.shape[1], components, targets)
            clean[part] = logits_BK.max(dim=1).indices.cpu() == labels[part].cpu()
    broken_by = ["" if correct else "clean" for correct in clean.tolist()]
    return AutoAttackState(
        adversarial=images.detach().clone(), clean=clean, robust=clean, broken_by=broken_by
    )


def _resumable(
    start: AutoAttackState, images: Tensor, components: Sequence[str]
) -> AutoAttackState:
    if start.adversarial.shape != images.shape:
        raise BenchError(
            f"the AutoAttack result to go on from is of {len(start.adversarial)} images, not of"
            f" these {len(images)}: delete it and start again"
        )
    if list(start.left) != list(components[: len(start.left)]):
        raise BenchError(
            f"the AutoAttack result to go on from ran {', '.join(start.left)}, which is not how"
            f" {', '.join(components)} begins: delete it and start again"
        )
    # It was kept in a file, so it is on the CPU.
    return replace(start, adversarial=start.adversarial.to(images.device))


def _next_batch(result: AutoAttackState, batch_size: int) -> Tensor:
    """Return the images that the package's own loop would attack next; none at the end of it."""
    index = result.robust.nonzero().flatten()
    return index[index >= result.next_index][:batch_size]


def _advance(
    attack: Any,
    component: str,
    before: AutoAttackState,
    batch: Tensor,
    images: Tensor,
    labels: Tensor,
) -> AutoAttackState:
    robust, adversarial = before.robust.clone(), before.adversarial.clone()
    chosen = batch.to(images.device)
    attack.attacks_to_run = [component]
    found, predicted = attack.run_standard_evaluation(
        images[chosen], labels[chosen], bs=len(batch), return_labels=True
    )
    robust[batch] &= (predicted == labels[chosen]).cpu()
    adversarial[chosen] = found
    fell = (before.robust & ~robust).tolist()
    pairs = zip(fell, before.broken_by, strict=True)
    return replace(
        before,
        adversarial=adversarial,
        robust=robust,
        broken_by=[component if broken else earlier for broken, earlier in pairs],
        next_index=int(batch[-1]) + 1,
    )


@contextmanager
def _undisturbed(device: torch.device) -> Iterator[None]:
    """Give back the global random state, which every component seeds, and the trace function."""
    trace = sys.gettrace()
    try:
        with undisturbed(device):
            yield
    finally:
        sys.settrace(trace)

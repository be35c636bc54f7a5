"""AutoAttack's attacks for images of fewer than ten classes, where `standard` cannot run.

Nothing here is an attack of our own, and it is not AutoAttack's number either: that has nine
targets. Source: Croce and Hein 2020, arXiv:2003.01690; the attacks are those of its package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.attacks import autoattack
from bench.attacks.autoattack_batch import attacked
from bench.attacks.base import Attack, SearchResult, Target, register
from bench.config.parsing import Count


@register("autoattack_few_classes")
@dataclass(frozen=True, kw_only=True)
class AutoAttackFewClasses(Attack):
    """AutoAttack's attacks with as many targets as there are wrong classes, at most nine.

    The targeted DLR loss needs four classes and the DLR loss three, so what runs depends on them:

    - four or more: APGD-CE, targeted APGD-DLR, targeted FAB, Square, as in `standard`
    - three: APGD-CE, APGD-DLR, targeted FAB, Square
    - two: APGD-CE, targeted FAB, Square; with one wrong class the cross-entropy is targeted already

    Parameters
    ----------
    queries
        Of Square for each image.
    """

    wraps_autoattack: ClassVar[bool] = True

    queries: Count = 5000

    def search(self, target: Target) -> SearchResult:
        """Return what the components find in turn, each on the images that are still robust."""
        with torch.no_grad():
            classes = target.network(target.images[:1]).shape[1]
        return attacked(
            target,
            components=components(classes),
            targets=min(classes - 1, autoattack.TARGETS),
            queries=self.queries,
        )

    def source(self) -> str:
        """Return the package and its version."""
        return autoattack.source()

    def remarks(self, broken_by: Sequence[str]) -> list[str]:
        """Return what the package's check says of Square, whose threshold is a share of all."""
        left = len(broken_by) - broken_by.count("clean")
        robust = {"clean": left}
        for component in ("apgd-ce", "apgd-t", "apgd-dlr", "fab-t", "square"):
            left -= broken_by.count(component)
            robust[component] = left
        return autoattack.remarks_on_square(robust, len(broken_by))


def components(classes: int) -> tuple[str, ...]:
    """Return the components that can run for a number of classes."""
    by_dlr = {2: (), 3: ("apgd-dlr",)}.get(classes, ("apgd-t",))
    return ("apgd-ce", *by_dlr, "fab-t", "square")

"""Components of AutoAttack's package on one batch, as attacks of `evaluation.attacks` run them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.attacks import autoattack
from bench.attacks.base import SearchResult, Target


def attacked(target: Target, *, components: Sequence[str], **settings: Any) -> SearchResult:
    """Return what `components` find in turn; `settings` are others of `autoattack.run_standard`.

    The package's seed follows from the generator of `target`, so each batch has one of its own.
    """
    result = autoattack.run_standard(
        target.network,
        target.images,
        target.labels,
        eps=target.eps,
        seed=target.generator.initial_seed(),
        batch_size=len(target.images),
        device=target.images.device,
        components=components,
        **settings,
    )
    # Of three classes the package says it of the untargeted loss too, which can do with them.
    warnings = [text for text in result.warnings if "targeted DLR loss" not in text]
    return SearchResult(images=result.adversarial, by=result.broken_by, warnings=tuple(warnings))

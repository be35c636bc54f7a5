"""What is measured, and the paths it is measured on. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.config.experiment import Compute, TrainSpec
from bench.config.parsing import Count, Positive
from bench.planning.sizes import Size

# In the order in which they run. "breakdown" goes with "autoattack" on CUDA.
TASKS = ("step", "epoch", "data", "attack", "memory", "pgd", "autoattack")
BY_METHOD = ("step", "memory")
COMPONENTS = ("apgd-ce", "apgd-t", "fab-t", "square")


@dataclass(frozen=True, kw_only=True)
class Route:
    """One path: a way to compute the same training and the same attacks.

    `pages` says whether the process keeps the memory that it frees; `against` names the plain path
    with the same allocator, which is what an engine is compared with. `judges` says whether
    AutoAttack, which is long, is measured on it.
    """

    name: str
    engine: Literal["plain", "fast", "graph"]
    precision: Literal["float32", "bfloat16"] = "float32"
    pages: bool = False
    against: str = "plain"
    judges: bool = True

    def measures(self, task: str) -> bool:
        """Say whether `task` is measured on it; PGD and AutoAttack are float32 on any path."""
        if task not in ("pgd", "autoattack", "breakdown"):
            return True
        if self.engine == "graph" or self.precision != "float32":
            return False
        return self.judges or task == "pgd"


KEPT = "plain, pages kept"
COARSE = "fast bfloat16, pages kept"
ROUTES = {
    "cpu": (
        Route(name="plain", engine="plain"),
        Route(name="fast", engine="fast", judges=False),
        Route(name=KEPT, engine="plain", pages=True, against=KEPT, judges=False),
        Route(name="fast, pages kept", engine="fast", pages=True, against=KEPT),
        Route(name=COARSE, engine="fast", precision="bfloat16", pages=True, against=KEPT),
    ),
    "cuda": (
        Route(name="plain", engine="plain"),
        Route(name="fast", engine="fast"),
        Route(name="graph", engine="graph"),
        Route(name="fast bfloat16", engine="fast", precision="bfloat16"),
        Route(name="graph bfloat16", engine="graph", precision="bfloat16"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured, and how often.

    Parameters
    ----------
    rounds, autoattack_rounds
        How often every path is asked for a measurement.
    steps
        Training steps, or attacks, of one measurement.
    epoch_batches, data_batches
        Batches of one measurement of an epoch, and of its data path alone.
    pgd_images, attack_images
        Images that PGD and AutoAttack attack; `attack_batch` of them at a time.
    components
        Of AutoAttack.
    product
        Rows of the square matrices whose product is the device's ceiling.
    """

    rounds: Count
    autoattack_rounds: Count
    steps: Count
    epoch_batches: Count
    data_batches: Count
    pgd_images: Count
    attack_images: Count
    attack_batch: Count
    components: tuple[str, ...] = COMPONENTS
    product: Count


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that the process of one path is told."""

    route: Route
    compute: Compute
    settings: Settings
    size: Size
    eps: Positive
    specs: dict[str, TrainSpec]

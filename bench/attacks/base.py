"""What an attack of `evaluation.attacks` is, and the registry.

A new attack is one file with exactly one class like this, whose name in the registry is the file's:

    @register("mine")
    @dataclass(frozen=True, kw_only=True)
    class Mine(Attack):
        "What tables and figures say of it."

        steps: Count = 30

        def search(self, target): ...

Options are the fields that are not ClassVar, with literal defaults or none: the process that plans
the workflow reads them, and the docstring's first line, from the source, because it cannot import
torch.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from bench.attacks.mode import evaluating
from bench.config.attack_options import attack_names
from bench.config.parsing import nearest, parse
from bench.runtime.errors import BenchError, CodeError, ConfigError
from bench.runtime.exit_code import code_error, import_file
from bench.runtime.out_of_memory import out_of_memory

TOLERANCE = 1e-6  # float32 rounding of x + eps


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """A batch of images and the network that is attacked on them.

    Attributes
    ----------
    network
        Maps images [B, C, H, W] in [0, 1] to logits [B, K]; in evaluation mode, no parameter asks
        for a gradient. It may be a copy made for speed, with TF32 in its convolutions.
    images, labels
        [B, C, H, W] float32 in [0, 1] and [B] int64, on the device of `network`. Images that are
        misclassified already are among them.
    eps
        Radius of the Linf ball, in pixel values.
    generator
        Source of random numbers, on that device too; it begins at a stream of the attack's seed and
        the place of the batch. PyTorch's, NumPy's and Python's global ones are seeded as well.
    others
        Best networks of the other labels of the same seed by label, frozen and in evaluation mode;
        empty but for an attack that declares `other_networks`.
    """

    network: nn.Module
    images: Tensor
    labels: Tensor
    eps: float
    generator: torch.Generator
    others: Mapping[str, nn.Module] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class SearchResult:
    """Images [B, C, H, W] of a search, and by what it saw each one broken.

    `by` has the name of what broke an image, "clean" where it was wrong unattacked, "" where it is
    robust. `warnings` are what to know of the result; its rows are flagged then.
    """

    images: Tensor
    by: list[str]
    warnings: tuple[str, ...] = ()


class Attack(ABC):
    """A search for adversarial images in the Linf ball; what they do, the suite looks at itself.

    Attributes
    ----------
    name
        Its name in the registry.
    other_networks
        Whether it uses the other networks of the experiment, `Target.others`.
    wraps_autoattack
        Whether it runs attacks of AutoAttack's package, which must then be installed.

    The last two are literals: planning reads them from the source.
    """

    name: ClassVar[str]
    other_networks: ClassVar[bool] = False
    wraps_autoattack: ClassVar[bool] = False

    @abstractmethod
    def search(self, target: Target) -> Tensor | SearchResult:
        """Return an image [B, C, H, W] for each of `target`, within its ball and in [0, 1].

        Where the search found none that the network misclassifies, any image of the ball will do,
        the clean one too. An attack of several parts may return a SearchResult, which says what
        broke each image.
        """

    def source(self) -> str:
        """Return the package and version that the attack is from, for `attack_source`."""
        return f"suite ({self.name})"

    def remarks(self, broken_by: Sequence[str]) -> list[str]:
        """Return warnings that only all images together tell; `broken_by` has each one's part."""
        del broken_by
        return []


def search_batch(attack: Attack, label: str, target: Target) -> SearchResult:
    """Return what `attack` finds on `target`, if it is what `Attack.search` promises.

    What breaks an image is called `label` where the attack has no name for it.

    Raises
    ------
    CodeError
        The attack's own code failed, or returned something else.
    """
    path = file_of(attack)
    try:
        found = attack.search(target)
    except BenchError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise code_error(error, path, f"search of the attack {attack.name!r} failed") from error
    images = found.images if isinstance(found, SearchResult) else found
    if wrong := _wrong(images, target):
        raise CodeError(f"{path}: search of the attack {attack.name!r} must return {wrong}")
    images = images.detach()
    if isinstance(found, SearchResult):
        return SearchResult(images=images, by=list(found.by), warnings=found.warnings)
    # The attack may have left it in another mode.
    with evaluating(target.network), torch.no_grad():
        fooled = target.network(images).argmax(dim=1) != target.labels
    return SearchResult(images=images, by=[label if one else "" for one in fooled.tolist()])


def _wrong(images: Any, target: Target) -> str:
    """Return what the images of a search should have been; empty where they are right."""
    clean = target.images
    if not isinstance(images, Tensor):
        return f"images as a tensor, got {type(images).__name__}; return them"
    if images.shape != clean.shape or images.dtype != clean.dtype:
        expected, got = (f"{list(one.shape)} {one.dtype}" for one in (clean, images))
        return f"images of shape and type {expected}, got {got}; return one for each image"
    if images.device != clean.device:
        return f"images on {clean.device}, got {images.device}; move them back"
    distance, low, high = ball(images, clean)
    if not distance <= target.eps + TOLERANCE:
        return (
            f"images within eps {target.eps:.6g} of the clean ones, got a distance of "
            f"{distance:.6g}; project them, as bench.attacks.linf.project does"
        )
    if not (low >= 0 and high <= 1):
        return f"pixel values in [0, 1], got {low:.6g} to {high:.6g}; clamp them"
    return ""


def ball(moved: Tensor, images: Tensor) -> tuple[float, float, float]:
    """Return how far `moved` is from `images` (Linf), and its lowest and highest value."""
    moved = moved.detach()
    return float((moved - images).abs().max()), float(moved.min()), float(moved.max())


def file_of(attack: Attack) -> Path:
    """Return the file that registers `attack`."""
    return Path(inspect.getfile(type(attack)))


Registered = TypeVar("Registered", bound=type[Attack])
_ATTACKS: dict[str, type[Attack]] = {}


def register(name: str) -> Callable[[Registered], Registered]:
    """Offer the decorated class as the attack `name`."""

    def offer(kind: Registered) -> Registered:
        if name in _ATTACKS:
            raise ValueError(f"two attacks are called {name!r}")
        kind.name = name
        _ATTACKS[name] = kind
        return kind

    return offer


def create(name: str, options: Mapping[str, Any]) -> Attack:
    """Return the attack `name` with `options`; no other attack's file is imported.

    Raises
    ------
    ConfigError
        The attack or an option is unknown, an option is missing, or its value is not allowed.
    CodeError
        Its own code fails.
    """
    if name not in attack_names():
        raise ConfigError(f"the attack {name!r} is unknown; {nearest(name, attack_names())}")
    import_file(f"bench.attacks.{name}")
    return parse(_ATTACKS[name], options, where=name)

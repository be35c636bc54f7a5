"""The registry of architectures. A file of this package that registers one is found by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from bench.config.parsing import nearest
from bench.config.schema import Normalization
from bench.models.normalized import Normalized
from bench.numerics.seeding import stream_seed
from bench.runtime.errors import ConfigError
from bench.runtime.exit_code import code_error, import_file

Builder = TypeVar("Builder", bound=Callable[..., nn.Module])
_BUILDERS: dict[str, Callable[..., nn.Module]] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Offer what is decorated, called with `classes`, `channels` and perhaps `width`, as `name`."""

    def offer(builder: Builder) -> Builder:
        if name in _BUILDERS:
            raise ValueError(f"two models are called {name!r}")
        _BUILDERS[name] = builder
        return builder

    return offer


def names() -> tuple[str, ...]:
    """Return the names of all architectures, sorted."""
    return tuple(sorted(_discovered()))


def file_of(name: str) -> Path:
    """Return the file that registers the architecture `name`."""
    return Path(inspect.getfile(_discovered()[name]))


def build(
    name: str,
    *,
    classes: int,
    channels: int,
    seed: int,
    width: int | None = None,
    normalization: Normalization | None = None,
    stream: tuple[str, ...] = ("weights",),
) -> nn.Module:
    """Return a freshly initialised network on the CPU, in train mode.

    Parameters
    ----------
    name
        A registered architecture.
    classes, channels
        Number of logits and of colour channels.
    seed
        Seed of the run. Its stream `stream` decides the initial weights and nothing else does; the
        global random state is left as it was.
    width
        Channels of the first stage; None is the architecture's own default.
    normalization
        What the network does to its images first; None: nothing.
    stream
        Another one is for a network beside the one that is trained.

    Raises
    ------
    ConfigError
        `name` is unknown or has no width where one is given, or the normalization is of another
        number of channels.
    CodeError
        Its own code fails.
    """
    known = _discovered()
    if name not in known:
        raise ConfigError(f"the model {name!r} is unknown; {nearest(name, known)}")
    if width is not None and "width" not in inspect.signature(known[name]).parameters:
        raise ConfigError(f"the model {name!r} has no width, and {width} is asked for")
    if normalization is not None and len(normalization.mean) != channels:
        raise ConfigError(
            f"model.normalization: {len(normalization.mean)} values of mean, and the images have "
            f"{channels} channels; give one for each"
        )
    options = {} if width is None else {"width": width}
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would also reseed every CUDA device, which the fork does not put back.
        torch.default_generator.manual_seed(stream_seed(seed, *stream))
        try:
            network = known[name](classes=classes, channels=channels, **options)
        except Exception as error:
            doing = f"the model {name!r} cannot be built"
            raise code_error(error, file_of(name), doing) from error
    if normalization is None:
        return network
    return Normalized(network, normalization.mean, normalization.std)


def _discovered() -> dict[str, Callable[..., nn.Module]]:
    package = importlib.import_module("bench.models")
    for module in pkgutil.iter_modules(package.__path__):
        import_file(f"bench.models.{module.name}")
    return _BUILDERS

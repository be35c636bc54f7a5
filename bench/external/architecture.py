"""Architectures by name: ours, RobustBench's, timm's, or a Python file of the user's."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bench.attacks.autoattack import provide
from bench.config.parsing import nearest
from bench.models import base
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.exit_code import code_error

Builder = Callable[..., nn.Module]
CLASSES = ("classes", "num_classes", "n_classes", "nclass")
# What a package raises of arguments that do not go together.
REFUSALS = (AssertionError, TypeError, ValueError, RuntimeError, LookupError, AttributeError)
CHANNELS = ("channels", "in_channels", "in_chans", "num_channels", "n_channels")


def build(
    architecture: str, arguments: Mapping[str, Any], *, classes: int, channels: int, where: str
) -> nn.Module:
    """Return the network, with weights that are still to be loaded; the random state is kept.

    `classes` and `channels` are handed over under the names that the architecture has for them,
    unless `arguments` does so.

    Raises
    ------
    BenchError
        There is no such architecture, or it cannot be built.
    CodeError
        A file of the user's fails.
    """
    kind, _, name = architecture.rpartition(":")
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        if kind == "timm":
            return _timm(name, arguments, classes, channels, where)
        if kind == "robustbench":
            builder = _robustbench(name, where)
            try:
                return _called(builder, arguments, classes, channels, where)
            except REFUSALS as error:
                raise _refused("RobustBench", name, error, where) from None
        if kind:
            path = Path(kind).expanduser().absolute()
            function = _function(path, name, where)
            try:
                return _called(function, arguments, classes, channels, where)
            except Exception as error:
                raise code_error(error, path, f"{name} cannot be built") from error
        if name.endswith(".py"):
            raise ConfigError(
                f"{where}.architecture: {name} is a file; name its function too, as {name}:build"
            )
        return base.build(name, classes=classes, channels=channels, seed=0, **arguments)


def imported(
    architecture: str, arguments: Mapping[str, Any], *, classes: int, channels: int, folder: Path
) -> tuple[str, str]:
    """Return the import and the call that build a network which is none of our architectures.

    A file of the user's is looked for in `folder`.
    """
    kind, _, name = architecture.rpartition(":")
    if kind == "timm":
        given = {"num_classes": classes, "in_chans": channels, **arguments}
        words = ", ".join(f"{key}={value!r}" for key, value in given.items())
        return "import timm", f"timm.create_model({name!r}, pretrained=False, {words})"
    if kind == "robustbench":
        builder = _robustbench(name, name)
        module = builder.__module__
    else:
        builder, module = _function(folder / kind, name, name), Path(kind).stem
    given = _given(builder, arguments, classes, channels, name)
    words = ", ".join(f"{key}={value!r}" for key, value in given.items())
    return f"from {module} import {name}", f"{name}({words})"


def _timm(
    name: str, arguments: Mapping[str, Any], classes: int, channels: int, where: str
) -> nn.Module:
    try:
        import timm  # type: ignore[import-untyped]
    except ImportError:
        raise BenchError(f"{where}.architecture: {name} is timm's: install timm") from None
    if not timm.is_model(name):
        raise ConfigError(
            f"{where}.architecture: timm has no model {name!r}; "
            f"{nearest(name, timm.list_models()).partition('known:')[0]}timm.list_models() has all"
        )
    given = {"num_classes": classes, "in_chans": channels, **arguments}
    try:
        network: nn.Module = timm.create_model(name, pretrained=False, **given)
    except REFUSALS as error:
        raise _refused("timm", name, error, where) from None
    return network


def _refused(package: str, name: str, error: Exception, where: str) -> ConfigError:
    said = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
    return ConfigError(
        f"{where}.arguments: {package} cannot build {name} of them ({said}); give those of a "
        "variant that it has"
    )


def _robustbench(name: str, where: str) -> Builder:
    provide()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        try:
            package = importlib.import_module("robustbench.model_zoo")
        except ImportError as error:
            raise BenchError(
                f"{where}.architecture: RobustBench cannot be imported ({error}); install "
                "robustbench and setuptools in the versions that environment.yml names"
            ) from None
        found: dict[str, Builder] = {}
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            try:
                members = vars(importlib.import_module(module.name))
            # Some of its architectures need packages that RobustBench does not bring along.
            except ImportError:
                continue
            found |= {
                key: value
                for key, value in members.items()
                if callable(value) and getattr(value, "__module__", "").startswith("robustbench.")
            }
    if name not in found:
        known = [key for key, value in found.items() if inspect.isclass(value)]
        near = nearest(name, known).partition("known:")[0]
        raise ConfigError(
            f"{where}.architecture: RobustBench has no class or function {name!r}; {near}it is one "
            "of robustbench/model_zoo, such as WideResNet"
        )
    return found[name]


def _function(path: Path, name: str, where: str) -> Builder:
    if not path.is_file():
        raise BenchError(f"{where}.architecture: there is no file {path}; give its path")
    spec = importlib.util.spec_from_file_location(f"external_{path.stem}", path)
    assert spec is not None  # a file that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise code_error(error, path, "it cannot be imported") from error
    function: Any = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise ConfigError(
            f"{where}.architecture: {path} has no function {name!r}; {nearest(name, known)}"
        )
    return cast(Builder, function)


def _called(
    builder: Builder, arguments: Mapping[str, Any], classes: int, channels: int, where: str
) -> nn.Module:
    network = builder(**_given(builder, arguments, classes, channels, where))
    if not isinstance(network, nn.Module):
        raise BenchError(
            f"{where}.architecture: it returns a {type(network).__name__}, not a torch.nn.Module"
        )
    return network


def _given(
    builder: Builder, arguments: Mapping[str, Any], classes: int, channels: int, where: str
) -> dict[str, Any]:
    """Return what `builder` is called with, or raise ConfigError."""
    known = inspect.signature(builder).parameters
    anything = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    given: dict[str, Any] = {}
    for names, value in ((CLASSES, classes), (CHANNELS, channels)):
        given |= {name: value for name in names if name in known}
    for key in arguments:
        if key not in known and not anything:
            raise ConfigError(f"{where}.arguments: {key!r} is unknown; {nearest(key, known)}")
    given |= arguments
    absent = [
        name
        for name, one in known.items()
        if one.default is inspect.Parameter.empty
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and name not in given
    ]
    if absent:
        raise ConfigError(f"{where}.arguments: {absent[0]!r} is missing")
    return given

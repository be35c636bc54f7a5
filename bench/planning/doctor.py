"""What this machine has of what an experiment needs, and the fix for what it lacks.

It must work where nothing is installed, so torch is imported only to ask it for its device.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.config.attack_options import check_attack
from bench.config.method_options import (
    LITERALS,
    PACKAGE,
    Declared,
    declarations,
    declared_in,
    options_in,
)
from bench.config.method_source import check_method
from bench.evaluation.architecture import standalone
from bench.planning.text import amount
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.gpus import nvidia_smi
from bench.runtime.places import INSTALL, INSTALLED, ROOT

# What the digits need nothing of: what it is for.
OPTIONAL = {
    "torchvision": "CIFAR-10",
    "robustbench": "CIFAR-10's test images and reference models",
    "timm": "networks of timm",
    "setuptools": "robustbench, which imports pkg_resources",
    "pyarrow": "data.source: parquet",
    "pillow": "data.source: parquet and folder",
}
AUTOATTACK = ("autoattack", "pyautoattack")  # either will do
DRIVERS = {13: 580, 12: 525}  # smallest driver for each major version of CUDA
ENVIRONMENT = INSTALL if INSTALLED else f"{INSTALL}, --use-conda an environment"
LITTLE, ENOUGH = 10**8, 10**10  # bytes: what the digits need, and what CIFAR-10 is at ease with


@dataclass(frozen=True)
class Check:
    """One thing looked at: `state` "fail" means that the digits, or a method here, cannot run."""

    state: Literal["ok", "note", "fail"]
    what: str
    fix: str = ""

    def __str__(self) -> str:
        line = f"{self.state:<4}  {self.what}"
        return f"{line}: {self.fix}" if self.fix else line


@dataclass(frozen=True)
class Torch:
    """What torch says of itself; `error` where it cannot be imported."""

    cuda: str | None = None
    device: str | None = None
    error: str | None = None


def all_checks(folder: Path = Path()) -> list[Check]:
    """Return all checks, for an experiment that would run in `folder`."""
    torch, driver = ask_torch(), ask_driver()
    return [
        python_check(sys.version_info[:2]),
        *(package_check(r) for r in requirements() if not r.startswith(AUTOATTACK)),
        autoattack_check(),
        *device_checks(torch, driver),
        conda_check(),
        disk_check(shutil.disk_usage(folder.resolve()).free),
        data_check(folder / "data" / "cifar10"),
        *code_checks(PACKAGE / "methods"),
        *code_checks(PACKAGE / "attacks"),
        *code_checks(PACKAGE / "models"),
    ]


def possible(checks: list[Check]) -> bool:
    """Say whether the digits and all methods that are here can run."""
    return all(check.state != "fail" for check in checks)


def requirements() -> list[str]:
    """Return what the project depends on, with all of its extras, as pyproject.toml writes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parts = [project["dependencies"], *project["optional-dependencies"].values()]
    found = dict.fromkeys(str(requirement) for part in parts for requirement in part)
    # An extra that takes in others names the project itself.
    return [one for one in found if not one.startswith(project["name"])]


def python_check(version: tuple[int, ...]) -> Check:
    """Return whether this Python will do."""
    text = f"Python {platform.python_version()}"
    if version < (3, 11):
        return Check("fail", text, "3.11, 3.12 or 3.13 is needed: `make PYTHON=python3.12 test`")
    if version > (3, 13):
        return Check("note", text, "the suite is tested with 3.11, 3.12 and 3.13")
    return Check("ok", text)


def package_check(requirement: str) -> Check:
    """Return whether the package of `requirement` (``torch==2.14.1``) is there and fits."""
    name, relation, bound = re.findall(r"([\w-]+)(==|<)?(.*)", requirement)[0]
    purpose = OPTIONAL.get(name)
    version = _version(name)
    if version is None and purpose:
        what = f"{name} is missing (needed for {purpose}, not for the digits)"
        return Check("note", what, ENVIRONMENT)
    if version is None:
        return Check("fail", f"{name} is missing", ENVIRONMENT)
    here, there = _numbers(version), _numbers(bound)
    if not relation or (here == there if relation == "==" else here < there):
        return Check("ok", f"{name} {version}")
    return Check(
        "note",
        f"{name} {version}, required is {relation}{bound}",
        f"results then come from another environment; {ENVIRONMENT}",
    )


def autoattack_check() -> Check:
    """Return which package AutoAttack comes from; either will do."""
    found = [f"{name} {version}" for name in AUTOATTACK if (version := _version(name))]
    if found:
        return Check("ok", f"AutoAttack from {' and '.join(found)}")
    return Check("fail", "AutoAttack is missing", "pip install pyautoattack")


def device_checks(torch: Torch, driver: tuple[str, str] | None) -> Iterator[Check]:
    """Yield what is to say of the GPU; `driver` is (version, device name) of NVIDIA's."""
    if torch.error is not None:
        yield Check("fail", f"torch cannot be imported ({torch.error})", ENVIRONMENT)
    if driver is None:
        fix = "the digits run on a CPU; config/paper.yaml needs a CUDA device"
        yield Check("note", "no NVIDIA driver answers (nvidia-smi)", fix)
        return
    version, name = driver
    card = f"{name}, driver {version}"
    least = DRIVERS.get(_numbers(torch.cuda)[0]) if torch.cuda else None
    if least is not None and _numbers(version)[0] < least:
        yield Check(
            "note",
            f"{card}, is too old for torch's CUDA {torch.cuda}",
            f"it needs a driver of at least {least}; update it, or take the same torch and "
            "torchvision built for CUDA 12 from the index that https://pytorch.org/get-started/ "
            "names: into .venv with `.venv/bin/uv pip install`, into environment.yml for "
            "--use-conda",
        )
    elif torch.device is not None or torch.error is not None:
        yield Check("ok", f"{card}, CUDA {torch.cuda}" if torch.cuda else card)
    elif torch.cuda is None:
        fix = f"install the torch that environment.yml pins; {ENVIRONMENT}"
        yield Check("note", f"{card}, but torch is built for a CPU", fix)
    else:
        fix = "look at CUDA_VISIBLE_DEVICES and at `nvidia-smi`"
        yield Check("note", f"{card}, is not seen by torch", fix)


def conda_check() -> Check:
    """Return whether conda is there, which only ``--use-conda`` needs."""
    if found := shutil.which("conda"):
        return Check("ok", f"conda ({found})")
    return Check("note", "conda is missing", "leave --use-conda away, or install Miniforge")


def disk_check(free: int) -> Check:
    """Return whether `free` bytes will do."""
    text = f"{amount(free)} free on this disk"
    if free < LITTLE:
        return Check("fail", text, f"the digits need {amount(LITTLE)}; make room")
    if free < ENOUGH:
        return Check("note", text, "enough for the digits; ask `plan` about a larger experiment")
    return Check("ok", text)


def data_check(folder: Path) -> Check:
    """Return whether CIFAR-10 is there."""
    if folder.is_dir() and any(folder.iterdir()):
        return Check("ok", f"{folder} exists")
    return Check(
        "note",
        f"{folder} is missing",
        "the first run downloads it (170 MB); without a network put cifar-10-python.tar.gz there",
    )


def code_checks(folder: Path) -> Iterator[Check]:
    """Yield what is to say of the files of methods, attacks or models, which planning only reads.

    Most files of bench/attacks register nothing: training and evaluation import them by name.
    """
    found: list[str] = []
    paths = sorted(folder.glob("*.py"))
    imports = re.compile(rf"^from bench\.{folder.name}\.(\w+) import", re.MULTILINE)
    shared = {"__init__", "base", "checkpoint"}
    for path in paths:
        shared |= set(imports.findall(path.read_text(encoding="utf-8", errors="replace")))
    for path in paths:
        try:
            declared = declarations(path)
        except ConfigError as error:
            # Every job imports all of them.
            yield Check("fail", str(error))
            continue
        if not declared and path.stem not in shared and folder.name != "attacks":
            yield Check("note", f"{path}: it registers nothing", f'@register("{path.stem}") would')
        for name, node in declared.items():
            if folder.name == "methods":
                checks = list(_method_checks(path, name, node))
            elif folder.name == "attacks":
                checks = list(_attack_checks(path, node))
            else:
                checks = list(_export_checks(name, folder))
            if not any(check.state == "fail" for check in checks):
                found.append(name)
            yield from checks
    yield Check("ok", f"{folder.name}: {', '.join(found)}")


def _method_checks(path: Path, name: str, node: Declared) -> Iterator[Check]:
    try:
        check_method(path, node)
    except ConfigError as error:
        yield from (Check("fail", problem) for problem in error.problems)
        return
    try:
        options_in(name, node)
        for what in LITERALS:
            declared_in(node, what)
    except ConfigError as error:
        yield Check("note", f"{path}: {error}")


def _attack_checks(path: Path, node: Declared) -> Iterator[Check]:
    try:
        check_attack(path, node)
    except ConfigError as error:
        # No other attack is disturbed by it.
        yield from (Check("note", problem) for problem in error.problems)


def _export_checks(name: str, folder: Path) -> Iterator[Check]:
    try:
        standalone(name, {}, models=folder)
    except (BenchError, ImportError) as error:
        yield Check("note", str(error), "`python -m bench export` would refuse it")


def ask_torch() -> Torch:
    """Return what torch says, also where it is missing or broken."""
    try:
        import torch

        device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
        return Torch(cuda=torch.version.cuda, device=device)
    except Exception as error:  # whatever a broken package raises
        return Torch(error=" ".join(str(error).split()))


def ask_driver() -> tuple[str, str] | None:
    """Return version and first device of the NVIDIA driver; None where there is none."""
    found = nvidia_smi("driver_version", "name")
    return (found[0][0], found[0][1]) if found else None


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))

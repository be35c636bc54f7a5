"""Which package AutoAttack comes from: the only place that knows both names and both signatures.

Git's ``autoattack`` is the one that RobustBench names. PyPI's ``pyautoattack`` is the same attacks
under another module name, called in another way. The rest of the suite sees git's signature.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from bench.runtime.errors import BenchError


def installed() -> tuple[str, str]:
    """Return the package that gives the attacks and its version, such as ("autoattack", "0.1").

    Git's version never moved from 0.1, so the commit is added where pip recorded it.

    Raises
    ------
    BenchError
        Neither package is installed.
    """
    # RobustBench from PyPI brings pyautoattack along, so git's is there only if someone chose it.
    for name in ("autoattack", "pyautoattack"):
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        commit = origin.get("vcs_info", {}).get("commit_id")
        return name, f"{found.version} ({commit[:7]})" if commit else found.version
    raise BenchError(
        "AutoAttack is not installed: install pyautoattack, or autoattack at the commit that"
        " environment.yml names"
    )


def source() -> str:
    """Return what a record says of the attacks' origin, such as "pyautoattack 0.2.0"."""
    return " ".join(installed())


def provide() -> ModuleType:
    """Return the module ``autoattack`` with git's signature, made from pyautoattack if need be.

    RobustBench imports this name but depends on pyautoattack. Afterwards ``import robustbench``
    works; calling it again changes nothing.

    Raises
    ------
    BenchError
        Neither package is installed.
    """
    if "autoattack" in sys.modules or installed()[0] == "autoattack":
        return importlib.import_module("autoattack")
    module = ModuleType("autoattack", "pyautoattack under the name and signature of git's package.")
    for name in ("checks", "state"):
        part = importlib.import_module(f"pyautoattack.{name}")
        setattr(module, name, part)
        sys.modules[f"autoattack.{name}"] = part
    module.__spec__ = ModuleSpec("autoattack", None, is_package=True)
    module.__dict__.update(AutoAttack=_with_old_signature(), __path__=[])
    sys.modules["autoattack"] = module
    return module


def _with_old_signature() -> type:
    reference: Any = importlib.import_module("pyautoattack").AutoAttack

    class AutoAttack(reference):  # type: ignore[misc]
        """pyautoattack's AutoAttack, called as git's package is."""

        def __init__(
            self,
            model: nn.Module,
            norm: str = "Linf",
            eps: float = 0.3,
            seed: int | None = None,
            verbose: bool = True,
            attacks_to_run: Sequence[str] = (),
            version: str = "standard",
            is_tf_model: bool = False,
            device: torch.device | str = "cuda",
            log_path: str | Path | None = None,
        ) -> None:
            if is_tf_model:
                raise BenchError("pyautoattack has no TensorFlow models: install git's autoattack")
            where: dict[str, Any] = {"device": device, "version": version}
            attacks = list(attacks_to_run) or None
            super().__init__(model, attacks=attacks, eps=eps, norm=norm, seed=seed, **where)
            self.verbose = verbose
            self.logger = Logger(lambda text: _print(text, log_path))
            self.apgd.logger = self.apgd_targeted.logger = self.logger

        def run_standard_evaluation(
            self,
            x_orig: Tensor,
            y_orig: Tensor,
            bs: int = 250,
            return_labels: bool = False,
            state_path: Path | None = None,
        ) -> Any:
            found = super().run_standard_evaluation(
                x_orig, y_orig, batch_size=bs, state_path=state_path
            )
            return found if return_labels else found[0]

    return AutoAttack


class Logger:
    """The logger of either package: git's calls `log`, pyautoattack the names of `logging`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.log = self.info = say

    def warning(self, text: str) -> None:
        """Say it as git's package does, so that both are heard alike."""
        self.log(f"Warning: {text}")

    def debug(self, text: str) -> None:
        """Say what git's package would also have said."""
        # pyautoattack announces every component, also when told not to be verbose.
        if not text.startswith(("running ", "no robust datapoints")):
            self.log(text)


def _print(text: str, path: str | Path | None) -> None:
    print(text)
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text + "\n")

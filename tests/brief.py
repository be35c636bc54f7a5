"""AutoAttack as it is installed, with fewer steps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bench.attacks import autoattack


def brief_autoattack(patch: pytest.MonkeyPatch, **steps: dict[str, int]) -> Any:
    """Let AutoAttack's components take few steps; return the class that is called.

    `steps` names attributes of components, as in ``fab={"n_iter": 2}``.
    """
    package = autoattack.provide()

    class Brief(package.AutoAttack):  # type: ignore[misc, name-defined]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for component, values in steps.items():
                for name, value in values.items():
                    setattr(getattr(self, component), name, value)

    fake = SimpleNamespace(AutoAttack=Brief, checks=package.checks)
    patch.setattr(autoattack, "provide", lambda: fake)
    return Brief

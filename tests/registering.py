"""The attack of docs/new-attack.md, registered for a test as a user's file would be."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.attacks import base
from bench.config import attack_options

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "new-attack.md"


def blocks(start: str) -> list[str]:
    """Return the Python of the document that begins with `start`."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.findall(rf"^```python\n({start}.*?)^```", text, re.MULTILINE | re.DOTALL)


@contextmanager
def registered_mine(folder: Path) -> Iterator[str]:
    """Yield the name of the document's attack, which is registered beside those of the suite."""
    with pytest.MonkeyPatch.context() as patch:
        for name in attack_options.attack_names():
            shutil.copy(attack_options.FOLDER / f"{name}.py", folder)
        (source,) = blocks('"""')
        (folder / "mine.py").write_text(source)
        package = sys.modules["bench.attacks"]
        patch.setattr(package, "__path__", [*package.__path__, str(folder)])
        patch.setattr(attack_options, "FOLDER", folder)
        patch.setattr(base, "_ATTACKS", dict(base._ATTACKS))
        _forget()
        yield "mine"
    _forget()
    sys.modules.pop("bench.attacks.mine", None)


def _forget() -> None:
    for name in ("attack_names", "attack_options", "attack_declares", "attack_about"):
        getattr(attack_options, name).cache_clear()

"""What an evaluation need not make again: finished attacks, and an attack half-way.

Every file says all that its content depends on, in its name or inside, so a file of other weights,
images, settings, code or packages is never taken up.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.attacks.autoattack import AutoAttackState
from bench.attacks.base import SearchResult
from bench.runtime.errors import BenchError
from bench.runtime.files import appearing, read_json, write_text

KEY = "memloss-bench-autoattack"
EVERY = 30.0  # seconds between two writes within a component
Begun = TypeVar("Begun", AutoAttackState, SearchResult)


@dataclass(frozen=True)
class State:
    """The files that belong to one attack on one checkpoint."""

    folder: Path  # of what is half-way; `forget` removes it when the whole evaluation is written
    kept: Path  # of the finished attack; it stays, for an evaluation that asks for one more attack
    identity: str  # all that the per-example results depend on

    def unit(self, number: int) -> State:
        """Return the files of a unit of the attack, which depends on its number as well."""
        kept = self.kept.with_suffix("") / f"{number}.json"
        return State(self.folder, kept, f"{self.identity} unit {number}")

    def path(self, part: str) -> Path:
        """Return the file of `part` of the attack."""
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        return self.folder / f"{digest}-{part}.safetensors"

    def finished(self) -> dict[str, Any] | None:
        """Return what `finish` was given for this very identity, None where there is nothing."""
        try:
            found = read_json(self.kept)
            results: dict[str, Any] = found["results"]
            return results if found["identity"] == self.identity else None
        except (BenchError, KeyError, TypeError):
            return None

    def finish(self, results: dict[str, Any]) -> None:
        """Keep the per-example results of the finished attack, as what JSON can hold."""
        # Without write_json's indents, which would make it twice as large.
        write_text(self.kept, json.dumps({"identity": self.identity, "results": results}))

    @property
    def candidates(self) -> Path:
        """The file of the images that the finished attack found, for witnesses."""
        return self.kept.with_suffix(".safetensors")

    def begun(self, part: str, kind: type[Begun]) -> Begun | None:
        """Return where the attack was on `part` of the images, None where it had not begun."""
        try:
            with safe_open(self.path(part), framework="pt") as file:
                about = json.loads((file.metadata() or {})[KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return kind(**tensors, **{**about, "warnings": tuple(about["warnings"])})
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return None

    def keeper(self, part: str) -> Callable[[AutoAttackState | SearchResult], None]:
        """Return what the attack reports to after every batch; it writes now and then."""
        written = time.monotonic()

        def keep(result: AutoAttackState | SearchResult) -> None:
            nonlocal written
            if time.monotonic() - written >= EVERY:
                self.write(part, result)
                written = time.monotonic()

        return keep

    def write(self, part: str, result: AutoAttackState | SearchResult) -> None:
        """Keep where the attack is on `part` of the images."""
        fields = dict(vars(result))
        names = [name for name, value in fields.items() if isinstance(value, Tensor)]
        tensors = {
            name: fields.pop(name).detach().to("cpu", copy=True).contiguous() for name in names
        }
        with appearing(self.path(part)) as partial:
            save_file(tensors, partial, {KEY: json.dumps(fields)})


def forget(folder: Path) -> None:
    """Remove the state of an evaluation that is written, and its parent if that is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()

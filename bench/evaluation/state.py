"""What an interrupted evaluation needs to go on: finished attacks, and AutoAttack half-way.

Every file's name carries a digest of all that its content depends on, so a file of other weights,
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
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bench.attacks.autoattack import AutoAttackVerdict
from bench.parsing import BenchError
from bench.records import appearing, read_json, write_json

KEY = "memloss-bench-autoattack"
TENSORS = ("adversarial", "clean", "robust")
EVERY = 30.0  # seconds between two writes within a component


@dataclass(frozen=True)
class State:
    """The files in `folder` that belong to one attack on one checkpoint.

    Parameters
    ----------
    folder
        Removed with `forget` when the whole evaluation is written.
    identity
        Text of all that the attack's verdicts depend on.
    """

    folder: Path
    identity: str

    def path(self, part: str, suffix: str) -> Path:
        """Return the file of `part` of the attack."""
        digest = hashlib.sha256(self.identity.encode()).hexdigest()[:16]
        return self.folder / f"{digest}-{part}{suffix}"

    def finished(self) -> dict[str, Any] | None:
        """Return what `finish` was given, None where the attack was not finished."""
        try:
            verdicts: dict[str, Any] = read_json(self.path("finished", ".json"))
        except BenchError:
            return None
        return verdicts

    def finish(self, verdicts: dict[str, Any]) -> None:
        """Keep the verdicts of the finished attack, as what JSON can hold."""
        write_json(self.path("finished", ".json"), verdicts)

    def begun(self, part: str) -> AutoAttackVerdict | None:
        """Return where AutoAttack was on `part` of the images, None where it had not begun."""
        try:
            with safe_open(self.path(part, ".safetensors"), framework="pt") as file:
                about = json.loads((file.metadata() or {})[KEY])
                tensors = {name: file.get_tensor(name) for name in TENSORS}
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        return AutoAttackVerdict(**tensors, **{**about, "warnings": tuple(about["warnings"])})

    def keeper(self, part: str) -> Callable[[AutoAttackVerdict], None]:
        """Return what AutoAttack reports to after every batch; it writes now and then."""
        written = time.monotonic()

        def keep(verdict: AutoAttackVerdict) -> None:
            nonlocal written
            if time.monotonic() - written >= EVERY:
                self.write(part, verdict)
                written = time.monotonic()

        return keep

    def write(self, part: str, verdict: AutoAttackVerdict) -> None:
        """Keep where AutoAttack is on `part` of the images."""
        fields = dict(vars(verdict))
        tensors = {
            name: fields.pop(name).detach().to("cpu", copy=True).contiguous() for name in TENSORS
        }
        with appearing(self.path(part, ".safetensors")) as partial:
            save_file(tensors, partial, {KEY: json.dumps(fields)})


def forget(folder: Path) -> None:
    """Remove the state of an evaluation that is written, and its parent if that is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()

"""How a record differs from its config, and how to make it again. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config.parsing import plain
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.places import SNAKEMAKE

ELSE = "or give the changed config another name under `experiment`"


def differences(now: Any, then: Any) -> list[str]:
    """Return the dotted keys that have another value in `then`, or are in one of the two alone.

    Both are dataclasses or mappings; the order is that of the keys of `now`.
    """
    ours, theirs, absent = flat(now), flat(then), object()
    return [key for key in {**ours, **theirs} if ours.get(key, absent) != theirs.get(key, absent)]


def listed(keys: list[str]) -> str:
    """Return the first few keys as a sentence names them."""
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more keys"


def remake(path: Path) -> str:
    """Return how to make the file `path` again, with all that follows from it."""
    command = f"{SNAKEMAKE} --forcerun {path}"
    return f"make it again with `{command}` and the --configfile of this experiment"


def check_digest(path: Path, digest: str | None, record: Path) -> None:
    """Raise BenchError unless `path` is there, with the SHA-256 that its `record` has."""
    if not path.is_file():
        raise BenchError(f"{path}: missing; {remake(record)}")
    if sha256(path) != digest:
        raise BenchError(f"{path}: changed since its record was written; {remake(record)}")


def flat(value: Any) -> dict[str, Any]:
    """Return the values of a dataclass or mapping by dotted key; lists are values."""
    return _flat(plain(value))


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat

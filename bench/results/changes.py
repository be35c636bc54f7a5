"""Where the settings that a record was made under are not those of the config.

Standard library only: what is planned or compared must not wait for torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bench.config.experiment import Data, DiagnosticsSpec, EvaluationSpec, TrainSpec, spec_json

ELSE = "or give the changed config another name under `experiment`"
# Keys of the section `data` that records of before have not, with the value that changes nothing.
ADDED = {"allow_duplicate_files": False}


def changes(spec: TrainSpec | EvaluationSpec | DiagnosticsSpec | Data, recorded: Any) -> list[str]:
    """Return the dotted keys in which a record's spec is not `spec`, in the order of the keys."""
    now = json.loads(json.dumps(spec_json(spec)))
    if isinstance(spec, Data) and isinstance(recorded, Mapping):
        recorded = {**ADDED, **recorded}
    return differences(now, recorded or {})


def differences(now: Mapping[str, Any], then: Any) -> list[str]:
    """Return the dotted keys that have another value in `then`, or are in one of the two alone."""
    ours, theirs, absent = _flat(now), _flat(then), object()
    return [key for key in {**ours, **theirs} if ours.get(key, absent) != theirs.get(key, absent)]


def listed(keys: list[str]) -> str:
    """Return the first few keys as a reader is told of them."""
    shown = ", ".join(keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more keys"


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat

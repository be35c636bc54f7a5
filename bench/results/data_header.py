"""What a data file says of itself. Standard library only: planning cannot import torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

KEY = "dataset"
LARGEST = 100_000_000  # bytes that the format allows a header


def header(path: Path) -> dict[str, Any]:
    """Return what `bench.data.dataset.save` wrote of the images; nothing of any other file."""
    try:
        with path.open("rb") as file:
            # A safetensors file begins with the length of its header, which is JSON.
            length = int.from_bytes(file.read(8), "little")
            found = json.loads(file.read(min(length, LARGEST)))
        said = json.loads(found["__metadata__"][KEY])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}

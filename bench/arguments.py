"""What several commands are given, and how it is read."""

from __future__ import annotations

import argparse
import json
from typing import Any


def json_value(text: str) -> Any:
    """Return what the JSON `text` holds."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error}), got {text!r}") from None


def positive(text: str) -> float:
    """Return the number that `text` is, if it is above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number

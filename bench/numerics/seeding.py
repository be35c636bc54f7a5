"""Named random streams: one seed, and a stream for each purpose that no other purpose can shift."""

from __future__ import annotations

import hashlib

import torch


def stream_seed(seed: int, *names: str | int) -> int:
    """Return the 63-bit seed of the stream `names` of the run `seed`."""
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *names: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator at the start of the stream `names` of the run `seed`."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, *names))

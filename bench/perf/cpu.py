"""What the processor is and whether it has bfloat16, as Linux tells. Standard library only."""

from __future__ import annotations

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# x86's two and Arm's. Without them a CPU computes in bfloat16 many times slower than in float32.
BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def processor() -> str:
    """Return the processor's name where the system tells it."""
    return _said("model name") or platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Return whether the processor has instructions for bfloat16; False where nothing tells."""
    return not BFLOAT16.isdisjoint(f"{_said('flags')} {_said('Features')}".split())


def _said(key: str) -> str:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((value.strip() for name, _, value in pairs if name.strip() == key), "")

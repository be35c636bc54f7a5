"""Numbers as files and sentences have them. Standard library only."""

from __future__ import annotations


def decimal(value: float, digits: int = 2, sign: str = "") -> str:
    """Return a number rounded to `digits`; "+" as `sign` marks all that is not negative."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # the sum turns -0.0 into 0.0


def eps_text(eps: float) -> str:
    """Return a radius as papers write it: "8/255" where it is one, else a decimal; 0 is "0"."""
    pixels = round(eps * 255)
    if abs(pixels / 255 - eps) > 1e-9:
        return f"{eps:.10g}"
    return f"{pixels}/255" if pixels else "0"

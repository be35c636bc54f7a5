"""The commands that make a file again. Standard library only."""

from __future__ import annotations

from pathlib import Path


def remake(path: Path) -> str:
    """Return how to make a record again, with all that follows from it."""
    return (
        f"make it again with `snakemake --cores all --forcerun {path}` and the --configfile of "
        "this experiment"
    )


def retrain(path: Path) -> str:
    """Return how to train the run of a record again."""
    return remake(path)

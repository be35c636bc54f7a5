"""The order in which readers meet attacks and checkpoints. Standard library only."""

from __future__ import annotations

from bench.config.schema import CHECKPOINTS


def attack_order(attack: str) -> tuple[int, str]:
    """Return a sort key: clean, PGD-20, AutoAttack, then others by name, the worst case last."""
    named = ("clean", "pgd20", "autoattack")
    place = len(named) + (attack == "worst_case")
    return (named.index(attack) if attack in named else place, attack)


def checkpoint_order(checkpoint: str) -> tuple[int, str]:
    """Return a sort key: best, then last, then others by name."""
    known = checkpoint in CHECKPOINTS
    return (CHECKPOINTS.index(checkpoint) if known else len(CHECKPOINTS), checkpoint)

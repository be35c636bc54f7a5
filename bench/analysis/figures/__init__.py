"""Figures of one experiment: the frontier, the learning curves, what each attack broke."""

from bench.analysis.figures.draw import draw

__all__ = ["draw"]

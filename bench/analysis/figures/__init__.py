"""Figures of one experiment: the frontier, the learning curves, what each attack broke."""

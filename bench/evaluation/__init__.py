"""Verdicts on saved weights, one per test image, checkpoint and attack."""

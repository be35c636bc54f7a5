"""Per-example results of saved weights, one per test image, checkpoint and attack."""

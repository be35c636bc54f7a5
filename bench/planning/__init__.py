"""What an experiment will cost, whether this machine can run it, and which results are stale."""

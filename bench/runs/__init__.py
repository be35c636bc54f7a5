"""What the runs of an experiment left behind, read for whatever is made of it."""

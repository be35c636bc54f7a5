"""Images: where they come from, how they are split, cropped and kept for the next epoch."""

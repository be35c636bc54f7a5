"""A benchmark of training steps and attacks: how much faster one engine is than another, here."""

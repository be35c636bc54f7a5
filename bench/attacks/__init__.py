"""White-box L-infinity attacks; each leaves the model as it found it."""

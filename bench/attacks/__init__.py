"""L-infinity attacks; each leaves the networks as it found them."""

"""One loop that trains every method."""

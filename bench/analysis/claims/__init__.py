"""What papers claim, as data, and a verdict on each claim; docs/claims.md."""

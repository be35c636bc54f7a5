"""Files, locks, signals, out-of-memory and provenance: nothing here decides a number."""

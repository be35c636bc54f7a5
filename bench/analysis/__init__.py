"""From per-example results to summary, tables and figures; needs no torch."""

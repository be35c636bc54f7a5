"""From verdicts to summary, tables and figures; needs no torch."""

"""report.html: one self-contained page of an experiment, from its CSV and JSON files alone."""

"""report.html: all results of an experiment on one page that needs no network."""

"""Every figure of an experiment: its data from frames, drawn for paper and for the page.

Figures are written to files only, so a backend of a notebook or a desktop is of no use here. One
that MPLBACKEND names and that is not installed would end the import of matplotlib.
"""

import os

os.environ["MPLBACKEND"] = "agg"

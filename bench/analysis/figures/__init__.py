"""Every figure of an experiment, drawn into files from what lies on disk.

No window is opened, so matplotlib has no use for the backend of a notebook or a desktop. One that
MPLBACKEND names and that is not installed would end the import of matplotlib, after all training.
"""

import os

os.environ["MPLBACKEND"] = "agg"

"""Where files lie: the suite's own in its checkout, a user's below the working directory.

Standard library only: the process that plans the workflow calls it.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def of_suite(name: str) -> Path:
    """Return a file of the suite, such as config/claims/memloss.yaml, wherever a command is called.

    In the checkout itself it is `name`, which is shorter to read.
    """
    try:
        here = os.path.samefile(os.curdir, ROOT)
    except OSError:  # the working directory was deleted
        here = False
    return Path(name) if here else ROOT / name


def expanded(text: str) -> Path:
    """Return the path that a user wrote, with the home folder in place of a leading "~".

    Shells do so only at the beginning of a word, and YAML never. Environment variables are left
    alone, and so is a "~name" of nobody here: a folder may have that name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)

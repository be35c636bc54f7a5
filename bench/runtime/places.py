"""Where files lie: the suite's in its checkout or package, a user's below the working directory.

Standard library only: the process that plans the workflow calls it.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
# A wheel carries here what lies beside the package in the checkout.
CARRIED = PACKAGE / "_suite"
INSTALLED = CARRIED.is_dir()
ROOT = CARRIED if INSTALLED else PACKAGE.parent
# How a package that is missing gets here.
INSTALL = (
    "install memloss-bench with the extra that has it: [analysis] for results, [train] for "
    "networks, [workflow] for Snakemake"
    if INSTALLED
    else "`make demo` builds .venv with it"
)
SNAKEMAKE = (
    f"snakemake --cores all -s {ROOT / 'Snakefile'}" if INSTALLED else "snakemake --cores all"
)


def of_suite(name: str) -> Path:
    """Return a file of the suite, such as config/claims/memloss.yaml, wherever a command is called.

    In the checkout itself it is `name`, which is shorter to read.
    """
    try:
        here = os.path.samefile(os.curdir, ROOT)
    except OSError:  # the working directory was deleted
        here = False
    return Path(name) if here else ROOT / name


def config_file(text: str) -> Path:
    """Return the config that a user named: a file of theirs, or else one of the suite.

    The suite's are found as config/digits.yaml or digits.yaml, wherever a command is called.
    """
    path = expanded(text)
    ours = (of_suite(name) for name in (text, f"config/{text}"))
    return path if path.exists() else next(filter(Path.is_file, ours), path)


def expanded(text: str) -> Path:
    """Return the path that a user wrote, with the home folder in place of a leading "~".

    Shells do so only at the beginning of a word, and YAML never. Environment variables are left
    alone, and so is a "~name" of nobody here: a folder may have that name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)

"""A stand-in for conda: what Snakemake 9 asks of it, with the environment of these tests as result.

    conda --version | info --json | config --get channel_priority --json
    conda env create ... --file FILE --prefix FOLDER
    conda clean ...
    source BASE/bin/activate FOLDER

The file of every environment that is asked for is kept in `created` beside `bin`.
"""

from __future__ import annotations

import sys
from pathlib import Path

CONDA = """#!{python}
import json, sys
from pathlib import Path

base = Path(__file__).parents[1]
given = sys.argv[1:]
if given == ["--version"]:
    print("conda 25.9.1")
elif given == ["info", "--json"]:
    print(json.dumps({{"conda_prefix": str(base), "platform": "linux-64"}}))
elif given == ["config", "--get", "channel_priority", "--json"]:
    print(json.dumps({{"get": {{"channel_priority": "strict"}}}}))
elif given[:1] == ["clean"]:
    pass  # nothing is kept
elif given[:2] == ["env", "create"]:
    named = dict(zip(given, given[1:]))
    python = Path(named["--prefix"], "bin", "python")
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\\nexec {python} "$@"\\n')
    python.chmod(0o755)
    with (base / "created").open("a") as file:
        file.write(Path(named["--file"]).read_text() + "\\0")
else:
    sys.exit(f"unknown to this stand-in: conda {{' '.join(given)}}")
"""
ACTIVATE = 'export CONDA_PREFIX="$1" PATH="$1/bin:$PATH"\n'


class Conda:
    """The stand-in, in a folder of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.bin = base / "bin"
        self.bin.mkdir(parents=True)
        (self.bin / "activate").write_text(ACTIVATE)
        (self.bin / "conda").write_text(CONDA.format(python=sys.executable))
        (self.bin / "conda").chmod(0o755)

    def created(self) -> list[str]:
        """Return the texts of the files of which environments were made."""
        path = self.base / "created"
        return path.read_text().split("\0")[:-1] if path.exists() else []

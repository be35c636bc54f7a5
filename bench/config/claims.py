"""The files of what papers claim, one a paper: which of them an experiment is held against.

Standard library and PyYAML only: the process that plans the workflow asks too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.config.loading import read_yaml
from bench.config.parsing import nearest
from bench.runtime.errors import ConfigError
from bench.runtime.places import of_suite


def claim_files(methods: Iterable[str], names: Sequence[str] | None = None) -> list[Path]:
    """Return the files of config/claims that an experiment is held against.

    Parameters
    ----------
    methods
        The registered methods of the experiment.
    names
        Of the files, such as "memloss"; None: every paper that proposes one of the methods.

    Raises
    ------
    ConfigError
        There is no file of such a name, or a name is there twice.
    """
    known = {path.stem: path for path in sorted(of_suite("config/claims").glob("*.yaml"))}
    if names is None:
        asked = set(methods)
        return [path for path in known.values() if asked & set(proposed(path))]
    for name in names:
        if name not in known:
            raise ConfigError(f"claims: {name!r} is unknown; {nearest(name, known)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"claims: {list(names)} names a file twice; name each once")
    return [known[name] for name in names]


def proposed(path: Path) -> tuple[str, ...]:
    """Return the registered methods that the paper of a file of claims proposes."""
    raw = read_yaml(path, flag="--claims")
    return tuple(map(str, raw.get("proposes") or ())) if isinstance(raw, dict) else ()

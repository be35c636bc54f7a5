"""A YAML file as a typed experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import config
from bench.config import Experiment
from bench.parsing import BenchError


def read_config(path: Path) -> Experiment:
    """Return the experiment of a YAML file.

    Raises
    ------
    BenchError
        The file cannot be read or is not YAML, or a key is wrong.
    """
    return config.experiment(read_yaml(path, flag="--config"))


def is_experiment(path: Path) -> bool:
    """Say whether a YAML file is an experiment; claims.yaml beside them is none.

    Raises
    ------
    BenchError
        The file cannot be read or is not YAML.
    """
    raw = read_yaml(path, flag="--config")
    return isinstance(raw, Mapping) and "experiment" in raw


def read_yaml(path: Path, *, flag: str) -> Any:
    """Return the content of a YAML file, which the user named by `flag`.

    Raises
    ------
    BenchError
        The file cannot be read or is not YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"{flag} {path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BenchError(f"{flag} {path}: not YAML ({error})") from None

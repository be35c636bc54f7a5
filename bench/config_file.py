"""A YAML file as a typed experiment."""

from __future__ import annotations

from pathlib import Path

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
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"--config {path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BenchError(f"--config {path}: not YAML ({error})") from None
    return config.experiment(raw)

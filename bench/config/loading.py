"""A YAML file as a typed experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config import experiment as config
from bench.config.experiment import Experiment
from bench.runtime.errors import BenchError


def read_config(path: Path) -> Experiment:
    """Return the experiment of a YAML file.

    Raises
    ------
    BenchError
        The file cannot be read or is not YAML, or a key is wrong.
    """
    content = read_yaml(path, flag="--config")
    if not isinstance(content, Mapping):
        raise BenchError(
            f"--config {path}: expected keys and values, got {content!r}; name a config, such as "
            "config/digits.yaml"
        )
    return config.experiment(content)


def is_experiment(path: Path) -> bool:
    """Say whether a YAML file is an experiment; a file of claims is none.

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
        The file cannot be read or is not YAML, or a mapping has a key twice.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        twice = _twice(yaml.compose(text, Loader=yaml.SafeLoader))
        content = yaml.safe_load(text)
    except OSError as error:
        raise BenchError(
            f"{flag} {path}: cannot be read ({error.strerror}); name a file that can"
        ) from None
    except UnicodeDecodeError as error:
        raise BenchError(f"{flag} {path}: not YAML ({error}); save it as UTF-8 text") from None
    except yaml.YAMLError as error:
        # The reader was given text, and does not know of the file.
        said = str(error).replace('"<unicode string>", ', "")
        raise BenchError(f"{flag} {path}: not YAML ({said}); correct it there") from None
    if twice:
        raise BenchError(f"{flag} {path}: {twice}")
    return content


def _twice(root: Any) -> str:
    """Return what to say of the first key that a mapping has twice, empty where there is none.

    The reader itself keeps the last of them and drops the others without a word.
    """
    import yaml

    waiting, seen = [("", root)], set[int]()
    while waiting:
        prefix, node = waiting.pop(0)
        # An alias leads to a node a second time.
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{prefix}[{i}]", item) for i, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            continue
        lines: dict[tuple[str, str], int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            dotted = f"{prefix}.{key.value}" if prefix else key.value
            line = key.start_mark.line + 1
            first = lines.get((key.tag, key.value))
            if first is not None:
                return (
                    f"line {line}: the key {dotted} is in line {first} already; rename or remove "
                    "one of the two"
                )
            lines[key.tag, key.value] = line
            waiting.append((dotted, value))
    return ""

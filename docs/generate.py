"""Write the generated parts of the documents, between their markers: ``make docs``.

docs/config.md comes from the schema of the configuration, docs/results.md from the columns and the
flags, docs/open-choices.md from the list that the report shows as well.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.analysis.report.choices import choices
from bench.config import schema
from bench.config.attack_options import attack_about, attack_names, attack_options
from bench.config.method_options import REQUIRED, Option, method_names, method_options
from bench.config.parsing import Label
from bench.results import columns, flags
from bench.results.tables import Table

DOCS = Path(__file__).parent
SECTIONS = {
    "data": schema.Data,
    "model": schema.Model,
    "threat": schema.Threat,
    "compute": schema.Compute,
    "training": schema.Training,
    "evaluation": schema.Evaluation,
    "evaluation.pgd.<name>": schema.Pgd,
    "evaluation.autoattack": schema.AutoAttack,
    "evaluation.attacks.<label>": schema.RegisteredAttack,
    "diagnostics": schema.Diagnostics,
    "reference": schema.Reference,
    "networks.<label>": schema.Network,
}
CSV_FILES = {
    "summary.csv": columns.SUMMARY,
    "costs.csv": columns.COSTS,
    "statistics.csv": columns.STATISTICS,
    "claims.csv": columns.CLAIMS,
    "ablations.csv": columns.ABLATIONS,
    "models/<method>/seed<k>/history.csv": columns.HISTORY,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def config() -> str:
    """Return every key of every section."""
    parts = []
    for name, kind in SECTIONS.items():
        rows = [(f"`{name}.{key}`", default, about) for key, default, about in _keys(kind)]
        parts.append(table(("key", "default", "meaning"), rows))
    return "\n\n".join(parts)


def _keys(kind: Any, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    types = get_type_hints(kind)
    for part in fields(kind):
        about = part.metadata.get("about", "")
        inner = types[part.name]
        # Options stand beside the other keys of an attack.
        key = f"{prefix}{'<option>' if part.name == 'options' else part.name}"
        if is_dataclass(inner):
            yield key, "needed" if part.default_factory is MISSING else "its defaults", about
            yield from _keys(inner, f"{key}.")
        elif shown := part.metadata.get("shown"):
            yield key, shown, about
        elif part.default_factory is dict or inner in _own_section():
            yield key, "none", about
        else:
            yield key, _default(part), about
            for kind in filter(is_dataclass, get_args(inner)):
                yield from _keys(kind, f"{key}.")


def _own_section() -> list[Any]:
    return [schema.AutoAttack | None]


def _default(part: Field[Any]) -> str:
    if part.default is MISSING:
        return "needed"
    return _value(part.default)


def _value(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    if isinstance(value, tuple):
        shown = f"[{', '.join(map(str, value))}]"
    else:
        shown = words[value] if isinstance(value, bool | NoneType) else str(value)
    return f"`{shown}`"


def methods() -> str:
    """Return the options of every method."""
    return _options("method", {name: method_options(name) for name in method_names()})


def attacks() -> str:
    """Return the options of every registered attack, and what each is."""
    known = {name: attack_options(name) for name in attack_names()}
    about = table(("attack", "what it is"), [(f"`{name}`", attack_about(name)) for name in known])
    return f"{about}\n\n{_options('attack', known)}"


def _options(what: str, known: Mapping[str, Mapping[str, Option]]) -> str:
    rows = []
    for name, options in known.items():
        for option, (kind, default) in options.items():
            shown = "needed" if default is REQUIRED else _value(default)
            rows.append((f"`{name}`", f"`{option}`", shown, _values(kind)))
    return table((what, "option", "default", "values"), rows)


PLAIN = {bool: "`true`, `false`", int: "a whole number", float: "a number", str: "text"}


def _values(kind: Any) -> str:
    """Return what an option may be."""
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    if kind in PLAIN:
        return PLAIN[kind]
    inner = [one for one in get_args(kind) if one is not NoneType]
    if get_origin(kind) in (Union, UnionType):
        return f"{_values(inner[0])}; `null`: as its file says"
    return "the label of a method" if kind is Label else inner[1].expected


def csv_columns() -> str:
    """Return the columns of every CSV file."""
    return "\n\n".join(f"### {name}\n\n{_columns(file)}" for name, file in CSV_FILES.items())


def _columns(file: Table) -> str:
    rows = [(f"`{name}`", column.about) for name, column in file.columns.items()]
    return table(("column", "meaning"), rows)


def meanings() -> str:
    """Return the flags of a result."""
    rows = [(f"`{flag}`", text) for flag, text in flags.MEANINGS.items()]
    rows.append((f"`{flags.DIAGNOSTICS}<check>`", flags.meaning(f"{flags.DIAGNOSTICS}<check>")))
    return table(("flag", "meaning"), rows)


def open_choices() -> str:
    """Return what the paper leaves open."""
    rows = [(entry.open, entry.default.strip(), entry.alternatives.strip()) for entry in choices()]
    return table(("open", "default", "alternatives, each a config key"), rows)


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "config.md": {"keys": config, "methods": methods, "attacks": attacks},
    "results.md": {"columns": csv_columns, "flags": meanings},
    "open-choices.md": {"choices": open_choices},
}


def generated(name: str) -> str:
    """Return the text of the document `name` with its generated parts as they should be."""
    text = (DOCS / name).read_text(encoding="utf-8")
    for part, make in PARTS[name].items():
        begin, end = f"<!-- generated: {part} -->", f"<!-- end: {part} -->"
        found = re.search(f"{begin}.*?{end}", text, re.DOTALL)
        assert found, f"{name} lacks {begin}"
        text = text.replace(found[0], f"{begin}\n\n{make()}\n\n{end}")
    return text


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for document in PARTS:
        (DOCS / document).write_text(generated(document), encoding="utf-8")

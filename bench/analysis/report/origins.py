"""Where every number comes from: weights, code, packages, device and attack; and how to cite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.analysis.figures.known import Known
from bench.analysis.labels import attack_name, attack_order, checkpoint_order
from bench.analysis.report.grid import ABSENT, Cell, Column, Grid, Line, chosen_from
from bench.analysis.report.material import Material, look
from bench.runtime.errors import BenchError

SHORT = 12


@dataclass(frozen=True)
class Reference:
    """A work to cite; `url` may be empty."""

    text: str
    url: str


def networks_grid(material: Material, known: Known) -> Grid:
    """Return what every network that was judged came from."""
    judged: dict[tuple[str, str, str], Mapping[str, str]] = {}
    for row in material.ours:
        judged.setdefault((row["method"], row["seed"], row["checkpoint"]), row)
    lines = []
    for (method, seed, checkpoint), row in sorted(
        judged.items(),
        key=lambda item: (
            known.order.index(item[0][0]),
            int(item[0][1]),
            checkpoint_order(item[0][2]),
        ),
    ):
        trained = material.trained.get((method, int(seed)), {})
        evaluated = material.judged.get((method, int(seed)), {})
        lines.append(
            Line(
                [
                    Cell(known.names[method]),
                    Cell(seed, int(seed)),
                    Cell(checkpoint),
                    _text(look(trained, f"checkpoints.{checkpoint}.epoch")),
                    _digest(row["weights_sha256"]),
                    _digest(look(trained, "code_digest")),
                    _digest(row["code_digest"]),
                    _digest(look(trained, "data.fingerprint")),
                    _text(f"{row['precision']}, {row['engine']}, tf32 {row['tf32']}"),
                    _text(look(trained, "device")),
                    _text(look(evaluated, "device")),
                ],
                {"method": method},
            )
        )
    return Grid(
        name="networks",
        caption="Every network: its weights, and the code, images and device behind it.",
        columns=[
            Column("Method"),
            Column("Seed", True),
            Column("Checkpoint"),
            Column("Epoch", True),
            Column("Weights, SHA-256"),
            Column("Training code"),
            Column("Judging code"),
            Column("Images"),
            Column("Trained in"),
            Column("Trained on"),
            Column("Judged on"),
        ],
        lines=lines,
        filters=[chosen_from("method", "Method", lines, known.names)],
        notes=[
            f"Digests are shortened to {SHORT} digits, and whole on hover; those of weights and of "
            "the judging code are in summary.csv, all others in train.json."
        ],
    )


def attacks_grid(material: Material) -> Grid:
    """Return which package, seed and settings gave the verdicts of each attack."""
    found: dict[tuple[str, ...], None] = {}
    keys = ("attack", "attack_source", "attack_seed", "eps", "n")
    for row in sorted(material.ours, key=lambda row: attack_order(row["attack"])):
        found[(*(row[key] for key in keys), row.get("attack_engine", ""))] = None
    return Grid(
        name="attacks",
        caption="Every attack: who made it, its seed, radius and images.",
        columns=[
            Column("Attack"),
            Column("Source"),
            Column("Seed", True),
            Column("ε", True),
            Column("Images", True),
            Column("Searched with"),
        ],
        lines=[
            Line([Cell(attack_name(attack)), *(Cell(text or ABSENT) for text in rest)])
            for attack, *rest in found
        ],
        notes=["The verdict on every image found is the network's own, in float32 without TF32."],
    )


def package_sets(material: Material) -> list[str]:
    """Return the versions of packages that the runs were made with, each set once."""
    sets: dict[str, None] = {}
    for what, records in (("trained", material.trained), ("judged", material.judged)):
        for record in records.values():
            packages = look(record, "packages")
            if isinstance(packages, Mapping):
                versions = ", ".join(f"{name} {version}" for name, version in packages.items())
                sets[f"{what} with {versions}"] = None
    return list(sets)


def citation(path: Path) -> list[Reference] | None:
    """Return what to cite, this suite first; None where CITATION.cff is missing.

    Raises
    ------
    BenchError
        The file is not what a CITATION.cff is.
    """
    if not path.is_file():
        return None
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [_reference(told), *map(_reference, told.get("references", ()))]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
        raise BenchError(
            f"{path}: it is no CITATION.cff with title and authors; restore it from the repository"
        ) from None


def _reference(told: Mapping[str, Any]) -> Reference:
    authors = [str(author.get("family-names") or author["name"]) for author in told["authors"]]
    by = f"{authors[0]} et al" if len(authors) > 2 else " and ".join(authors)
    version = f"Version {told['version']}" if "version" in told else ""
    year = "" if "conference" in told else told.get("year", "")
    where = (look(told, "conference.name"), told.get("notes"), version, year)
    parts = [by, told["title"], *where]
    return Reference(". ".join(str(part) for part in parts if part) + ".", str(told.get("url", "")))


def _digest(value: Any) -> Cell:
    if not value:
        return Cell(ABSENT)
    return Cell(str(value)[:SHORT], title=str(value), style="digest")


def _text(value: Any) -> Cell:
    return Cell(ABSENT if value is None else str(value), value if isinstance(value, int) else "")

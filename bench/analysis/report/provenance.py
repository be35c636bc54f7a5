"""Where every number comes from: weights, code, packages, device and attack; and how to cite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.analysis.names import attack_name
from bench.analysis.plots.context import Context
from bench.analysis.report.grid import ABSENT, Cell, Column, Filter, Grid, known, make_grid, whole
from bench.analysis.report.tables import method_names
from bench.results.order import attack_order, checkpoint_order
from bench.results.text import eps_text

SHORT = 12


@dataclass(frozen=True)
class Citation:
    """A work to cite; `url` may be empty."""

    text: str
    url: str


def networks_grid(context: Context) -> Grid:
    """Return what every network that was evaluated came from."""
    results, names = context.results, method_names(context)
    frame = results.ours.drop_duplicates(["method", "seed", "checkpoint"])
    frame = frame.assign(order=frame["checkpoint"].map(checkpoint_order))
    frame = context.ordered(frame.sort_values("order", kind="stable"))

    def trained(row: Any) -> Any:
        return results.trainings.get((row.method, int(row.seed)))

    def epoch(row: Any) -> Cell:
        record = trained(row)
        found = record.checkpoints.get(row.checkpoint) if record else None
        return whole(found.epoch if found else None)

    def evaluated_on(row: Any) -> str:
        record = results.evaluations.get((row.method, int(row.seed)))
        return record.device if record else ABSENT

    return make_grid(
        frame,
        "networks",
        "Every network: its weights, and the code, images and device behind it.",
        [
            Column("Method", lambda row: names[row.method]),
            Column("Seed", lambda row: whole(row.seed), numeric=True),
            Column("Checkpoint", lambda row: row.checkpoint),
            Column("Epoch", epoch, numeric=True),
            Column("Weights, SHA-256", lambda row: _digest(row.weights_sha256)),
            Column("Training code", lambda row: _digest(getattr(trained(row), "code_digest", ""))),
            Column("Evaluation code", lambda row: _digest(row.code_digest)),
            Column(
                "Images", lambda row: _digest(r.data.fingerprint if (r := trained(row)) else "")
            ),
            Column("Trained in", _trained_in),
            Column("Trained on", lambda row: getattr(trained(row), "device", ABSENT)),
            Column("Evaluated on", evaluated_on),
        ],
        [Filter("method", "Method", names)],
        [
            f"Digests are shortened to {SHORT} digits, and whole on hover; those of weights and of "
            "the evaluation code are in summary.csv, all others in train.json."
        ],
    )


def _trained_in(row: Any) -> str:
    tf32 = str(bool(row.tf32)).lower() if known(row.tf32) else "unknown"
    return f"{row.precision}, {row.engine}, tf32 {tf32}"


def attacks_grid(context: Context) -> Grid:
    """Return which package, seed and settings gave the results of each attack."""
    columns = ["attack", "attack_source", "attack_seed", "eps", "n", "attack_engine"]
    frame = context.results.ours[columns].drop_duplicates()
    order = frame["attack"].map(attack_order)
    return make_grid(
        frame.assign(order=order).sort_values("order", kind="stable"),
        "attacks",
        "Every attack: who made it, its seed, radius and images.",
        [
            Column("Attack", lambda row: attack_name(row.attack)),
            Column("Source", lambda row: row.attack_source or ABSENT),
            Column("Seed", lambda row: whole(row.attack_seed), numeric=True),
            Column("ε", lambda row: Cell(eps_text(row.eps), float(row.eps)), numeric=True),
            Column("Images", lambda row: whole(row.n), numeric=True),
            Column("Searched with", lambda row: row.attack_engine or ABSENT),
        ],
        notes=[
            "The result on every adversarial image is the network's own, in float32 without TF32."
        ],
    )


def package_sets(context: Context) -> list[str]:
    """Return the versions of packages that the runs were made with, each set once."""
    sets: dict[str, None] = {}
    results = context.results
    records: Mapping[str, Mapping[Any, Any]] = {
        "trained": results.trainings,
        "evaluated": results.evaluations,
    }
    for what, by_run in records.items():
        for record in by_run.values():
            versions = ", ".join(f"{name} {version}" for name, version in record.packages.items())
            sets[f"{what} with {versions}"] = None
    return list(sets)


def citations(cff: Mapping[str, Any]) -> list[Citation]:
    """Return what to cite, this suite first.

    Raises
    ------
    AttributeError, KeyError, TypeError
        `cff` is not what a CITATION.cff holds.
    """
    return [_citation(cff), *map(_citation, cff.get("references", ()))]


def _citation(told: Mapping[str, Any]) -> Citation:
    authors = [str(author.get("family-names") or author["name"]) for author in told["authors"]]
    by = f"{authors[0]} et al" if len(authors) > 2 else " and ".join(authors)
    version = f"Version {told['version']}" if "version" in told else ""
    conference = told.get("conference", {}).get("name")
    year = "" if conference else told.get("year", "")
    parts = [by, told["title"], conference, told.get("notes"), version, year]
    return Citation(". ".join(str(part) for part in parts if part) + ".", str(told.get("url", "")))


def _digest(value: str) -> Cell:
    return Cell(value[:SHORT], title=value, style="digest") if value else Cell(ABSENT)

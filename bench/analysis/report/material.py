"""What the report reads: summary.csv, and whatever else an experiment has left beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.analysis.cost_table import NEEDED as COSTS
from bench.analysis.figures import points
from bench.analysis.figures.points import Row
from bench.analysis.tables import NEEDED as IN_TABLES
from bench.results.agreement import check_verdicts, has_verdicts
from bench.results.csv_file import read_table
from bench.results.diagnostics import present, record_path, transfer_path
from bench.results.published import ROBUSTBENCH
from bench.results.summary_file import read_summary_file
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json

Rows = Sequence[Mapping[str, str]]
Run = tuple[str, int]

SUMMARY = (
    *IN_TABLES,
    *("attack_source", "attack_seed", "accuracy", "ci_low", "ci_high", "difference"),
    *("precision", "engine", "tf32", "code_digest", "weights_sha256"),
)
STATISTICS = (
    *("checkpoint", "quantity", "attack", "method", "against", "n_seeds", "n_images"),
    *("estimate", "std", "interval", "low", "high", "p", "p_holm"),
)
CLAIMS = (
    *("id", "verdict", "text", "kind", "metric", "methods", "claimed", "estimate", "low", "high"),
    *("interval", "n_seeds", "n_images", "detail", "flags", "stated_for", "checkpoint", "source"),
)
ABLATIONS = (
    *("choice", "base", "variant", "quantity", "attack", "difference", "low", "high", "verdict"),
    *("n_images", "flags"),
)
HISTORY = ("epoch", "validation_clean", "validation_pgd")
CURVES = ("check", "checkpoint", "x", "accuracy", "n")
SURFACES = ("checkpoint", "index", "label", "along", "aside", "loss")
TRANSFER = ("checkpoint", "source", "target", "accuracy", "n")


@dataclass(frozen=True)
class Diagnosed:
    """What the diagnostics of one run left: the record of checks, curves and loss surfaces."""

    record: Mapping[str, Any]
    curves: Rows
    surfaces: Rows


@dataclass(frozen=True)
class Material:
    """All files of an experiment that the report shows; None or no entry where one is missing.

    `summary` has every line of summary.csv as text, `rows` those of our own runs as figures read
    them. `trained` and `judged` are the records train.json and evaluation.json.
    """

    summary: Rows
    rows: Sequence[Row]
    statistics: Rows | None = None
    claims: Rows | None = None
    costs: Rows | None = None
    ablations: Rows | None = None
    histories: Mapping[Run, Rows] = field(default_factory=dict)
    trained: Mapping[Run, Mapping[str, Any]] = field(default_factory=dict)
    judged: Mapping[Run, Mapping[str, Any]] = field(default_factory=dict)
    diagnosed: Mapping[Run, Diagnosed] = field(default_factory=dict)
    transfers: Mapping[int, tuple[Mapping[str, Any], Rows]] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        """Its name."""
        return self.summary[0]["experiment"]

    @property
    def runs(self) -> list[Run]:
        """The (method, seed) pairs of our own runs, in the order of the summary."""
        return list(dict.fromkeys((row.method, row.seed) for row in self.rows))

    @property
    def ours(self) -> Rows:
        """The summary's lines of our own runs."""
        return [row for row in self.summary if row["model"] != ROBUSTBENCH]


def read_material(folder: Path, diagnosed: Iterable[Run] | None = None) -> Material:
    """Read what there is in results/<experiment>, of diagnostics those of `diagnosed`, if given.

    Raises
    ------
    BenchError
        Naming the file that is damaged, or summary.csv where it is missing, and the remedy.
    """
    path = folder / "summary.csv"
    summary = read_summary_file(path, SUMMARY)
    rows = points.read_summary(path)
    if not rows:
        raise BenchError(f"{path}: it has no run of this suite; train and judge a method first")
    runs = list(dict.fromkeys((row.method, row.seed) for row in rows))
    places = {run: folder / "models" / run[0] / f"seed{run[1]}" for run in runs}
    judged = _records(places, "evaluation.json")
    if has_verdicts(folder):
        for run, record in judged.items():
            _check_verdicts(places[run], record)
    chosen = present(folder, runs, diagnosed)
    transfers = {seed: _transfer(folder, seed) for seed in sorted({seed for _, seed in chosen})}
    histories = {
        run: _table(place / "history.csv", HISTORY, f"train {run[0]} with seed {run[1]} again")
        for run, place in places.items()
    }
    examined = {run: _examined(record_path(folder, *run), run) for run in chosen}
    return Material(
        summary=summary,
        rows=rows,
        statistics=_table(
            folder / "statistics.csv", STATISTICS, "make it with `python -m bench statistics`"
        ),
        claims=_table(folder / "claims.csv", CLAIMS, "make it with `python -m bench claims`"),
        costs=_table(folder / "costs.csv", COSTS, "make it with `python -m bench summarize`"),
        ablations=_table(
            folder / "ablations.csv", ABLATIONS, "make it with `python -m bench ablations`"
        ),
        histories={run: rows for run, rows in histories.items() if rows is not None},
        trained=_records(places, "train.json"),
        judged=judged,
        diagnosed={run: found for run, found in examined.items() if found is not None},
        transfers={seed: found for seed, found in transfers.items() if found is not None},
    )


def look(record: Any, dotted: str) -> Any:
    """Return what a record has under a dotted key, None where it has nothing there."""
    for key in dotted.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def _records(places: Mapping[Run, Path], name: str) -> dict[Run, Mapping[str, Any]]:
    return {run: _record(place / name) for run, place in places.items() if (place / name).is_file()}


def _record(path: Path) -> Mapping[str, Any]:
    record = read_json(path)
    if not isinstance(record, Mapping):
        raise BenchError(f"{path}: it is no record of a run; delete it and make it again")
    return record


def _check_verdicts(place: Path, record: Mapping[str, Any]) -> None:
    checkpoints = look(record, "checkpoints")
    for checkpoint in checkpoints if isinstance(checkpoints, Mapping) else ():
        attacks = look(checkpoints[checkpoint], "attacks")
        for attack in attacks if isinstance(attacks, Mapping) else ():
            digest = look(attacks[attack], "sha256")
            check_verdicts(place / "verdicts" / checkpoint / f"{attack}.csv", digest)


def _examined(path: Path, run: Run) -> Diagnosed | None:
    if not path.is_file():
        return None
    remedy = f"run `python -m bench diagnose` for {run[0]} with seed {run[1]} again"
    curves = _table(path.with_name("curves.csv"), CURVES, remedy) or ()
    # With `diagnostics.surfaces: 0` nobody asked for pictures.
    surfaces = _table(path.with_name("surfaces.csv"), SURFACES, remedy, empty=True) or ()
    return Diagnosed(_record(path), curves, surfaces)


def _transfer(folder: Path, seed: int) -> tuple[Mapping[str, Any], Rows] | None:
    path = transfer_path(folder, seed)
    if not path.is_file():
        return None
    remedy = f"run `python -m bench transfer` for seed {seed} again"
    return _record(path), _table(transfer_path(folder, seed, ".csv"), TRANSFER, remedy) or ()


def _table(path: Path, columns: Sequence[str], remedy: str, *, empty: bool = False) -> Rows | None:
    """Return the rows of a CSV file, None where there is none; BenchError if it is damaged."""
    return read_table(path, columns, remedy, empty=empty) if path.is_file() else None

"""All that an experiment left on disk, as frames and records, each read and checked once.

Everything above this module takes frames: no path, no cell of text, no key of a JSON file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import union_categoricals

from bench.results.changes import check_digest, remake
from bench.results.columns import (
    ABLATIONS,
    CLAIMS,
    COSTS,
    CURVES,
    HISTORY,
    STATISTICS,
    SUMMARY,
    SURFACES,
    TRANSFER,
)
from bench.results.examples import COLUMNS, read_examples
from bench.results.origin import TRAINED
from bench.results.paths import Paths
from bench.results.published import ROBUSTBENCH
from bench.results.records import (
    DiagnosticsRecord,
    EvaluationRecord,
    MergedRecord,
    Record,
    TrainRecord,
    TransferRecord,
)
from bench.results.tables import Table
from bench.runtime.errors import BenchError
from bench.runtime.places import SNAKEMAKE

Run = tuple[str, int]  # label of the method, and seed
Place = tuple[str, int, str, str]  # method, seed, checkpoint, attack
R = TypeVar("R", bound=Record)
NOT_ATTACKS = ("clean", "worst_case")
ROUNDING = 0.0051  # of an accuracy with two digits, and of the sum that tells it


class Robust(NamedTuple):
    """Images [N], ascending, and whether each is classified correctly under an attack [N]."""

    images: NDArray[np.int64]
    right: NDArray[np.bool_]


class ExperimentResults:
    """What is in `folder`, results/<experiment>.

    `diagnosed` are the runs whose diagnostics count; None takes all that are there.
    """

    def __init__(self, folder: Path, diagnosed: Iterable[Run] | None = None) -> None:
        self.paths = Paths(folder)
        self._diagnosed = None if diagnosed is None else set(diagnosed)

    @cached_property
    def summary(self) -> pd.DataFrame:
        """One row for each network, checkpoint and attack; `accuracy` is exact, not rounded.

        Raises
        ------
        BenchError
            summary.csv is missing, has a row twice, or an accuracy is not that of its counts.
        """
        path = self.paths.summary
        frame = SUMMARY.read(path)
        exact = 100 * frame["correct"].astype(float) / frame["n"].astype(float)
        wrong = (frame["n"] < 1) | (frame["correct"] > frame["n"])
        wrong |= (frame["accuracy"] - exact).abs() > ROUNDING
        ours = frame["model"] != ROBUSTBENCH
        wrong |= ours & frame["seed"].isna()
        if wrong.any():
            place = int(wrong.to_numpy().argmax())
            row = frame.iloc[place]
            raise BenchError(
                f"{path}: row {place + 1} contradicts itself (accuracy {row['accuracy']}, "
                f"{row['correct']} of {row['n']} images, seed {row['seed']}); restore the file or "
                f"make it with `{SUMMARY.make.format(folder=path.parent)}`"
            )
        frame["accuracy"] = exact
        return frame

    @cached_property
    def ours(self) -> pd.DataFrame:
        """The rows of `summary` of runs: networks that were trained here, or taken from a file."""
        frame = self.summary[self.summary["model"] != ROBUSTBENCH].astype({"seed": int})
        if frame.empty:
            raise BenchError(
                f"{self.paths.summary}: no network trained here; train one with `{SNAKEMAKE}` "
                "and the --configfile of an experiment"
            )
        return frame.reset_index(drop=True)

    @cached_property
    def trained(self) -> pd.DataFrame:
        """The rows of `ours` of networks that were trained here."""
        return self.ours[self.ours["origin"] == TRAINED]

    @cached_property
    def references(self) -> pd.DataFrame:
        """The rows of `summary` of RobustBench's models."""
        return self.summary[self.summary["model"] == ROBUSTBENCH].reset_index(drop=True)

    @cached_property
    def runs(self) -> list[Run]:
        """The runs of `ours`, in the order of the summary."""
        pairs = self.ours[["method", "seed"]].drop_duplicates()
        return [(str(method), int(seed)) for method, seed in pairs.itertuples(index=False)]

    @cached_property
    def has_examples(self) -> bool:
        """Whether there are per-example results, or summary.csv alone."""
        return any(self.paths.models.glob("*/seed*/examples/*/*.csv"))

    @cached_property
    def examples(self) -> pd.DataFrame:
        """Per-example results of all runs and attacks of `ours`; no row where none were kept.

        Columns: method, seed, checkpoint, attack, index, label, clean, robust, broken_by.

        Raises
        ------
        BenchError
            A file is missing, changed since it was counted, or of other images than another.
        """
        return self._joined_examples(self._attacked)

    def examples_of(self, attack: str, checkpoint: str) -> pd.DataFrame:
        """Return the rows of `examples` of one attack, without reading the files of others."""
        known = "examples" in self.__dict__
        frame = self.examples if known else self.ours
        rows = frame[(frame["attack"] == attack) & (frame["checkpoint"] == checkpoint)]
        return rows if known else self._joined_examples(rows)

    @cached_property
    def robust(self) -> Mapping[Place, Robust]:
        """Of `examples` the images and whether they are robust, read without holding all the rest.

        Raises
        ------
        BenchError
            As `examples`.
        """
        found: dict[Place, Robust] = {}
        index_N = np.empty(0, np.int64)
        for place, frame in self._each_examples(self._attacked):
            own_N = frame["index"].to_numpy(np.int64)
            # Most attacks have the same images: one array of them is enough.
            index_N = index_N if np.array_equal(own_N, index_N) else own_N
            found[place] = Robust(index_N, frame["robust"].to_numpy(np.bool_))
        return found

    @property
    def _attacked(self) -> pd.DataFrame:
        return self.ours[~self.ours["attack"].eq("worst_case")]

    def _each_examples(self, attacks: pd.DataFrame) -> Iterator[tuple[Place, pd.DataFrame]]:
        """Yield the per-example results of each row; BenchError where labels differ."""
        if not self.has_examples:
            return
        labels_N = np.empty(0, np.int64)  # of every image so far; -1 of those that nobody has
        for row in attacks.itertuples():
            frame = self._examples(row)
            index_N, own_N = (frame[name].to_numpy(np.int64) for name in ("index", "label"))
            more = max(int(index_N.max()) + 1 - len(labels_N), 0)
            labels_N = np.pad(labels_N, (0, more), constant_values=-1)
            different = index_N[(labels_N[index_N] != -1) & (labels_N[index_N] != own_N)]
            if len(different):
                raise BenchError(
                    f"{self.paths.folder}: image {different[0]} has different labels in the per-"
                    "example results of different runs, so they were evaluated on other images; "
                    f"{remake(self.paths.models / '*' / '*' / 'evaluation.json')}"
                )
            labels_N[index_N] = own_N
            yield (str(row.method), int(row.seed), str(row.checkpoint), str(row.attack)), frame

    def _joined_examples(self, attacks: pd.DataFrame) -> pd.DataFrame:
        parts = dict(self._each_examples(attacks))
        names = ["method", "seed", "checkpoint", "attack"]
        if not parts:
            return pd.DataFrame(columns=[*names, *COLUMNS])
        broken_by = union_categoricals([part.pop("broken_by") for part in parts.values()])
        frame = pd.concat(parts, names=names)
        # As columns of text the keys would be larger than all the results.
        levels = zip(names, frame.index.codes, frame.index.levels, strict=False)
        keys = {name: pd.Categorical.from_codes(codes, level) for name, codes, level in levels}
        return frame.reset_index(drop=True).assign(**keys, broken_by=broken_by)

    def _examples(self, row: Any) -> pd.DataFrame:
        run = self.paths.run(row.method, row.seed)
        path, hint = run.examples(row.checkpoint, row.attack), remake(run.evaluation_record)
        evaluation = self.evaluations.get((row.method, row.seed))
        evaluated = evaluation.checkpoints.get(row.checkpoint) if evaluation else None
        record = evaluated.attacks.get(row.attack) if evaluated else None
        frame = read_examples(path, hint, record.sha256 if record else None)
        counted = (int(frame["robust"].sum()), len(frame))
        if counted != (row.correct, row.n):
            raise BenchError(
                f"{path}: {counted[0]} of {counted[1]} images are right, summary.csv says "
                f"{row.correct} of {row.n}; "
                f"run `{SUMMARY.make.format(folder=self.paths.folder)}` again"
            )
        return frame

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row for each run and epoch: method, seed and the columns of history.csv.

        A run whose history was not kept has no row; a loss term that a method has not is NaN.
        """
        paths = {run: self.paths.run(*run).history for run in self.runs}
        parts = {run: HISTORY.read(path) for run, path in paths.items() if path.is_file()}
        for run in parts:
            record = self.trainings.get(run)
            if record and record.history_sha256 is not None:
                at = self.paths.run(*run).train_record
                check_digest(paths[run], record.history_sha256, at)
        return _joined(parts, ["method", "seed"], HISTORY.columns)

    @cached_property
    def costs(self) -> pd.DataFrame | None:
        """costs.csv; None where there is none."""
        return _optional(COSTS, self.paths.costs)

    @cached_property
    def statistics(self) -> pd.DataFrame | None:
        """statistics.csv; None where there is none."""
        return _optional(STATISTICS, self.paths.statistics)

    @cached_property
    def claims(self) -> pd.DataFrame | None:
        """claims.csv; None where there is none."""
        return CLAIMS.read(self.paths.claims, rows=False) if self.paths.claims.is_file() else None

    @cached_property
    def ablations(self) -> pd.DataFrame | None:
        """ablations.csv; None where there is none."""
        return _optional(ABLATIONS, self.paths.ablations)

    @cached_property
    def trainings(self) -> Mapping[Run, TrainRecord]:
        """The records of training that are there, by run; weights of others have none."""
        return self._records(TrainRecord, "train_record")

    @cached_property
    def evaluations(self) -> Mapping[Run, EvaluationRecord]:
        """The records of evaluation that are there, by run."""
        return self._records(EvaluationRecord, "evaluation_record")

    @cached_property
    def merged(self) -> MergedRecord | None:
        """Who made which runs; None where the experiment was not merged from parts."""
        path = self.paths.merged_record
        return MergedRecord.read(path, "merge the parts again") if path.is_file() else None

    @cached_property
    def registered_attacks(self) -> Mapping[str, str]:
        """What each attack of `evaluation.attacks` says of itself, by label, in order."""
        found = {
            attack: record.about
            for evaluation in self.evaluations.values()
            for _, attack, record in evaluation.attacks()
            if record.about
        }
        return {attack: found[attack] for attack in sorted(found)}

    @cached_property
    def diagnosed(self) -> list[Run]:
        """The runs whose diagnostics count."""
        if self._diagnosed is not None:
            return [run for run in self.runs if run in self._diagnosed]
        return [run for run in self.runs if self.paths.run(*run).diagnostics_record.is_file()]

    @cached_property
    def diagnostics(self) -> Mapping[Run, DiagnosticsRecord]:
        """The outcome of every check, by run."""
        found = self._records(DiagnosticsRecord, "diagnostics_record")
        return {run: record for run, record in found.items() if run in self.diagnosed}

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Accuracy against stronger attacks: method, seed and the columns of curves.csv."""
        return self._of_diagnosed(CURVES, "curves")

    @cached_property
    def surfaces(self) -> pd.DataFrame:
        """The loss around test images: method, seed and the columns of surfaces.csv."""
        return self._of_diagnosed(SURFACES, "surfaces")

    @cached_property
    def transfers(self) -> Mapping[int, TransferRecord]:
        """The checks on transferred attacks, by seed."""
        seeds = sorted({seed for _, seed in self.diagnosed})
        paths = {seed: self.paths.transfer_record(seed) for seed in seeds}
        return {
            seed: TransferRecord.read(path, remake(path))
            for seed, path in paths.items()
            if path.is_file()
        }

    @cached_property
    def transfer(self) -> pd.DataFrame:
        """Accuracy under transferred attacks: seed and the columns of transfer/seed<k>.csv."""
        parts = {seed: TRANSFER.read(self.paths.transfer(seed)) for seed in self.transfers}
        return _joined(parts, ["seed"], TRANSFER.columns)

    def _of_diagnosed(self, table: Table, name: str) -> pd.DataFrame:
        paths = {run: getattr(self.paths.run(*run), name) for run in self.diagnostics}
        found = {run: path for run, path in paths.items() if path.is_file()}
        parts = {run: table.read(path, rows=False) for run, path in found.items()}
        return _joined(parts, ["method", "seed"], table.columns)

    def _records(self, kind: type[R], name: str) -> dict[Run, R]:
        paths = {run: getattr(self.paths.run(*run), name) for run in self.runs}
        found = {run: path for run, path in paths.items() if path.is_file()}
        return {run: kind.read(path, remake(path)) for run, path in found.items()}


def _joined(
    parts: Mapping[Any, pd.DataFrame], names: list[str], columns: Iterable[str]
) -> pd.DataFrame:
    """Return the rows of all `parts`, with their keys as columns `names` before `columns`."""
    if not parts:
        return pd.DataFrame(columns=[*names, *columns])
    return pd.concat(parts, names=names).reset_index(names).reset_index(drop=True)


def _optional(table: Table, path: Path) -> pd.DataFrame | None:
    return table.read(path) if path.is_file() else None

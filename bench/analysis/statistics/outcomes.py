"""What every method and seed got right, by checkpoint and attack.

Where there is summary.csv alone, without per-example results, what needs images is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.results.attack_result import WORST
from bench.results.experiment import ExperimentResults, Place, Robust, Run
from bench.results.order import attack_order, checkpoint_order
from bench.runtime.errors import BenchError
from bench.runtime.places import SNAKEMAKE


@dataclass(frozen=True, eq=False)
class Outcomes:
    """One attack on one checkpoint of all runs, every one on the same images.

    `accuracy` is in percent, by run. `index` [N] names the images, and `correct` says by run which
    of them [N] were classified correctly; both are empty without per-example results.
    """

    images: int
    accuracy: Mapping[Run, float]
    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    correct: Mapping[Run, NDArray[np.bool_]] = field(default_factory=dict)

    def seeds(self, methods: Iterable[str]) -> tuple[int, ...]:
        """Return the seeds that all of `methods` have, in order."""
        having = [{seed for name, seed in self.accuracy if name == method} for method in methods]
        return tuple(sorted(set.intersection(*having))) if having else ()

    def on(self, index_M: NDArray[np.int64]) -> Outcomes:
        """Return the part about the images `index_M`, which must be among these."""
        if len(index_M) == len(self.index):
            return self
        kept_N = np.isin(self.index, index_M)
        correct = {run: of_N[kept_N] for run, of_N in self.correct.items()}
        accuracy = {run: 100 * float(of_M.mean()) for run, of_M in correct.items()}
        return Outcomes(len(index_M), accuracy, index_M, correct)


ByAttack = Mapping[str, Outcomes]


def read_outcomes(results: ExperimentResults) -> dict[str, dict[str, Outcomes]]:
    """Return the outcomes of an experiment by checkpoint, then by attack.

    Raises
    ------
    BenchError
        Runs were evaluated on different images under one attack, or the per-example results are
        not what summary.csv counted.
    """
    rows, robust = results.ours, _robust(results)
    return {
        checkpoint: _by_attack(results, rows[rows["checkpoint"] == checkpoint], robust)
        for checkpoint in sorted(rows["checkpoint"].unique(), key=checkpoint_order)
    }


def across_checkpoints(results: ExperimentResults) -> dict[str, Outcomes]:
    """Return the outcomes by attack of all checkpoints, methods called ``label/checkpoint``.

    Raises
    ------
    BenchError
        As `read_outcomes`, also where two checkpoints were evaluated on different images.
    """
    rows = results.ours
    names = rows["method"] + "/" + rows["checkpoint"]
    return _by_attack(results, rows.assign(name=names), _robust(results))


def common_images(indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the images that all of `indices`, at least one and each in order, have."""
    first_N = indices[0]
    if all(np.array_equal(other_N, first_N) for other_N in indices[1:]):
        return first_N
    return reduce(np.intersect1d, indices)


def _robust(results: ExperimentResults) -> dict[Place, Robust]:
    """Return the robust images of every attack, and of the worst case of all of them."""
    found = dict(results.robust)
    by_network: dict[tuple[str, int, str], list[Robust]] = {}
    for (method, seed, checkpoint, attack), correct in found.items():
        if attack != "clean":
            by_network.setdefault((method, seed, checkpoint), []).append(correct)
    for network, attacks in by_network.items():
        index_N = common_images([index for index, _ in attacks])
        right = [
            robust if index is index_N else robust[np.isin(index, index_N)]
            for index, robust in attacks
        ]
        found[*network, WORST] = Robust(index_N, np.all(right, axis=0))
    return found


def _by_attack(
    results: ExperimentResults, rows: pd.DataFrame, robust: Mapping[Place, Robust]
) -> dict[str, Outcomes]:
    named = rows if "name" in rows else rows.assign(name=rows["method"])
    attacks = sorted(rows["attack"].unique(), key=attack_order)
    return {a: _outcomes(results, named[named["attack"] == a], robust) for a in attacks}


def _outcomes(
    results: ExperimentResults, rows: pd.DataFrame, robust: Mapping[Place, Robust]
) -> Outcomes:
    """Return what `rows`, all of one attack, are counts of, each by its `name` and seed."""
    accuracy: dict[Run, float] = {}
    correct: dict[Run, NDArray[np.bool_]] = {}
    first, index_N = "", np.empty(0, np.int64)
    for row in rows.itertuples():
        run, own_N = (str(row.name), int(row.seed)), np.empty(0, np.int64)
        place = f"{row.method} seed {row.seed}, {row.checkpoint}, {row.attack}"
        accuracy[run] = float(row.accuracy)
        if robust:
            own_N, correct[run] = robust[row.method, row.seed, row.checkpoint, row.attack]
            counted = (len(own_N), int(correct[run].sum()))
            if counted != (row.n, row.correct):
                raise BenchError(
                    f"{results.paths.summary}: {place}: {row.correct} of {row.n} images, the "
                    f"per-example results have {counted[1]} of {counted[0]}; run `python -m bench "
                    f"summarize --folder {results.paths.folder}` again"
                )
        if not first:
            first, images, index_N = place, int(row.n), own_N
        if int(row.n) != images or not np.array_equal(own_N, index_N):
            raise BenchError(
                f"{results.paths.folder}: {place}, was evaluated on other images than {first}; "
                f"evaluate both with one configuration: `{SNAKEMAKE} --forcerun evaluate` "
                "and the --configfile of this experiment"
            )
    return Outcomes(images, accuracy, index_N, correct)

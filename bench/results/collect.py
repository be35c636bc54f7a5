"""Reads the runs of one experiment, which must be of one kind to share a table."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.results.runs import Run, read_run, remake
from bench.runtime.errors import BenchError


def collect(folder: Path, expected: Iterable[tuple[str, int]] | None = None) -> tuple[Run, ...]:
    """Read and check the runs of the experiment in `folder`, sorted by method and seed.

    Parameters
    ----------
    folder
        results/<experiment>.
    expected
        The (method, seed) pairs to read. Other runs in the folder, left by an earlier
        configuration, are then ignored. Without it, every run that is there is read.

    Raises
    ------
    BenchError
        Naming the file that is missing, edited, or at odds with another, and how to remake it.
    """
    if expected is None:
        found = (folder / "models").glob("*/seed*/train.json")
        places = sorted(path.parent for path in found)
    else:
        places = [folder / "models" / method / f"seed{seed}" for method, seed in set(expected)]
    if not places:
        raise BenchError(
            f"{folder}: no trained models; make them with `snakemake --cores all` and their config"
        )
    runs = sorted(map(read_run, places), key=lambda run: (run.training.method, run.training.seed))
    first = runs[0].training
    for run in runs:
        for what, ours, theirs in (
            ("experiment", run.training.experiment, first.experiment),
            ("data fingerprint", run.training.data.fingerprint, first.data.fingerprint),
        ):
            if ours != theirs:
                raise BenchError(
                    f"{run.folder / 'train.json'}: its {what} is {ours}, that of {first.method} "
                    f"seed {first.seed} is {theirs}; they cannot share a table, so "
                    f"{remake(run.folder / 'train.json')}"
                )
    return tuple(runs)

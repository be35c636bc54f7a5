"""Where the weights of a run come from: a training of ours, or a file of others."""

from __future__ import annotations

from bench.results.paths import RunPaths
from bench.results.records import NetworkRecord, OriginRecord, TrainRecord
from bench.runtime.errors import BenchError

# Cells of the column `origin`; RobustBench's models have their own.
TRAINED, EXTERNAL_ORIGIN = "trained", "external"


def read_origin(paths: RunPaths, hint: str) -> OriginRecord:
    """Return train.json or network.json of a run; `hint` is how to make it.

    Raises
    ------
    BenchError
        There is neither, or there are both, or it is damaged.
    """
    if not paths.network_record.is_file():
        return TrainRecord.read(paths.train_record, hint)
    if paths.train_record.is_file():
        raise BenchError(
            f"{paths.folder}: it holds a training (train.json) and weights of others "
            "(network.json); delete the folder, or rename the label in the config"
        )
    return NetworkRecord.read(paths.network_record, hint)


def find_origin(paths: RunPaths) -> OriginRecord | None:
    """Return train.json or network.json of a run; None where it is missing or not complete."""
    if paths.network_record.is_file():
        return NetworkRecord.find(paths.network_record)
    return TrainRecord.find(paths.train_record)

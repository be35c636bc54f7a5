"""Read the images of an experiment and write its data file, described by a record beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.config.experiment import Data, spec_json
from bench.config.schema import Needs
from bench.data.dataset import save
from bench.data.record import data_record, duplicates_note
from bench.data.sources import read
from bench.data.splits import take
from bench.results.records import DataRecord
from bench.runtime.places import expanded


def prepare(spec: Data, needs: Needs, out: Path) -> DataRecord:
    """Write the images of `spec` to `out`, and to its neighbour ``.json`` what is returned."""
    path = expanded(spec.path) if spec.path else None
    dataset = read(
        spec.source,
        path=path,
        name=spec.name,
        classes=spec.classes,
        allow_copies=spec.allow_duplicate_files,
    )
    dataset = take(dataset, spec.train_images, spec.test_images)
    # Known here already, before any training is wasted.
    needs.check(dataset.name, classes=len(dataset.classes), test_images=len(dataset.test))
    # Not in the record: the workflow trains again where that changes, and the same images may come
    # to lie in another folder.
    save(dataset, out, spec_json(spec))
    record = data_record(dataset)
    if note := duplicates_note(record):
        print(note, file=sys.stderr, flush=True)
    record.write(out.with_suffix(".json"))
    return record

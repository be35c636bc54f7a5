"""Read the images of an experiment and write its data file, described by a record beside it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.config.experiment import Data, spec_json
from bench.config.schema import Needs
from bench.data.dataset import save
from bench.data.record import duplicates_note, images_record
from bench.data.sources import read
from bench.data.splits import take
from bench.runtime.files import write_json
from bench.runtime.places import expanded


def prepare(spec: Data, needs: Needs, out: Path) -> dict[str, Any]:
    """Write the images of `spec` to `out`, and to its neighbour ``.json`` what is returned.

    Raises
    ------
    BenchError
        The images cannot be had, or are too few for `needs`.
    """
    path = expanded(spec.path) if spec.path else None
    dataset = read(
        spec.source,
        path=path,
        name=spec.name,
        classes=spec.classes,
        allow_copies=spec.allow_duplicate_files,
    )
    dataset = take(dataset, spec.train_images, spec.test_images)
    # Known here already, so that no training is in vain.
    needs.check(dataset.name, classes=len(dataset.classes), test_images=len(dataset.test))
    # Not in the record: the workflow trains anew where that changes, and the same images may come
    # to lie in another folder.
    save(dataset, out, spec_json(spec))
    sizes = dataset.source_sizes()
    about = {
        "name": dataset.name,
        "classes": list(dataset.classes),
        "fingerprint": dataset.fingerprint,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "source_train_images": sizes["train"],
        "source_test_images": sizes["test"],
        "image_shape": list(dataset.train.pixels.shape[1:]),
        **(images := images_record(dataset)),
    }
    if note := duplicates_note(dataset.name, images, len(dataset.test)):
        print(note, file=sys.stderr, flush=True)
    write_json(out.with_suffix(".json"), about)
    return about

"""Per-example results: what one attack did to each test image, one CSV file an attack.

An evaluation writes them on machines that have no pandas; only who reads them needs it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

COLUMNS = {
    "index": "place of the image in the test set, from 0",
    "label": "its class",
    "clean": "1 where the network is right without an attack",
    "robust": "1 where it is still right under the attack",
    "broken_by": "the attack, or component of AutoAttack, that broke it; `clean` where it was "
    "wrong already, empty where it never was",
}
DTYPES = {
    **dict.fromkeys(("index", "label"), "int32"),
    **dict.fromkeys(("clean", "robust"), "int8"),
    "broken_by": "category",
}


def read_examples(path: Path, hint: str, recorded: str | None = None) -> pd.DataFrame:
    """Return the results of one attack, ordered by image; `clean` and `robust` are bool.

    `recorded` is the file's SHA-256 in evaluation.json, if that is there.

    Raises
    ------
    BenchError
        The file is missing, is not a list of 0/1 results with each image once, or has changed.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=DTYPES, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise BenchError(f"{path}: missing; {hint}") from None
    except (ValueError, UnicodeDecodeError, OverflowError) as error:
        raise BenchError(f"{path}: not per-example results ({error}); {hint}") from None
    if list(frame.columns) != list(COLUMNS) or not len(frame):
        raise BenchError(f"{path}: not per-example results (wrong header or no rows); {hint}")
    if frame["index"].duplicated().any():
        raise BenchError(f"{path}: an image is there twice; {hint}")
    masks = frame[["clean", "robust"]]
    if not masks.isin((0, 1)).all(axis=None) or (frame["robust"] > frame["clean"]).any():
        raise BenchError(
            f"{path}: clean and robust must be 0 or 1, and a robust image clean; {hint}"
        )
    if recorded is not None and sha256(path) != recorded:
        raise BenchError(f"{path}: changed since evaluation.json was written; {hint}")
    frame = frame.astype({"clean": bool, "robust": bool})
    return frame.sort_values("index", kind="stable", ignore_index=True)


def examples_text(rows: Iterable[tuple[int, int, bool, bool, str]]) -> str:
    """Return the results of one attack as CSV text; each row is in the order of `COLUMNS`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(
        (index, label, int(clean), int(robust), by) for index, label, clean, robust, by in rows
    )
    return text.getvalue()

"""Which parquet files make up a part of a data set, and whether each is there once."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.data.listing import PARTS, parquet_files
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

# What a push to the Hub appends follows the total: train-00000-of-00001-0123456789abcdef.parquet.
NUMBERED = re.compile(r"-(\d+)-of-(\d+)")


def shards(path: Path, part: str) -> list[Path]:
    """Return the files of one part in the order of their names.

    Raises
    ------
    BenchError
        There is none, or of a numbered set one is missing, or there twice, or is of another set.
    """
    files = [file for file in parquet_files(path) if file.name.startswith(f"{part}-")]
    if not files:
        raise BenchError(f"{path}: it holds no {part}-*.parquet; put the files there")
    numbers = {file.name: NUMBERED.match(file.name, len(part)) for file in files}
    by_place: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, found in numbers.items():
        if found:
            by_place[int(found[1]), int(found[2])].append(name)
    if not by_place:
        return files
    bare = [name for name, found in numbers.items() if not found]
    totals = {total: names for (_, total), names in by_place.items()}
    if bare or len(totals) > 1:
        first, second = (bare + [names[0] for names in totals.values()])[:2]
        raise BenchError(
            f"{path}: {first} and {second} are not of one set of {part} files; keep the files of "
            "one set"
        )
    for (number, total), names in by_place.items():
        if len(names) > 1:
            raise BenchError(
                f"{path}: {' and '.join(names)} are both number {number} of {total}; keep the "
                "files of one push"
            )
    (total,) = totals
    beyond = next((names[0] for (number, _), names in by_place.items() if number >= total), None)
    missing = next((number for number in range(total) if (number, total) not in by_place), None)
    if beyond or missing is not None:
        wrong = f"{beyond} is not" if beyond else f"number {missing} of {total} is missing"
        raise BenchError(
            f"{path}: its {part} files are numbered from 0 to {total - 1} by their names, and "
            f"{wrong}; put exactly one complete set there"
        )
    return files


def check_copies(files: Sequence[Path]) -> None:
    """Raise BenchError where two of the files have the same content."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        by_size[file.stat().st_size].append(file)
    for equals in by_size.values():
        known: dict[str, Path] = {}
        # Nothing is read of a file whose size is its own.
        for file in equals if len(equals) > 1 else ():
            other = known.setdefault(sha256(file), file)
            if other is not file:
                raise BenchError(
                    f"{file}: a copy of {other.name}, so its images would count twice; remove one, "
                    "or set data.allow_duplicate_files: true"
                )


def tell_unread(path: Path) -> None:
    """Print which parquet files in `path` are of no part that is read."""
    unread = [
        file.name
        for file in parquet_files(path)
        if not file.name.startswith(tuple(f"{part}-" for part in PARTS))
    ]
    if unread:
        print(f"{path}: not read: {', '.join(unread)}", file=sys.stderr, flush=True)

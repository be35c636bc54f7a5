"""A folder of parquet files in Hugging Face's layout: encoded images beside their labels."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.data.dataset import Images
from bench.data.listing import PARTS, parquet_files, tell_unread
from bench.data.sources.decoding import decode
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")
ROWS_AT_ONCE = 1024
# What a push to the Hub appends follows the total: train-00000-of-00001-0123456789abcdef.parquet.
NUMBERED = re.compile(r"-(\d+)-of-(\d+)")


def read(path: Path, name: str, *, allow_copies: bool = False) -> Found:
    """Read ``train-*.parquet`` and ``test-*.parquet``, each part in the order of its files.

    The columns are ``img`` or ``image`` (a struct with ``bytes``) and ``label`` or ``fine_label``
    (whole numbers from 0). All images become RGB. The class names are those of the files' metadata.

    Raises
    ------
    BenchError
        Missing files, files of the same content unless `allow_copies`, other columns or class names
        than in the first file, an unreadable file or image, or images of several sizes.
    """
    if not path.is_dir():
        raise BenchError(
            f"dataset {name!r}: there is no folder {path}; put its train-*.parquet and "
            "test-*.parquet there or correct data.path"
        )
    train_files, test_files = shards(path, "train"), shards(path, "test")
    parts = tuple(f"{part}-" for part in PARTS)
    unread = [file for file in parquet_files(path) if not file.name.startswith(parts)]
    tell_unread(path, unread)
    names = shared_names([*train_files, *test_files])
    if not allow_copies:
        check_copies([*train_files, *test_files])
    train, lossy_train = read_part(train_files)
    test, lossy_test = read_part(test_files)
    return Found(train, test, names, lossy_train or lossy_test)


def shards(path: Path, part: str) -> list[Path]:
    """Return the files of one part in the order of their names."""
    files = [file for file in parquet_files(path) if file.name.startswith(f"{part}-")]
    if not files:
        raise BenchError(f"{path}: it holds no {part}-*.parquet; put the files there")
    numbers = [NUMBERED.match(file.name, len(part)) for file in files]
    places = [(int(found[1]), int(found[2])) if found else None for found in numbers]
    total = max((place[1] for place in places if place), default=0)
    missing = [number for number in range(total) if (number, total) not in places]
    if total and (missing or len(files) != total):
        names = ", ".join(file.name for file in files[:5])
        raise BenchError(
            f"{path}: its {part} files are not the numbers 0 to {total - 1} of {total} once each "
            f"(missing: {missing[:5] or 'none'}; there: {names}); keep the files of one push"
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


def read_part(files: list[Path]) -> tuple[Images, str]:
    """Return the images and labels of one part, and the first lossy image, "" where none is."""
    labels_N = torch.cat([read_labels(file) for file in files])
    if not len(labels_N):
        raise BenchError(f"{files[0]}: it holds no rows; fetch it again")
    pixels_NCHW, lossy = decode(item for file in files for item in encoded_images(file))
    return Images(pixels_NCHW, labels_N), lossy


def shared_names(files: list[Path]) -> tuple[str, ...] | None:
    """Return the class names of the files, which must agree, as must their label columns.

    Labels are positions in them: in another order, or with other names, equal numbers mean other
    classes. A file without names may mean any.
    """
    first, *others = files
    column, names = label_feature(first)
    for file in others:
        if (other := label_feature(file)) != (column, names):
            raise BenchError(
                f"{file}: its labels ({_described(*other)}) are not those of {first.name} "
                f"({_described(column, names)}), so equal labels may mean other classes; use one "
                "column and the same class names, or none, in all files"
            )
    return names


def _described(column: str, names: tuple[str, ...] | None) -> str:
    if names is None:
        return f"{column}, no class names"
    shown = ", ".join(names[:10])
    return f"{column}: {shown}" if len(names) <= 10 else f"{column}: {shown}, ..."


def encoded_images(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the encoded images of one file in order, with what to call each in an error."""
    row = 0
    with opened(file) as parquet:
        column, _ = columns(file, parquet.schema_arrow)
        for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=[column]):
            for content in batch.column(0).field("bytes").to_pylist():
                where = f"{file}, row {row}"
                if content is None:
                    raise BenchError(f"{where}: it holds no image bytes; embed the images")
                yield where, content
                row += 1


def read_labels(file: Path) -> Tensor:
    """Return the labels of one file, int64 [N]."""
    with opened(file) as parquet:
        _, column = columns(file, parquet.schema_arrow)
        labels = parquet.read([column]).column(0)
        if labels.null_count:
            raise BenchError(f"{file}: {labels.null_count} rows have no {column}; label them")
        return torch.tensor(labels.to_pylist(), dtype=torch.int64)


def label_feature(file: Path) -> tuple[str, tuple[str, ...] | None]:
    """Return the label column and the class names of Hugging Face's metadata, None without."""
    with opened(file) as parquet:
        schema = parquet.schema_arrow
        _, column = columns(file, schema)
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        names = described["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return column, None
    return column, tuple(map(str, names)) if isinstance(names, list) else None


def columns(file: Path, schema: Any) -> tuple[str, str]:
    """Return the names of the image column and the label column, or say what was found."""
    import pyarrow as pa

    types = dict(zip(schema.names, schema.types, strict=True))
    image = next((name for name in IMAGE_COLUMNS if name in types), "")
    label = next((name for name in LABEL_COLUMNS if name in types), "")
    if (
        image
        and label
        and pa.types.is_struct(types[image])
        and types[image].get_field_index("bytes") >= 0
        and is_binary(types[image].field("bytes").type)
        and pa.types.is_integer(types[label])
    ):
        return image, label
    found = ", ".join(f"{name}: {kind}" for name, kind in types.items())
    raise BenchError(
        f"{file}: expected a column img or image (a struct with binary bytes) and a column "
        f"label or fine_label (whole numbers), found {found}; rename or convert the columns"
    )


def is_binary(kind: Any) -> bool:
    """Say whether a column of this Arrow type comes out as bytes: text would pass for a path."""
    import pyarrow as pa

    tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(test(kind) for test in tests)


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open a parquet file, and say which file it was when it cannot be read."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(file) as parquet:
            yield parquet
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BenchError(
            f"{file}: truncated or not a parquet file ({reason}); fetch it again"
        ) from error

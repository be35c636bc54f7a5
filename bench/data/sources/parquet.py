"""A folder of parquet files in Hugging Face's layout: encoded images beside their labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.data.dataset import Images
from bench.data.sources.decoding import decode
from bench.parsing import BenchError, ConfigError

IMAGE_COLUMNS = ("img", "image")
LABEL_COLUMNS = ("label", "fine_label")
ROWS_AT_ONCE = 1024
ORIGINALS = ("cifar10", "cifar100")
JPEG = b"\xff\xd8"
MOST = torch.iinfo(torch.int64).max


def read(path: Path, name: str) -> tuple[Images, Images, tuple[str, ...] | None]:
    """Read ``train-*.parquet`` and ``test-*.parquet``, each part in the order of its files.

    The columns are ``img`` or ``image`` (a struct with ``bytes``) and ``label`` or ``fine_label``
    (whole numbers from 0). All images become RGB.

    Returns
    -------
    tuple
        Training images, test images, and the class names that the files carry, None where they
        carry none.

    Raises
    ------
    ConfigError
        JPEG images under a name that is kept for original pixels.
    BenchError
        Missing files, other columns, an unreadable file or image, or images of several sizes.
    """
    if not path.is_dir():
        raise BenchError(
            f"dataset {name!r}: there is no folder {path}; put its train-*.parquet and "
            "test-*.parquet there or correct data.path"
        )
    train_files, test_files = shards(path, "train"), shards(path, "test")
    train, test = read_part(train_files, name), read_part(test_files, name)
    return train, test, class_names(train_files[0])


def shards(path: Path, part: str) -> list[Path]:
    """Return the files of one part in order, and make sure that none of a numbered set is gone."""
    files = sorted(path.glob(f"{part}-*.parquet"))
    if not files:
        raise BenchError(f"{path}: it holds no {part}-*.parquet; put the files there")
    for file in files:
        numbered = re.search(r"-of-(\d+)\.parquet$", file.name)
        if numbered and int(numbered[1]) != len(files):
            raise BenchError(
                f"{file}: one of {int(numbered[1])} files by its name, but there are {len(files)} "
                f"{part}-*.parquet; put exactly one complete set there"
            )
    return files


def read_part(files: list[Path], name: str) -> Images:
    """Return the images and labels of one part of the dataset `name`."""
    labels_N = torch.cat([read_labels(file) for file in files])
    if not len(labels_N):
        raise BenchError(f"{files[0]}: it holds no rows; fetch it again")
    encoded = (item for file in files for item in encoded_images(file))
    return Images(decode(lossless(encoded, name) if name in ORIGINALS else encoded), labels_N)


def lossless(encoded: Iterable[tuple[str, bytes]], name: str) -> Iterator[tuple[str, bytes]]:
    """Yield the images, and make sure that none is a JPEG, whose pixels are not the original's."""
    for where, content in encoded:
        if content.startswith(JPEG):
            raise ConfigError(
                f"data.name: {name!r} is for the original pixels, and {where} is a JPEG, a "
                f"re-encoded copy; name it {name}-jpeg"
            )
        yield where, content


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
        numbers = labels.to_pylist()
    # uint64 is a whole number too, and may hold more than int64 does.
    if numbers and max(numbers) > MOST:
        raise BenchError(
            f"{file}: the column {column} holds {max(numbers)}, expected whole numbers from 0 that "
            "number the classes; correct the labels"
        )
    return torch.tensor(numbers, dtype=torch.int64)


def class_names(file: Path) -> tuple[str, ...] | None:
    """Return the class names that Hugging Face's metadata carries, None where there are none."""
    with opened(file) as parquet:
        schema = parquet.schema_arrow
        _, column = columns(file, schema)
    try:
        described = json.loads((schema.metadata or {})[b"huggingface"])
        names = described["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return None
    return tuple(map(str, names)) if isinstance(names, list) else None


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

"""Adversarial images that others made: what they break counts like an attack of the suite.

`keep` puts those that fool a checkpoint beside its run, and every evaluation of the run holds them
to the test images again, as it does with what its own attacks find. A test image for which none was
given, or none that fools the network, is as it was unattacked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.attacks.base import TOLERANCE
from bench.config.parsing import parse, plain
from bench.data.dataset import Images, to_unit
from bench.evaluation.per_example import ExampleResults, correct
from bench.evaluation.witnesses import BATCH, Candidates, encode
from bench.runtime.errors import BenchError
from bench.runtime.files import appearing, sha256
from bench.runtime.out_of_memory import out_of_memory

KEY = "memloss-bench-imported"
# Where libraries keep them in a file of several things; a tensor alone needs no name.
KEYS = ("adv_complete", "x_adv", "adv", "adversarial", "images")


@dataclass(frozen=True, kw_only=True)
class About:
    """`given` images were read from a file of this digest; `source` is who made them, and how."""

    source: str
    file_sha256: str
    given: int
    eps: float
    fingerprint: str


@dataclass(frozen=True, eq=False)
class Imported:
    """The adversarial images that fooled the checkpoint they were given for."""

    about: About
    found: Candidates

    def write(self, path: Path) -> None:
        """Write them, whole or not at all."""
        with appearing(path) as partial:
            save_file(dict(vars(self.found)), partial, {KEY: json.dumps(plain(self.about))})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read them, or raise BenchError."""
        try:
            with safe_open(path, framework="pt") as file:
                about = parse(About, json.loads((file.metadata() or {})[KEY]), where=path.name)
                found = Candidates(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, BenchError):
            raise BenchError(
                f"{path}: damaged; import the images again, or delete the file"
            ) from None
        return cls(about, found)


def keep(
    path: Path,
    model: nn.Module,
    test: Images,
    given: dict[int, Tensor],
    *,
    source: str,
    file_sha256: str,
    eps: float,
    fingerprint: str,
) -> Imported:
    """Write those of the images `given`, by place in the test set, that fool `model`, to `path`.

    Raises
    ------
    BenchError
        An image is not in the ball of radius `eps` around its test image, or not in [0, 1].
    """
    centres = to_unit(test.pixels.cpu())
    moved, tried = centres.clone(), torch.zeros(len(test), dtype=torch.bool)
    for index, image in given.items():
        low, high = float(image.min()), float(image.max())
        distance = float((image - centres[index]).abs().max())
        if not (distance <= eps + TOLERANCE and low >= 0 and high <= 1):
            rounded = "; 8 bits cannot hold it: save float32" if distance < eps + 1 / 254 else ""
            raise BenchError(
                f"--images: image {index} is {distance:.6g} from test image {index}, and eps is "
                f"{eps:.6g} (values {low:.6g} to {high:.6g}){rounded}; give images of the same test"
                " set, in its order, scaled to [0, 1]"
            )
        moved[index], tried[index] = image, True
    device = next(model.parameters()).device
    labels = test.labels.to(device)
    clean, robust = (
        correct(model, images.to(device), labels, BATCH).cpu() for images in (centres, moved)
    )
    fell = clean & ~robust & tried
    about = About(
        source=source, file_sha256=file_sha256, given=len(given), eps=eps, fingerprint=fingerprint
    )
    imported = Imported(about, encode(model, test, moved, fell, eps=eps))
    imported.write(path)
    return imported


def evaluate_imported(model: nn.Module, test: Images, name: str, one: Imported) -> ExampleResults:
    """Return the per-example results of `one`, called `name`, on the images of `test`."""
    began = time.perf_counter()
    images, index = to_unit(test.pixels), one.found.index
    clean = correct(model, images, test.labels, BATCH)
    moved = one.found.images(test.pixels.cpu()[index], one.about.eps).to(images)
    robust = clean.clone()
    robust[index.to(clean.device)] &= correct(
        model, moved, test.labels[index.to(test.labels.device)], BATCH
    )
    return ExampleResults(
        source=f"imported: {one.about.source}",
        seed=None,
        eps=one.about.eps,
        clean=clean.cpu(),
        robust=robust.cpu(),
        broken_by=[
            "clean" if not fine else "" if kept else name
            for fine, kept in zip(clean.tolist(), robust.tolist(), strict=True)
        ],
        seconds=time.perf_counter() - began,
        details={
            "given": one.about.given,
            "file_sha256": one.about.file_sha256,
            "batch_size": BATCH,
        },
    )


def read_images(path: Path, shape: tuple[int, ...], count: int) -> tuple[dict[int, Tensor], str]:
    """Return adversarial images by place in the test set, and the digest of what was read.

    `path` is a file of one tensor or array [N, C, H, W] for the first N test images, or a folder of
    arrays ``<place>.npy``. `shape` [C, H, W] and `count` are those of the test set. Channels may
    come last, and 8-bit values are scaled to [0, 1].

    Raises
    ------
    BenchError
        It cannot be read, or its shape or a place is not of this test set.
    """
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        if not files:
            raise BenchError(
                f"--images: {path} has no .npy files; name them 0.npy, 1.npy and so on"
            )
        found: dict[int, Tensor] = {}
        for file in files:
            place = re.search(r"(\d+)\.npy$", file.name)
            if place is None or int(place[1]) >= count or int(place[1]) in found:
                raise BenchError(
                    f"--images: {file} is named by no test image of its own; name it <place>.npy, "
                    f"with a place from 0 to {count - 1}"
                )
            found[int(place[1])] = _shaped(_array(file)[None], shape, file)[0]
        return found, " ".join(sha256(file)[:8] for file in files[:8])
    images = _shaped(_array(path), shape, path)
    if len(images) > count:
        raise BenchError(
            f"--images: {path} has {len(images)} images, and the test set {count}; give those of "
            "this test set"
        )
    return dict(enumerate(images)), sha256(path)


def _array(path: Path) -> Tensor:
    try:
        if path.suffix in (".npy", ".npz"):
            loaded: Any = np.load(path, allow_pickle=False)
            arrays = dict(loaded) if path.suffix == ".npz" else {"": loaded}
            tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        else:
            raw = torch.load(path, map_location="cpu", weights_only=True)
            tensors = {"": raw} if isinstance(raw, Tensor) else dict(_tensors(raw))
    except FileNotFoundError:
        raise BenchError(f"--images: there is no file {path}; give its path") from None
    except Exception as error:
        if out_of_memory(error):
            raise
        first = " ".join(str(error).split()).partition(". ")[0]
        raise BenchError(
            f"--images: {path} cannot be read as a tensor ({first}); save one tensor with "
            "torch.save or numpy.save"
        ) from None
    named = [tensors[key] for key in KEYS if key in tensors]
    chosen = named or [value for value in tensors.values() if value.ndim >= 3]
    if not chosen or (not named and len(chosen) > 1):
        raise BenchError(
            f"--images: {path} holds {', '.join(map(repr, tensors)) or 'no tensor'}; call the "
            f"adversarial images {KEYS[0]}, or save them alone"
        )
    return chosen[0]


def _tensors(raw: Any) -> Iterator[tuple[str, Tensor]]:
    items = raw.items() if isinstance(raw, dict) else enumerate(raw) if raw else ()
    return ((str(name), value) for name, value in items if isinstance(value, Tensor))


def _shaped(images: Tensor, shape: tuple[int, ...], path: Path) -> Tensor:
    """Return float32 images [N, C, H, W] in [0, 1] from what a file has."""
    if images.ndim == 4 and images.shape[1:] == (*shape[1:], shape[0]) != shape:
        images = images.permute(0, 3, 1, 2)
    if images.ndim == 3 and shape[0] == 1:
        images = images[:, None]
    if images.ndim != 4 or tuple(images.shape[1:]) != shape:
        raise BenchError(
            f"--images: {path} is {list(images.shape)}, and a test image {list(shape)}; give "
            "[images, channels, rows, columns]"
        )
    if images.dtype == torch.uint8:
        return to_unit(images)
    found = images.to(torch.float32)
    if not found.isfinite().all():
        raise BenchError(f"--images: {path} has values that are not finite; make the images again")
    return found

"""One adversarial image for each test image that fell: a proof of the robust accuracy.

Whoever has the weights can check it without attacking: each image lies in the ball of a stated
test image and the network gets it wrong. An image is kept as 8-bit steps from the test image, in
units of eps / 127, where the decoded image still fools the network, and as float32 where it does
not; either way the image that is read is bit for bit the one that was checked.

Shape suffixes: N test images, M that fell, E kept exactly, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.attacks.losses import margin
from bench.attacks.mode import evaluating
from bench.config.parsing import parse, plain
from bench.data.dataset import Images, to_unit
from bench.numerics.device import convolutions
from bench.runtime.errors import BenchError
from bench.runtime.files import appearing

KEY = "memloss-bench-witnesses"
STEPS = 127  # of an 8-bit step between -eps and eps
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class About:
    """What the adversarial images are of. `images_sha256` is of the digests of all test images."""

    data: str
    fingerprint: str
    images_sha256: str
    eps: float
    weights_sha256: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Witnesses:
    """Adversarial images of M test images.

    `pixels` are the test images, which `digests` [N, 32], of all, hold to their places. The
    adversarial image of row m is `exact[e]` where `exact_rows[e]` is m, and else is decoded from
    `steps[m]`. `attacks` names, for each, the attack that found it; "clean" where the network is
    wrong unattacked.
    """

    index: Tensor  # int64 [M], ascending
    labels: Tensor  # int64 [M]
    pixels: Tensor  # uint8 [M, C, H, W]
    steps: Tensor  # int8 [M, C, H, W]
    exact_rows: Tensor  # int64 [E], ascending
    exact: Tensor  # float32 [E, C, H, W]
    digests: Tensor  # uint8 [N, 32]
    attacks: Sequence[str]
    about: About

    def __len__(self) -> int:
        return len(self.index)

    def images(self, rows: slice = slice(None)) -> Tensor:
        """Return the adversarial images of some rows, float32 in [0, 1], on the CPU."""
        found = decode(self.pixels[rows], self.steps[rows], self.about.eps)
        chosen = torch.arange(len(self))[rows]
        inside = torch.isin(self.exact_rows, chosen)
        place = torch.searchsorted(chosen, self.exact_rows[inside])
        found[place] = self.exact[inside]
        return found

    def by_attack(self) -> dict[str, Candidates]:
        """Return them by the attack that found each."""
        found = {}
        for attack in dict.fromkeys(self.attacks):
            rows = torch.tensor([row for row, one in enumerate(self.attacks) if one == attack])
            exact = torch.isin(self.exact_rows, rows)
            found[attack] = Candidates(
                self.index[rows],
                self.steps[rows],
                torch.searchsorted(rows, self.exact_rows[exact]),
                self.exact[exact],
            )
        return found

    def write(self, path: Path) -> None:
        """Write them, whole or not at all."""
        fields = dict(vars(self))
        about = {"about": plain(fields.pop("about")), "attacks": list(fields.pop("attacks"))}
        tensors = {name: value.contiguous() for name, value in fields.items()}
        with appearing(path) as partial:
            save_file(tensors, partial, {KEY: json.dumps(about)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read them, and hold each test image to its place.

        Raises
        ------
        BenchError
            The file is missing, damaged, or contradicts itself.
        """
        fix = "restore the file, or evaluate again with evaluation.witnesses: true"
        try:
            with safe_open(path, framework="pt") as file:
                raw = json.loads((file.metadata() or {})[KEY])
                tensors = {name: file.get_tensor(name) for name in TENSORS}
            found = cls(
                **tensors,
                attacks=[str(name) for name in raw["attacks"]],
                about=parse(About, raw["about"], where="about"),
            )
        except (FileNotFoundError, SafetensorError, OSError) as error:
            raise BenchError(f"{path}: missing or truncated ({error}); {fix}") from None
        except (KeyError, TypeError, ValueError, BenchError):
            raise BenchError(f"{path}: no witnesses of this suite; {fix}") from None
        if said := found._contradiction():
            raise BenchError(f"{path}: {said}; {fix}")
        return found

    def _contradiction(self) -> str:
        m, shape = len(self.index), self.pixels.shape
        sizes = {len(self.labels), len(self.pixels), len(self.steps), len(self.attacks)}
        types = {
            (self.index.dtype, torch.int64),
            (self.labels.dtype, torch.int64),
            (self.pixels.dtype, torch.uint8),
            (self.steps.dtype, torch.int8),
            (self.exact.dtype, torch.float32),
            (self.exact_rows.dtype, torch.int64),
        }
        if sizes != {m} or self.steps.shape != shape or any(a != b for a, b in types):
            return "its parts do not belong together"
        if self.exact.shape[1:] != shape[1:] or len(self.exact) != len(self.exact_rows):
            return "its exact images do not belong to the others"
        if m and (self.index.diff() <= 0).any():
            return "an image is there twice"
        if m and not 0 <= int(self.index[0]) <= int(self.index[-1]) < len(self.digests):
            return f"an index is outside the {len(self.digests)} test images"
        if of_all(self.digests) != self.about.images_sha256:
            return "the digests of the test images are not those that it names"
        expected = self.digests[self.index]
        ours = digests(self.pixels, self.labels)
        if wrong := (ours != expected).any(dim=1).nonzero().flatten().tolist():
            return f"image {int(self.index[wrong[0]])} is not the stated test image"
        return ""


TENSORS = ("index", "labels", "pixels", "steps", "exact_rows", "exact", "digests")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Adversarial images that one attack found for test images, as `Witnesses` keeps them."""

    index: Tensor
    steps: Tensor
    exact_rows: Tensor
    exact: Tensor

    def moved(self, by: int) -> Candidates:
        """Return them as of test images that are `by` places further on."""
        return replace(self, index=self.index + by)

    @staticmethod
    def joined(parts: Sequence[Candidates]) -> Candidates:
        """Return those of all `parts`, whose images are in order."""
        counts = [len(one.index) for one in parts]
        starts = [sum(counts[:place]) for place in range(len(counts))]
        return Candidates(
            torch.cat([one.index for one in parts]),
            torch.cat([one.steps for one in parts]),
            torch.cat([one.exact_rows + start for one, start in zip(parts, starts, strict=True)]),
            torch.cat([one.exact for one in parts]),
        )

    @property
    def rows(self) -> dict[int, int]:
        """The place in `exact` by row."""
        return {row: place for place, row in enumerate(self.exact_rows.tolist())}

    def images(self, pixels: Tensor, eps: float) -> Tensor:
        """Return the images, float32 in [0, 1]; `pixels` are the test images of `index`."""
        found = decode(pixels, self.steps, eps)
        found[self.exact_rows] = self.exact
        return found

    def write(self, path: Path, identity: str) -> None:
        """Keep them beside the finished attack, for an evaluation that asks for one more."""
        with appearing(path) as partial:
            save_file(dict(vars(self)), partial, {KEY: identity})

    @classmethod
    def find(cls, path: Path, identity: str) -> Self | None:
        """Return what was kept for this very identity; None where there is nothing."""
        try:
            with safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get(KEY) != identity:
                    return None
                return cls(*(file.get_tensor(name) for name in cls.__dataclass_fields__))
        except (SafetensorError, OSError):
            return None


def digests(pixels: Tensor, labels: Tensor) -> Tensor:
    """Return the SHA-256 of each image with its label: uint8 [N, 32]."""
    found = [
        hashlib.sha256(image.tobytes() + int(label).to_bytes(8, "little")).digest()
        for image, label in zip(
            pixels.cpu().contiguous().numpy(), labels.cpu().tolist(), strict=True
        )
    ]
    return torch.frombuffer(bytearray(b"".join(found)), dtype=torch.uint8).view(-1, 32)


def decode(pixels: Tensor, steps: Tensor, eps: float) -> Tensor:
    """Return float32 images `steps` of eps / 127 from uint8 `pixels`, in the ball and in [0, 1].

    In float64, whose single operations every machine rounds alike.
    """
    centres = to_unit(pixels)
    moved = centres.double() + steps.double() * (eps / STEPS)
    return moved.float().clamp(centres - eps, centres + eps).clamp(0.0, 1.0)


def encode(
    model: nn.Module, test: Images, adversarial: Tensor, fell: Tensor, *, eps: float
) -> Candidates:
    """Return the images of `adversarial` [N, C, H, W] where `fell` [N], all of which fool `model`.

    The 8-bit steps are rounded to the nearest or, where that does not fool the network, away from
    zero; where neither does the image is kept exactly. All tensors are on the CPU.
    """
    index = fell.nonzero().flatten()
    pixels, labels, found = test.pixels.cpu()[index], test.labels.cpu()[index], adversarial[index]
    size = (found.double() - to_unit(pixels).double()) * (STEPS / eps)
    steps = torch.zeros(pixels.shape, dtype=torch.int8)
    left = torch.arange(len(index))
    for rounded in (size.round(), size.sign() * size.abs().ceil()):
        if not len(left):
            break
        tried = rounded[left].clamp(-STEPS, STEPS).to(torch.int8)
        fools = margins(model, decode(pixels[left], tried, eps), labels[left]) > 0
        steps[left[fools]] = tried[fools]
        left = left[~fools]
    return Candidates(index, steps, left, found[left].clone())


def margins(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the strongest wrong logit is above the label's [M], on the CPU.

    In float32 without TF32, as results are made.
    """
    device = next(model.parameters()).device
    found = []
    with evaluating(model), torch.no_grad(), convolutions(tf32=False):
        for part, theirs in zip(
            torch.split(images, BATCH), torch.split(labels, BATCH), strict=True
        ):
            found.append(margin(model(part.to(device)), theirs.to(device)).cpu())
    return torch.cat(found) if found else torch.empty(0)


def merge(
    model: nn.Module, test: Images, found: Mapping[str, Candidates], about: About
) -> Witnesses:
    """Return of each image that fell the adversarial image with the largest margin.

    The margin is what another machine's rounding must overcome. `found` is by attack, in order: of
    equal ones the first counts.
    """
    pixels, labels = test.pixels.cpu(), test.labels.cpu()
    best: dict[int, tuple[float, str, int]] = {}
    for attack, one in found.items():
        images = one.images(pixels[one.index], about.eps)
        raised = margins(model, images, labels[one.index]).tolist()
        for row, (index, value) in enumerate(zip(one.index.tolist(), raised, strict=True)):
            if index not in best or value > best[index][0]:
                best[index] = (value, attack, row)
    order = sorted(best)
    index = torch.tensor(order, dtype=torch.int64)
    steps = torch.zeros((len(order), *pixels.shape[1:]), dtype=torch.int8)
    rows, exact = [], []
    places = {attack: one.rows for attack, one in found.items()}
    for place, number in enumerate(order):
        _, attack, row = best[number]
        steps[place] = found[attack].steps[row]
        if row in places[attack]:
            rows.append(place)
            exact.append(found[attack].exact[places[attack][row]])
    return Witnesses(
        index=index,
        labels=labels[index],
        pixels=pixels[index],
        steps=steps,
        exact_rows=torch.tensor(rows, dtype=torch.int64),
        exact=torch.stack(exact) if exact else torch.empty((0, *pixels.shape[1:])),
        digests=digests(pixels, labels),
        attacks=[best[number][1] for number in order],
        about=about,
    )


def of_all(found: Tensor) -> str:
    """Return the SHA-256 over the digests of all test images [N, 32]."""
    return hashlib.sha256(found.numpy().tobytes()).hexdigest()

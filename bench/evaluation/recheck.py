"""Check a robust accuracy from its witnesses: one forward pass each, and no attack."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.attacks.base import TOLERANCE
from bench.attacks.mode import evaluating
from bench.data.dataset import Images, load, to_unit
from bench.evaluation.job import load_network
from bench.evaluation.witnesses import BATCH, Witnesses, digests
from bench.numerics.device import convolutions
from bench.results.evaluated import read_results, read_run
from bench.results.paths import RunPaths
from bench.results.records import EvaluationRecord
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

# Of the largest logit: what another order of sums, as another device has it, can change.
ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class Rechecked:
    """What the witnesses of one checkpoint show.

    Of `n` test images `fell` have one; `undecided` of these are too near to the boundary for this
    device, which sums in another order, and are not counted as shown. `by` counts them by attack.
    """

    checkpoint: str
    eps: float
    n: int
    fell: int
    undecided: int
    by: dict[str, int]
    images_known: bool
    results_known: bool

    def __str__(self) -> str:
        by = ", ".join(f"{count} by {attack}" for attack, count in self.by.items())
        images = "that the data file has" if self.images_known else "that the file states"
        doubt = f", {self.undecided} of them undecided on this device" if self.undecided else ""
        results = "; records and results agree" if self.results_known else ""
        return (
            f"{self.checkpoint}: {self.fell} of {self.n} test images {images} are not robust at "
            f"eps {self.eps:.6g} ({by}){doubt}: robust accuracy is at most {self.at_most:.2f} %"
            f"{results}"
        )

    @property
    def at_most(self) -> float:
        """What robust accuracy is at most, in percent."""
        return 100 * (1 - (self.fell - self.undecided) / self.n)


def recheck(folder: Path, data: Path | None = None) -> list[Rechecked]:
    """Check all witnesses of a run or of an exported folder.

    They need the weights beside them alone. What else is there must agree: the records, the
    per-example results, and the data file, `data` or that of the experiment.

    Raises
    ------
    BenchError
        Naming the first thing that is not as it should be: an image outside its ball or [0, 1], of
        another test image, or classified correctly; weights, records or results that were changed.
    """
    run = RunPaths(folder)
    files = sorted(run.witnesses("*").parent.glob("*.safetensors"))
    if not files:
        raise BenchError(
            f"{folder}: no witnesses; evaluate the run with evaluation.witnesses: true, or name "
            "another folder"
        )
    if data is None and len(folder.absolute().parents) > 2:
        beside = folder.absolute().parents[2] / "data.safetensors"
        data = beside if beside.is_file() else None
    test = None if data is None else load(data).test
    return [_recheck(run, path, test, data) for path in files]


def _recheck(run: RunPaths, path: Path, test: Images | None, data: Path | None) -> Rechecked:
    witnesses, checkpoint = Witnesses.read(path), path.stem
    weights = run.weights(checkpoint)
    if not weights.is_file():
        weights = run.folder / "model.safetensors"  # of an exported folder
    if not weights.is_file():
        raise BenchError(f"{run.weights(checkpoint)}: missing; put the weights beside {path}")
    if sha256(weights) != witnesses.about.weights_sha256:
        raise BenchError(
            f"{weights}: not the weights that {path} was made with; restore one of the two"
        )
    if test is not None and not torch.equal(digests(test.pixels, test.labels), witnesses.digests):
        raise BenchError(f"{path}: of other test images than {data} has; restore one of the two")
    undecided = _check_images(witnesses, weights, path)
    known = run.evaluation_record.is_file()
    if known:
        _check_results(run, witnesses, checkpoint, path)
    return Rechecked(
        checkpoint=checkpoint,
        eps=witnesses.about.eps,
        n=len(witnesses.digests),
        fell=len(witnesses),
        undecided=undecided,
        by=dict(Counter(witnesses.attacks)),
        images_known=test is not None,
        results_known=known,
    )


def _check_images(witnesses: Witnesses, weights: Path, path: Path) -> int:
    """Raise BenchError unless each image is in its ball and wrong; return how many are in doubt."""
    network, fingerprint = load_network(weights)
    if fingerprint != witnesses.about.fingerprint:
        raise BenchError(f"{path}: of other images than the weights {weights} are for")
    eps, undecided = witnesses.about.eps, 0
    with evaluating(network), torch.no_grad(), convolutions(tf32=False):
        for first in range(0, len(witnesses), BATCH):
            rows = slice(first, first + BATCH)
            moved, labels = witnesses.images(rows), witnesses.labels[rows]
            distance = (moved - to_unit(witnesses.pixels[rows])).abs().flatten(1).amax(dim=1)
            inside = (distance <= eps + TOLERANCE) & (moved.flatten(1).amin(dim=1) >= 0)
            inside &= moved.flatten(1).amax(dim=1) <= 1
            if not inside.all():
                number = int(witnesses.index[rows][~inside][0])
                raise BenchError(
                    f"{path}: image {number} is outside the ball of radius {eps:.6g} or [0, 1], so "
                    "it proves nothing; the file was changed: restore it"
                )
            logits = network(moved)
            right = logits.argmax(dim=1) == labels
            # How far it is from being wrong, beside what rounding explains.
            rivals = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
            lead = logits.gather(1, labels[:, None]).squeeze(1) - rivals
            forged = right & (lead > ROUNDING * logits.abs().amax(dim=1))
            if forged.any():
                number = int(witnesses.index[rows][forged][0])
                raise BenchError(
                    f"{path}: the network is right on image {number}, so it proves nothing; the "
                    "file or the weights were changed: restore them"
                )
            undecided += int(right.sum())
    return undecided


def _check_results(run: RunPaths, witnesses: Witnesses, checkpoint: str, path: Path) -> None:
    """Raise BenchError unless records and per-example results say what the witnesses show."""
    if run.origin_record.is_file():
        evaluation, results = (one := read_run(run)).evaluation, one.results
        if one.training.data.test_images != len(witnesses.digests):
            raise BenchError(
                f"{path}: states {len(witnesses.digests)} test images, and {run.origin_record} "
                f"{one.training.data.test_images}; restore one of the two"
            )
    else:
        evaluation = EvaluationRecord.read(run.evaluation_record, "restore it")
        results = read_results(run, evaluation, len(witnesses.digests))
    where = run.evaluation_record
    evaluated = evaluation.checkpoints.get(checkpoint)
    about = witnesses.about
    if evaluated is None or evaluated.weights_sha256 != about.weights_sha256:
        raise BenchError(f"{where}: of other weights than {path}; restore one of the two")
    if evaluated.witnesses_sha256 != sha256(path):
        raise BenchError(f"{path}: not the witnesses that {where} records; restore one of the two")
    if abs(evaluation.spec.threat.eps - about.eps) > 1e-9:
        raise BenchError(
            f"{where}: threat.eps is {evaluation.spec.threat.eps:.6g}, and the witnesses are in "
            f"balls of {about.eps:.6g}; restore one of the two"
        )
    if evaluation.data.fingerprint != about.fingerprint:
        raise BenchError(f"{where}: of other images than {path}; restore one of the two")
    broken: dict[str, set[int]] = {}
    for attack, result in results[checkpoint].items():
        examples = result.examples
        broken[attack] = set(examples["index"][~examples["robust"]].tolist())
    fell = set[int]().union(*broken.values())
    shown = set(witnesses.index.tolist())
    if missing := sorted(fell - shown):
        raise BenchError(
            f"{where}: image {missing[0]} fell, and no witness shows it; the results were changed:"
            " evaluate again"
        )
    if extra := sorted(shown - fell):
        raise BenchError(
            f"{where}: image {extra[0]} is called robust, and its witness shows that it is not; the"
            " results were changed: evaluate again"
        )
    for number, attack in zip(witnesses.index.tolist(), witnesses.attacks, strict=True):
        if number not in broken.get(attack, ()):
            raise BenchError(
                f"{path}: image {number} is said to fall to {attack}, whose results say otherwise; "
                "one of the two was changed: evaluate again"
            )

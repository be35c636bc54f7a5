"""The suite for other programs: networks, attacks on them, results as frames, claims, the frontier.

What is here keeps its names and meaning from version to version; docs/api.md has an example. The
package's other modules may change. Whatever a caller can get wrong raises BenchError, or
ConfigError, which is one, with a sentence that names the fix.

Importing this module is light: a function imports torch or pandas when it is called.

Shape suffixes: N images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.config.claims import claim_files
from bench.config.experiment import with_step
from bench.config.parsing import Count, nearest, parse, value_of
from bench.config.schema import AutoAttack, Pgd, PgdLoss, Threat
from bench.results.paths import RunPaths
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import sha256
from bench.runtime.places import of_suite

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from bench.data.dataset import Dataset
    from bench.results.experiment import ExperimentResults

__all__ = [
    "Attacked",
    "BenchError",
    "ConfigError",
    "autoattack",
    "judge_claims",
    "load_data",
    "load_network",
    "pgd",
    "plot_frontier",
    "read_experiment",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Attacked:
    """What an attack did to N images; all tensors are on the CPU.

    Attributes
    ----------
    adversarial
        float32 [N, C, H, W] in [0, 1] and within `eps` of the images.
    clean, robust
        bool [N]: the network is right on the image, and still right on the adversarial one.
    broken_by
        N names of the attack or component that broke an image: "clean" where the network was wrong
        already, "" where it is robust.
    """

    adversarial: Tensor
    clean: Tensor
    robust: Tensor
    broken_by: list[str]


def load_network(folder: str | Path, checkpoint: str | None = None) -> nn.Module:
    """Return the network of a run or of an export, on the CPU and in evaluation mode.

    It maps images [N, C, H, W] in [0, 1] to logits [N, K]; normalization is part of it.

    Parameters
    ----------
    folder
        A run, such as results/digits/models/trades/seed0, or what ``memloss-bench export`` wrote.
    checkpoint
        Of a run: "best", which is the default, or "last". An export has only one.

    Raises
    ------
    BenchError
        There is no such checkpoint, its file is damaged, or it is not the one that the run's record
        describes.
    """
    from bench.evaluation.job import load_network as load

    run = RunPaths(Path(folder))
    exported = run.folder / "model.safetensors"
    if not exported.is_file():
        return load(_checked_weights(run, checkpoint or "best"))[0]
    if checkpoint is not None:
        raise BenchError(f"{folder}: an export has one checkpoint; leave out {checkpoint!r}")
    return load(exported)[0]


def _checked_weights(run: RunPaths, checkpoint: str) -> Path:
    """Return the file of a checkpoint, which must be the one on record."""
    from bench.results.origin import read_origin

    record = read_origin(run, "name the folder of a run or of an export")
    if checkpoint not in record.checkpoints:
        known = nearest(checkpoint, record.checkpoints)
        raise BenchError(f"{run.folder} has no checkpoint {checkpoint!r}; {known}")
    path = run.weights(checkpoint)
    if not path.is_file():
        raise BenchError(f"{path}: missing; a published run has no weights, so train it here")
    if sha256(path) != record.checkpoints[checkpoint].weights_sha256:
        raise BenchError(f"{path}: not the weights that {run.origin_record.name} records")
    return path


def load_data(path: str | Path) -> Dataset:
    """Return the images of a data file, such as results/digits/data.safetensors.

    `train` and `test` have `pixels`, uint8 [N, C, H, W], and `labels`, int64 [N].

    Raises
    ------
    BenchError
        The file is missing or damaged.
    """
    from bench.data.dataset import load

    return load(Path(path))


def pgd(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | str,
    steps: int = 20,
    step_size: float | str | None = None,
    restarts: int = 1,
    loss: PgdLoss = "ce",
    seed: int = 0,
    batch_size: int = 200,
) -> Attacked:
    """Attack images by PGD from uniform starts in the Linf ball, as an evaluation does.

    Parameters
    ----------
    network
        Maps images [N, C, H, W] in [0, 1] to logits [N, K]. It is attacked in evaluation mode on
        the device that it is on, and given back as it was.
    images
        [N, C, H, W]: uint8, or float32 in [0, 1].
    labels
        int64 [N].
    eps, step_size
        Radius and length of a step in pixel values from 0 to 1, as numbers or as text such as
        "8/255". A step is a quarter of `eps` where it is left out.
    steps, restarts
        Gradients of each attempt, and attempts on each image, of which the most harmful counts.
    loss
        "ce" is cross-entropy, "margin" the strongest other logit minus the label's, and
        "targeted_margin" that of each of nine classes, each attacked in its own attempts.
    seed
        Of the starts. They are drawn for each batch, so `batch_size` is part of the result.

    Raises
    ------
    BenchError
        An argument is out of its range.
    ValueError
        Shapes, types or values of `images` and `labels` do not fit.

    Source: Madry et al. 2018, arXiv:1706.06083.
    """
    import torch

    from bench.attacks.pgd import pgd as attack_batch
    from bench.evaluation.per_example import correct
    from bench.numerics.device import convolutions
    from bench.numerics.seeding import stream

    radius, batch = _checked(eps, batch_size, where="pgd")
    given = {"steps": steps, "step_size": step_size, "restarts": restarts, "loss": loss}
    asked = with_step(parse(Pgd, {**given, "seed": seed}, where="pgd"), radius, where="pgd")
    x_NCHW, y_N = _on_device(network, images, labels)
    moved = []
    with convolutions(tf32=False):
        for first in range(0, len(x_NCHW), batch):
            part = slice(first, first + batch)
            found = attack_batch(
                network,
                x_NCHW[part],
                y_N[part],
                eps=radius,
                step=asked.size,
                steps=asked.steps,
                restarts=asked.restarts,
                loss=asked.loss,
                generator=stream(asked.seed, "pgd", first, device=x_NCHW.device),
            )
            moved.append(found)
    adversarial = torch.cat(moved)
    clean = correct(network, x_NCHW, y_N, batch)
    robust = clean & correct(network, adversarial, y_N, batch)
    pairs = zip(clean.tolist(), robust.tolist(), strict=True)
    return Attacked(
        adversarial=adversarial.cpu(),
        clean=clean.cpu(),
        robust=robust.cpu(),
        broken_by=["" if kept else "pgd" if fine else "clean" for fine, kept in pairs],
    )


def autoattack(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | str,
    seed: int = 0,
    batch_size: int = 200,
) -> Attacked:
    """Attack images by AutoAttack's standard version, run by its own package.

    Arguments are those of `pgd`. An image of `adversarial` that no component broke is the clean
    one. Each batch is a run of the package, the first with `seed` and each further one with the
    next, as in an evaluation.

    Raises
    ------
    BenchError
        An argument is out of its range, or the network has fewer than ten classes.
    ValueError
        Shapes, types or values of `images` and `labels` do not fit.

    Source: Croce and Hein 2020, arXiv:2003.01690.
    """
    import torch

    from bench.attacks.autoattack import run_standard
    from bench.numerics.device import convolutions

    radius, batch = _checked(eps, batch_size, where="autoattack")
    asked = parse(AutoAttack, {"seed": seed}, where="autoattack")
    x_NCHW, y_N = _on_device(network, images, labels)
    with convolutions(tf32=False):
        parts = [
            run_standard(
                network,
                x_NCHW[first : first + batch],
                y_N[first : first + batch],
                eps=radius,
                seed=asked.seed + number,
                batch_size=batch,
                device=x_NCHW.device,
            )
            for number, first in enumerate(range(0, len(x_NCHW), batch))
        ]
    return Attacked(
        adversarial=torch.cat([part.adversarial for part in parts]).cpu(),
        clean=torch.cat([part.clean for part in parts]),
        robust=torch.cat([part.robust for part in parts]),
        broken_by=[name for part in parts for name in part.broken_by],
    )


def _checked(eps: float | str, batch_size: int, *, where: str) -> tuple[float, int]:
    radius = parse(Threat, {"eps": eps}, where=where).eps
    return radius, value_of(Count, batch_size, f"{where}.batch_size")


def _on_device(network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return images in [0, 1] and labels where `network` is; ValueError where they do not fit."""
    import torch

    from bench.data.dataset import to_unit

    unit = to_unit(images) if images.dtype == torch.uint8 else images
    if unit.dtype != torch.float32 or unit.ndim != 4 or not len(unit):
        raise ValueError("images: expected uint8 or float32 [N, C, H, W] with at least one image")
    # Not a number is in no range.
    if not (unit.min() >= 0 and unit.max() <= 1):
        raise ValueError("images: expected values in [0, 1]; normalization is part of the network")
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise ValueError(f"labels: expected int64 [{len(images)}]")
    device = next(network.parameters(), images).device
    return unit.to(device), labels.to(device)


def read_experiment(folder: str | Path) -> ExperimentResults:
    """Return the results of an experiment, such as those in results/digits, as frames.

    `summary` has a row for each network, checkpoint and attack, `examples` one for each test image
    as well, `history` one for each run and epoch; docs/results.md describes their columns, and
    accuracies are in percent. A frame is read when it is first asked for. `costs`, `statistics`,
    `claims` and `ablations` are None where there is no such file.

    Raises
    ------
    BenchError
        The folder has no summary.csv; of a frame, when it is read, that its file is damaged or
        does not agree with the records.
    """
    from bench.results.experiment import ExperimentResults

    experiment = ExperimentResults(Path(folder))
    if not experiment.paths.summary.is_file():
        raise BenchError(
            f"{experiment.paths.summary}: missing; name the folder of an experiment, or make it "
            f"with `python -m bench summarize --folder {folder}`"
        )
    return experiment


def judge_claims(
    experiment: ExperimentResults, files: Iterable[str | Path] | None = None
) -> pd.DataFrame:
    """Return the verdict on each claim of `files`, one row a claim, with the columns of claims.csv.

    `verdict`, `estimate`, `low` and `high` are among them (docs/claims.md), indexed by the claim's
    id. By default the claims are those of the suite whose paper proposes a method of `experiment`.

    Raises
    ------
    BenchError
        A file of claims cannot be read, or a key of it is wrong.
    """
    from bench.analysis.claims.table import claims_table

    if files is None:
        chosen = claim_files(experiment.ours["base_method"], None)
    else:
        chosen = [Path(file) for file in files]
    return claims_table(experiment, chosen).set_index("id")


def plot_frontier(
    experiment: ExperimentResults,
    attack: str | None = None,
    checkpoint: str = "best",
    *,
    published: bool = True,
) -> Figure:
    """Return the figure of clean accuracy against robust accuracy, both in percent.

    Parameters
    ----------
    attack
        By which robustness is told, such as "pgd20"; the strongest that was run by default.
    checkpoint
        "best" or "last".
    published
        Whether the numbers that papers and RobustBench report are shown beside those of `best`.

    Raises
    ------
    BenchError
        `attack` was not run on `checkpoint`.
    """
    from bench.analysis.plots import style
    from bench.analysis.plots.context import Context
    from bench.analysis.plots.frontier import frontier
    from bench.results.published import Published

    files = [of_suite(f"config/{name}.csv") for name in ("reported", "robustbench")]
    context = Context(experiment, Published.read(*files) if published else Published())
    attack = attack or context.attack
    if context.accuracies(attack, checkpoint).empty:
        ran = nearest(attack, sorted(set(experiment.ours["attack"]) - {"clean"}))
        raise BenchError(f"attack: {attack!r} was not run on {checkpoint!r}; {ran}")
    with style.styled():
        return frontier(context, attack, checkpoint).draw()

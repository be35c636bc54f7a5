"""What the loss of `training.validation_attack` does to `best`: the table of docs/statistics.md.

`python docs/selection.py config/digits.yaml --methods trades_beta1 pgd_at --seeds 0 1` trains each
method once, attacks its held-out images after every epoch with PGD on each loss, and attacks with
AutoAttack the test images of every epoch that one of the losses chooses.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.api import autoattack
from bench.config.experiment import Experiment
from bench.config.loading import read_config
from bench.config.schema import PgdLoss
from bench.data.dataset import Dataset, load
from bench.data.job import prepare
from bench.numerics.device import prepare as on_device
from bench.training.metrics import pgd_accuracy
from bench.training.run import Run

LOSSES = get_args(PgdLoss)


def chosen(
    experiment: Experiment, label: str, seed: int, data: Dataset, losses: Sequence[PgdLoss]
) -> Iterator[dict[str, Any]]:
    """Train once; yield for each loss the epoch that it chooses and what AutoAttack says of it."""
    spec = experiment.train_spec(label, seed)
    recipe = spec.training
    run = Run(spec, data, torch.device(spec.compute.device))
    kept, validated = {}, {}
    for number in range(1, recipe.epochs + 1):
        epoch = run.epoch(number, lambda *_: None)
        kept[number] = deepcopy(run.network())
        for loss in losses:
            robust = pgd_accuracy(
                run.engine.eval_model(run.network()),
                run.selection_images,
                2 * recipe.batch_size,
                eps=spec.threat.eps,
                attack=replace(recipe.validation_attack, loss=loss),
                seed=seed,
            )
            validated[loss, number] = replace(epoch, validation_pgd=robust)
    judged: dict[int, Any] = {}
    for loss in losses:
        best = 1
        for number in kept:
            if run.better(validated[loss, number], validated[loss, best]):
                best = number
        if best not in judged:
            images, labels = data.test.pixels, data.test.labels
            judged[best] = autoattack(kept[best], images, labels, eps=spec.threat.eps)
        yield {
            "method": label,
            "seed": seed,
            "loss": loss,
            "epoch": best,
            "validation": validated[loss, best].validation_pgd,
            "clean": 100 * float(judged[best].clean.float().mean()),
            "autoattack": 100 * float(judged[best].robust.float().mean()),
        }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Return for each method and loss how often it chooses another epoch than `ce`, and means.

    `gain` is the mean of AutoAttack accuracy minus that of the epoch which `ce` chose.
    """
    run = ["method", "seed"]
    ce = rows.loc[rows["loss"] == "ce", [*run, "epoch", "autoattack"]]
    rows = rows.merge(ce, on=run, suffixes=("", "_ce"))
    rows["other epoch"] = rows["epoch"] != rows["epoch_ce"]
    rows["gain"] = rows["autoattack"] - rows["autoattack_ce"]
    groups = rows.groupby(["method", "loss"], sort=False)
    means = groups[["validation", "clean", "autoattack", "gain"]].mean()
    counts = groups["other epoch"].sum().astype(str) + " of " + groups.size().astype(str)
    means.insert(0, "other epoch", counts)
    return means.reset_index()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, required=True)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=LOSSES)
    parser.add_argument("--out", type=Path, help="a CSV of every row, appended run by run")
    asked = parser.parse_args()
    experiment = read_config(asked.config)
    on_device(experiment.compute)
    with tempfile.TemporaryDirectory() as folder:
        prepare(experiment.data, experiment.needs, Path(folder) / "data.safetensors")
        data = load(Path(folder) / "data.safetensors")
    found = []
    for seed in asked.seeds:
        for label in asked.methods:
            found += chosen(experiment, label, seed, data, asked.losses)
            if asked.out is not None:
                pd.DataFrame(found).to_csv(asked.out, index=False)
            print(pd.DataFrame(found[-len(asked.losses) :]).to_string(index=False), flush=True)
    print(summary(pd.DataFrame(found)).to_markdown(index=False, floatfmt=".2f"))

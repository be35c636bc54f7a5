"""An experiment as frames, without a file: what figures and the report are made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from bench.analysis.plots.context import Context
from bench.analysis.plots.draw import FigureData
from bench.results.columns import CURVES, HISTORY, SUMMARY, SURFACES, TRANSFER
from bench.results.experiment import ExperimentResults
from bench.results.published import ModelCard, Published, Reported
from bench.results.tables import from_rows

EPS = 8 / 255
N = 1000
OPTIONS = {
    "standard": ("standard", ""),
    "pgd_at": ("pgd_at", ""),
    "trades": ("trades", "beta=6"),
    "trades_beta1": ("trades", "beta=1"),
    "trades_beta3": ("trades", "beta=3"),
    "mart": ("mart", "beta=5"),
    "memloss_v1": ("memloss", "variant=v1;weight=A;beta=3;memory_beta=2"),
    "memloss_v1_placebo": ("memloss", "variant=v1;weight=A;beta=3;alignment=clean_crop"),
}
ABSENT: dict[str, Any] = {
    "history": pd.DataFrame(columns=["method", "seed", *HISTORY.columns]),
    "examples": pd.DataFrame(columns=["method", "seed", "checkpoint", "attack", "broken_by"]),
    "curves": pd.DataFrame(columns=["method", "seed", *CURVES.columns]),
    "surfaces": pd.DataFrame(columns=["method", "seed", *SURFACES.columns]),
    "transfer": pd.DataFrame(columns=["seed", *TRANSFER.columns]),
    "statistics": None,
    "claims": None,
    "costs": None,
    "ablations": None,
    "trainings": {},
    "evaluations": {},
    "diagnostics": {},
    "transfers": {},
    "merged": None,
    "has_examples": False,
}


def summary(
    accuracies: Mapping[str, Iterable[tuple[float, float]]],
    *,
    attack: str = "autoattack",
    checkpoint: str = "best",
    **columns: Any,
) -> pd.DataFrame:
    """Return rows of summary.csv: by method clean and robust accuracy in percent of each seed."""
    rows = []
    for method, seeds in accuracies.items():
        base, options = OPTIONS.get(method, (method, ""))
        for seed, values in enumerate(seeds):
            for name, accuracy in zip(("clean", attack), values, strict=True):
                row = {
                    **{"experiment": "paper", "dataset": "cifar10", "model": "resnet18"},
                    **{"method": method, "seed": seed, "checkpoint": checkpoint},
                    **{"selected_on": "validation", "attack": name, "n": N},
                    **{"eps": 0.0 if name == "clean" else EPS, "correct": round(accuracy * 10)},
                    **{"accuracy": accuracy, "ci_low": accuracy - 3, "ci_high": accuracy + 3},
                    **{"base_method": base, "options": options, "selected_by": "PGD accuracy"},
                    "origin": "trained",
                }
                rows.append({name: "" for name in TEXTS} | row | columns)
    return from_rows(SUMMARY, rows)


TEXTS = [name for name, column in SUMMARY.columns.items() if column.kind == "text"]


def results(frame: pd.DataFrame, **parts: Any) -> ExperimentResults:
    """Return results of which nothing is on disk: what is not given is absent."""
    found = ExperimentResults(Path("results/paper"))
    found.__dict__ |= ABSENT | {"summary": frame} | parts
    return found


def context(accuracies: Any, published: Published | None = None, **parts: Any) -> Context:
    """Return the context of these results."""
    frame = accuracies if isinstance(accuracies, pd.DataFrame) else summary(accuracies)
    return Context(results(frame, **parts), published or Published())


def charts(figure: FigureData) -> dict[str, go.Figure]:
    """Return the charts of the page by name; plotly refuses what it does not know."""
    return {name: go.Figure(chart) for name, chart in figure.charts().items()}


def history(
    method: str, seed: int, clean: Iterable[float], pgd: Iterable[float], **columns: Any
) -> pd.DataFrame:
    """Return the learning curve of a run."""
    rows = pd.DataFrame({"validation_clean": list(clean), "validation_pgd": list(pgd)})
    return rows.assign(method=method, seed=seed, epoch=range(1, len(rows) + 1), **columns)


def training(best: int, **values: Any) -> SimpleNamespace:
    """Return the part of a record of training that says which epoch was kept as best."""
    kept = {"best": SimpleNamespace(epoch=best)}
    return SimpleNamespace(checkpoints=kept, **{"selected_by": "PGD accuracy", **values})


def reported(method: str, clean: float, robust: float, **values: Any) -> tuple[Reported, ...]:
    """Return the two numbers that a paper reports of a method."""
    base, options = OPTIONS.get(method, ("", ""))
    told: dict[str, Any] = {
        **{"dataset": "cifar10", "model": "resnet18", "method": method, "spec_method": base},
        **{"options": options, "eps": EPS, "n": None, "checkpoint_rule": "", "source": "A paper"},
        "kind": "paper",
    }
    pairs = (("clean", clean), ("autoattack", robust))
    return tuple(Reported(metric=m, value=v, **{**told, **values}) for m, v in pairs)


def card(name: str, clean: float, robust: float, **values: Any) -> ModelCard:
    """Return a model of RobustBench."""
    told: dict[str, Any] = {"dataset": "cifar10", "architecture": "ResNet-18", "eps": EPS}
    return ModelCard(
        name=name, clean=clean, autoattack=robust, **{**told, "data": "plain"} | values
    )

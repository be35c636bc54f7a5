"""What all figures of an experiment share: how methods are shown, which attack tells robustness."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import pandas as pd

from bench.analysis.plots.style import MethodDisplay, method_displays
from bench.analysis.robust import strongest
from bench.results.experiment import NOT_ATTACKS, ExperimentResults
from bench.results.flags import OTHER_IMAGES, OWN_RECIPE, flags_of
from bench.results.order import checkpoint_order
from bench.results.published import ModelCard, Published, Reported
from bench.runtime.errors import BenchError

# TRADES and its heirs attack with 0.031, which is 7.9/255: near enough to show, and to name.
NEAR = 0.001
V = TypeVar("V")


@dataclass(frozen=True)
class ReportedPoint:
    """Two accuracies that one source reports of one network.

    `method` is the label of our run that it is about, or one of its own.
    """

    method: str
    clean: float
    robust: Reported


class Context:
    """An experiment as figures see it."""

    def __init__(self, results: ExperimentResults, published: Published) -> None:
        self.results = results
        self.published = published

    @cached_property
    def attack(self) -> str:
        """The attack by which robustness is told, at `best`; BenchError where none was run."""
        return self._strongest(exclude=())

    @cached_property
    def single_attack(self) -> str:
        """The same among the attacks that have per-example results of their own."""
        return self._strongest(exclude=("worst_case",))

    def _strongest(self, exclude: Iterable[str]) -> str:
        ours = self.results.ours
        best = ours[(ours["checkpoint"] == "best") & ~ours["attack"].isin(list(exclude))]
        by_attack = {str(name): list(rows) for name, rows in best.groupby("attack")["accuracy"]}
        found = strongest(by_attack)
        if found is None:
            raise BenchError(
                f"{self.results.paths.summary}: no attack was run on a `best` checkpoint; add "
                "evaluation.pgd or evaluation.autoattack to the config"
            )
        return found

    @cached_property
    def methods(self) -> dict[str, MethodDisplay]:
        """The methods of this experiment, by label, in the order in which they are shown."""
        labels = list(self.results.ours["method"].unique())
        return {label: shown for label, shown in self.displays.items() if label in labels}

    @cached_property
    def networks(self) -> dict[str, list[str]]:
        """The labels of `methods` by that of their network."""
        models = self.results.ours.drop_duplicates("method").set_index("method")["model"]
        found: dict[str, list[str]] = {}
        for label in self.methods:
            found.setdefault(str(models[label]), []).append(label)
        return found

    @cached_property
    def displays(self) -> dict[str, MethodDisplay]:
        """`methods`, and those that only others report."""
        columns = ["method", "base_method", "options", "flags", "model"]
        ours = self.results.ours
        others = [
            (point.method, robust.spec_method or robust.method, robust.options, "", robust.model)
            for attack in sorted(set(ours["attack"]) - {"clean"})
            for point in self.reported(attack)
            for robust in (point.robust,)
            if point.method not in set(ours["method"])
        ]
        return method_displays(ours[columns], pd.DataFrame(others, columns=columns))

    @cached_property
    def radii(self) -> list[float]:
        """The radii that our networks were attacked with."""
        ours = self.results.ours
        return sorted(ours.loc[~ours["attack"].isin(NOT_ATTACKS), "eps"].unique().tolist())

    def accuracies(self, attack: str, checkpoint: str = "best") -> pd.DataFrame:
        """Return method, seed, clean and robust of each network that `attack` was run on."""
        ours = self.results.ours
        rows = ours[(ours["checkpoint"] == checkpoint) & ours["attack"].isin(["clean", attack])]
        wide = rows.pivot(index=["method", "seed"], columns="attack", values="accuracy")
        wide = wide.reindex(columns=["clean", attack]).dropna()
        wide.columns = pd.Index(["clean", "robust"])
        return self.ordered(wide.reset_index())

    def ordered(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in the order of the methods, then by seed."""
        order = {label: place for place, label in enumerate(self.displays)}
        keyed = frame.assign(_place=frame["method"].map(order))
        by = ["_place", "seed"] if "seed" in frame else ["_place"]
        return keyed.sort_values(by, kind="stable").drop(columns="_place").reset_index(drop=True)

    def reported(self, attack: str) -> list[ReportedPoint]:
        """Return what is reported for this data set and its networks, where both numbers are known.

        A number of a last epoch is left out: figures show it beside `best`. Where a label of ours
        means something else than the reported method, the point gets a label of its own.
        Beside images that only have the name of a published data set there is nothing.
        """
        ours = self.results.ours
        if OTHER_IMAGES in flags_of(ours["flags"]):
            return []
        here = set(zip(ours["dataset"], ours["model"], strict=True))
        pairs: dict[tuple[str, str, str], dict[str, Reported]] = {}
        for row in self.published.reported:
            if (row.dataset, row.model) in here and row.allows("best"):
                pairs.setdefault((row.model, row.method, row.source), {})[row.metric] = row
        shared = ours[~ours["flags"].str.contains(rf"\b{OWN_RECIPE}\b")]
        fitting = {
            (run.model, run.base_method, run.options): run.method for run in shared.itertuples()
        }
        taken, found = set(ours["method"]), []
        for (model, name, _), pair in pairs.items():
            if "clean" not in pair or attack not in pair:
                continue
            robust = pair[attack]
            label = f"{name}_reported" if name in taken else name
            # Of several networks each has points of its own.
            label = label if len(here) == 1 else f"{label}_{model}"
            label = fitting.get((model, robust.spec_method, robust.options), label)
            found.append(ReportedPoint(label, pair["clean"].value, robust))
        return found

    def cards(self, attack: str) -> list[ModelCard]:
        """Return RobustBench's 18-layer models for this data set and about one of our radii.

        Their robustness is AutoAttack's alone: beside PGD it would look worse than it is.
        """
        dataset = self.results.ours["dataset"].iloc[0]
        if OTHER_IMAGES in flags_of(self.results.ours["flags"]):
            return []
        return [
            card
            for card in self.published.cards
            if attack == "autoattack"
            and card.dataset == dataset
            and re.search(r"(?<!\d)18$", card.architecture)
            and card.eps is not None
            and any(abs(card.eps - eps) <= NEAR for eps in self.radii)
        ]


def mean_over_seeds(frame: pd.DataFrame, at: str, value: str) -> pd.DataFrame:
    """Return method, `at` and the mean of `value`, at each place that all of its seeds have.

    A seed whose curve ends earlier would leave a mean of the others alone. A method's seeds are
    those with a value anywhere.
    """
    known = frame.dropna(subset=[value])
    seeds = known.groupby("method")["seed"].nunique()
    found = known.groupby(["method", at])[value].agg(["mean", "count"]).reset_index()
    found = found[found["count"] == found["method"].map(seeds)]
    return found.rename(columns={"mean": value})[["method", at, value]].reset_index(drop=True)


def shown_checkpoint(frame: pd.DataFrame) -> pd.DataFrame:
    """Return of each method and seed the rows of the checkpoint that figures show: best if there.

    `frame` may be of seeds alone, without methods.
    """
    if frame.empty:
        return frame
    keys = [name for name in ("method", "seed") if name in frame]
    # As plain text: a category has no smallest.
    place = frame["checkpoint"].astype(str).map(lambda name: checkpoint_order(name)[0])
    return frame[place == place.groupby([frame[name] for name in keys]).transform("min")]


def of_shown_checkpoint(by_checkpoint: dict[str, V]) -> V:
    """Return the entry of the checkpoint that figures show."""
    return by_checkpoint[min(by_checkpoint, key=checkpoint_order)]

"""The results of an experiment as claims ask for them, and what is missing for that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.analysis.claims.claim import HARMONIC, Scope, Trained
from bench.analysis.statistics.crossed import Estimate
from bench.analysis.statistics.outcomes import ByAttack, across_checkpoints
from bench.analysis.statistics.quantities import (
    Quantity,
    accuracy,
    difference,
    harmonic_mean,
    measure,
)
from bench.results.experiment import ExperimentResults
from bench.results.flags import ON_TEST, OTHER_IMAGES, OWN_RECIPE, SUBSET, TRAIN_SUBSET, flags_of
from bench.results.origin import TRAINED
from bench.results.text import eps_text

# Flags of rows of other images or of a part of them, or whose checkpoint the test set chose.
PARTS = {
    OTHER_IMAGES: "the images here are not the published ones (not_the_published_images)",
    SUBSET: "only a part of the images was used here (subset)",
    TRAIN_SUBSET: "only a part of the images was used here (train_subset)",
    ON_TEST: "the test set chose the checkpoint here (selected_on_test)",
}


class NotRunError(Exception):
    """What a claim needs and these results do not have; no mistake of the user."""


class Evidence:
    """An experiment's results at the checkpoint of a scope, with methods by what was trained.

    Parameters
    ----------
    outcomes
        Of every checkpoint.
    methods
        The methods of the claims, by their name there.
    """

    def __init__(
        self,
        results: ExperimentResults,
        outcomes: Mapping[str, ByAttack],
        methods: Mapping[str, Trained],
        scope: Scope,
    ) -> None:
        self.results, self.methods, self.scope = results, methods, scope
        self.rows = results.ours[results.ours["checkpoint"] == scope.checkpoint]
        self.outcomes: ByAttack = outcomes.get(scope.checkpoint, {})

    def label(self, name: str) -> str:
        """Return the label under which the method `name` of the claims was trained.

        Raises
        ------
        NotRunError
            It was not trained or not evaluated at this checkpoint, or by a recipe of its own alone
            and the claims do not name the label, or several labels would do.
        """
        trained = self.methods[name]
        same = self.rows["base_method"] == trained.method
        rows = self.rows[same & (self.rows["options"] == trained.options)]
        # Of an experiment with several networks the claim is about its own.
        if (of_scope := rows["model"] == self.scope.model).any():
            rows = rows[of_scope]
        # What was trained here, by a known recipe, goes before weights of others.
        if (ours := rows["origin"] == TRAINED).any() and trained.label is None:
            rows = rows[ours]
        fitting = sorted(set(rows["method"]))
        if trained.label is not None:
            chosen = [label for label in fitting if label == trained.label]
        else:
            own = set(rows.loc[rows["flags"].str.contains(rf"\b{OWN_RECIPE}\b"), "method"])
            chosen = [label for label in fitting if label not in own]
        if len(chosen) == 1:
            return str(chosen[0])
        if chosen:
            raise NotRunError(
                f"{', '.join(chosen)} are all {trained}: say which by `label` in methods.{name} of "
                "the claims"
            )
        said = f"no run of {trained} with the checkpoint {self.scope.checkpoint!r}"
        if not fitting:
            raise NotRunError(f"{said}: add it to `methods` of the configuration")
        what = "by the shared recipe" if trained.label is None else f"labelled {trained.label!r}"
        raise NotRunError(
            f"{said} is {what}; where {' or '.join(fitting)} is meant, name it by `label` in "
            f"methods.{name} of the claims"
        )

    def labels(self, names: Iterable[str]) -> list[str]:
        """Return the labels of several methods."""
        return [self.label(name) for name in names]

    def check_network(self, labels: Sequence[str]) -> None:
        """Refuse to compare methods of different networks.

        Raises
        ------
        NotRunError
            Naming the networks.
        """
        models = self.rows_of(labels, ()).groupby("model")["method"].unique()
        if len(models) > 1:
            told = " and ".join(f"{', '.join(own)} of {model}" for model, own in models.items())
            raise NotRunError(f"the networks differ, {told}: train the methods on one")

    def check_seeds(self, labels: Iterable[str], attacks: Iterable[str]) -> None:
        """Refuse to answer from fewer seeds than the experiment has at this checkpoint.

        Raises
        ------
        NotRunError
            Naming the method, the attack and the seeds that are missing.
        """
        ours = self.rows["origin"] == TRAINED
        # Weights of others have the seeds that their config says.
        every = set(self.rows.loc[ours if ours.any() else ~ours, "seed"])
        for label in labels:
            for attack in attacks or ("",):
                there = set(self.rows_of([label], [attack] if attack else [])["seed"])
                missing = ", ".join(map(str, sorted(every - there)))
                if there and missing:
                    what = f"no results under {attack!r}" if attack else "no run"
                    raise NotRunError(
                        f"{label} has {what} with seed {missing} on the checkpoint "
                        f"{self.scope.checkpoint!r}, as others have: use the same `seeds` for all"
                    )

    def quantity(self, metric: str, name: str) -> Quantity:
        """Return a metric of the method `name`: an accuracy, or the harmonic mean of two."""
        label = self.label(name)
        if metric == HARMONIC:
            return harmonic_mean("autoattack", label)
        return accuracy(metric, label)

    def overfitting(self, metric: str, name: str) -> Quantity:
        """Return a metric of the method `name` at its best epoch minus at its last one.

        Its terms are for `estimate` with `across`.
        """
        label = self.label(name)
        return difference(accuracy(metric, f"{label}/best"), accuracy(metric, f"{label}/last"))

    def estimate(self, quantity: Quantity, *, across: bool = False) -> Estimate:
        """Return the estimate of `quantity`.

        With `across` its methods are called ``label/checkpoint``, in place of those of the scope's.

        Raises
        ------
        NotRunError
            An attack was not run, or no seed or image is common to all that it is about.
        """
        outcomes = across_checkpoints(self.results) if across else self.outcomes
        for attack, label in quantity.terms:
            if attack not in outcomes or not outcomes[attack].seeds([label]):
                where = "" if across else f" on the checkpoint {self.scope.checkpoint!r}"
                raise NotRunError(
                    f"{label} has no results under {attack!r}{where}: add it to `evaluation` of "
                    "the configuration"
                )
        found = measure(outcomes, quantity)
        if found is None:
            raise NotRunError(
                f"no seed, or no image, is common to {', '.join(quantity.methods)} under "
                f"{', '.join(quantity.attacks)}: use the same `seeds` and `images` for all"
            )
        return found

    def rows_of(self, labels: Sequence[str], attacks: Sequence[str]) -> pd.DataFrame:
        """Return the summary's rows of methods and attacks; of all attacks where none is named."""
        rows = self.rows[self.rows["method"].isin(labels)]
        return rows[rows["attack"].isin(attacks)] if attacks else rows

    def flags(self, labels: Sequence[str], attacks: Sequence[str]) -> set[str]:
        """Return the flags of `rows_of`."""
        return flags_of(self.rows_of(labels, attacks)["flags"])

    def flags_of_training(self, labels: Sequence[str]) -> set[str]:
        """Return the flags that hold for all of a run, its times and epochs included."""
        return {OWN_RECIPE} & self.flags(labels, ())

    def other_data(self) -> str:
        """Return that no result here is of the scope's data set; empty where one is."""
        ours = sorted(set(self.rows["dataset"]))
        if self.scope.dataset in ours or not ours:
            return ""
        return f"the data set here is {', '.join(ours)}"

    def elsewhere(self, labels: Sequence[str], attacks: Sequence[str]) -> str:
        """Return in what these results are others than the scope's; empty where they are not."""
        rows = self.rows_of(labels, ())
        radii = rows.loc[rows["attack"] != "clean", "eps"].map(eps_text)
        for what, ours, theirs in (
            ("data set", rows["dataset"], self.scope.dataset),
            ("model", rows["model"], self.scope.model),
            ("eps", radii, eps_text(self.scope.eps)),
        ):
            if set(ours) - {theirs}:
                return f"the {what} here is {', '.join(sorted(set(ours)))}"
        flags = self.flags(labels, attacks)
        return next((said for flag, said in PARTS.items() if flag in flags), "")

    def training_seconds(self, labels: Sequence[str]) -> dict[str, dict[int, float]]:
        """Return the wall time of every training, by label and seed.

        Raises
        ------
        NotRunError
            costs.csv does not tell it, or the trainings ran on different devices.
        """
        costs = self.results.costs
        if costs is None:
            raise NotRunError("costs.csv is missing: make it with `python -m bench summarize`")
        trained = costs[(costs["stage"] == "train") & costs["method"].isin(labels)]
        seconds = {
            label: dict(zip(own["seed"].astype(int), own["seconds"], strict=True))
            for label in labels
            for own in [trained[trained["method"] == label]]
        }
        for label, times in seconds.items():
            if not times or min(times.values()) <= 0:
                raise NotRunError(f"costs.csv has no time of training {label}")
        if len(devices := sorted(set(trained["device"]))) > 1:
            raise NotRunError(
                f"the trainings ran on different devices ({', '.join(devices)}): time both on one"
            )
        return seconds

    def of_epochs(self, label: str, column: str) -> dict[int, list[float]]:
        """Return a column of every run's history, one value for each epoch, by seed.

        Raises
        ------
        NotRunError
            A history or the column is missing, or is empty.
        """
        history, found = self.results.history, {}
        for seed in sorted(set(self.rows.loc[self.rows["method"] == label, "seed"])):
            own = history[(history["method"] == label) & (history["seed"] == seed)]
            place = f"models/{label}/seed{seed}/history.csv"
            if own.empty:
                raise NotRunError(f"{place} is missing: it was not measured")
            if column not in own or own[column].isna().all():
                raise NotRunError(f"{place} has no column {column!r}: it was not measured")
            found[seed] = own[column].dropna().tolist()
        return found


def paired(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Estimate:
    """Return the mean of ours minus theirs over the seeds that both have, of no images.

    Raises
    ------
    NotRunError
        There is no such seed.
    """
    seeds = sorted(set(ours) & set(theirs))
    if not seeds:
        raise NotRunError("no seed is common to both methods: train both with the same `seeds`")
    by_seed = np.array([ours[seed] - theirs[seed] for seed in seeds])
    return Estimate(float(by_seed.mean()), by_seed, 0)

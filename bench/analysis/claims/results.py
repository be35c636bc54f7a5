"""The results of an experiment as claims ask for them, and what is missing for that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.analysis.claims.claim import HARMONIC, Scope, Trained
from bench.analysis.labels import eps_text
from bench.analysis.statistics.crossed import Estimate
from bench.analysis.statistics.evidence import Evidence, Judged
from bench.analysis.statistics.quantities import (
    Quantity,
    accuracy,
    harmonic_mean,
    measure,
)
from bench.config.parsing import nearest
from bench.results.csv_file import cell_number, read_table
from bench.results.flags import ON_TEST, OTHER_IMAGES, OWN_RECIPE, SUBSET, TRAIN_SUBSET
from bench.runtime.errors import ConfigError

COST_COLUMNS = ("method", "seed", "stage", "seconds", "device")
# Flags of rows of other images or of a part of them, or whose checkpoint the test set chose.
PARTS = {
    OTHER_IMAGES: "the images here are not the published ones (not_the_published_images)",
    SUBSET: "only a part of the images was used here (subset)",
    TRAIN_SUBSET: "only a part of the images was used here (train_subset)",
    ON_TEST: "the test set chose the checkpoint here (selected_on_test)",
}


class NotRunError(Exception):
    """What a claim needs and these results do not have; no mistake of the user."""


class Results:
    """An experiment's results at the checkpoint of a scope, with methods by what was trained."""

    def __init__(self, evidence: Evidence, methods: Mapping[str, Trained], scope: Scope) -> None:
        self.folder = evidence.folder
        self.scope = scope
        self.methods = methods
        self.rows = [row for row in evidence.rows if row["checkpoint"] == scope.checkpoint]
        self.judged: Mapping[str, Judged] = evidence.judged.get(scope.checkpoint, {})

    def label(self, name: str) -> str:
        """Return the label under which the method `name` of the claims was trained.

        Raises
        ------
        NotRunError
            It was not trained or not judged at this checkpoint, or by a recipe of its own alone
            and the claims do not name the label, or several labels would do.
        """
        trained = self.methods[name]
        rows = _fitting(self.rows, trained)
        fitting = _labels(rows)
        if not fitting:
            raise NotRunError(
                f"no run of {trained} with the checkpoint {self.scope.checkpoint!r}: add it to "
                "`methods` of the configuration"
            )
        if trained.label in fitting:
            return trained.label
        if trained.label is not None:
            raise NotRunError(
                f"no run of {trained} with the checkpoint {self.scope.checkpoint!r} has the label "
                f"{trained.label!r}, which methods.{name} of the claims asks for; here are "
                f"{', '.join(fitting)}"
            )
        own = _labels(row for row in rows if OWN_RECIPE in row["flags"].split(";"))
        shared = [label for label in fitting if label not in own]
        if not shared:
            raise NotRunError(
                f"no run of {trained} was trained by the experiment's shared recipe: if "
                f"{' or '.join(own)} is meant, name it by `label` in methods.{name} of the claims"
            )
        if len(shared) > 1:
            raise NotRunError(
                f"{', '.join(shared)} are all {trained}: say which by `label` in methods.{name} of "
                "the claims"
            )
        return shared[0]

    def check_seeds(self, labels: Iterable[str], attacks: Iterable[str]) -> None:
        """Refuse to answer from fewer seeds than the experiment has at this checkpoint.

        Raises
        ------
        NotRunError
            Naming the method, the attack and the seeds that are missing.
        """
        every = {row["seed"] for row in self.rows}
        for label in labels:
            rows = [row for row in self.rows if row["method"] == label]
            for attack in attacks or ("",):
                there = {row["seed"] for row in rows if attack in ("", row["attack"])}
                missing = ", ".join(sorted(every - there, key=int))
                if there and missing:
                    what = f"no verdicts of {attack!r}" if attack else "no run"
                    raise NotRunError(
                        f"{label} has {what} with seed {missing} on the checkpoint "
                        f"{self.scope.checkpoint!r}, as others have: use the same `seeds` for all"
                    )

    def labels(self, names: Iterable[str]) -> list[str]:
        """Return the labels of several methods."""
        return [self.label(name) for name in names]

    def quantity(self, metric: str, name: str) -> Quantity:
        """Return a metric of the method `name`: an accuracy, or the harmonic mean of two."""
        label = self.label(name)
        if metric == HARMONIC:
            return harmonic_mean("autoattack", label)
        return accuracy(metric, label)

    def estimate(self, quantity: Quantity) -> Estimate:
        """Return the estimate of `quantity`.

        Raises
        ------
        NotRunError
            An attack was not run, or no seed or image is common to all that it is about.
        """
        for attack, label in quantity.terms:
            if attack not in self.judged or not self.judged[attack].seeds([label]):
                raise NotRunError(
                    f"{label} has no verdicts of {attack!r} on the checkpoint "
                    f"{self.scope.checkpoint!r}: add it to `evaluation` of the configuration"
                )
        found = measure(self.judged, quantity)
        if found is None:
            raise NotRunError(
                f"no seed, or no image, is common to {', '.join(quantity.methods)} under "
                f"{', '.join(quantity.attacks)}: use the same `seeds` and `images` for all"
            )
        return found

    def rows_of(self, labels: Sequence[str], attacks: Sequence[str]) -> list[Mapping[str, str]]:
        """Return the summary's rows of methods and attacks; of all attacks where none is named."""
        return [
            row
            for row in self.rows
            if row["method"] in labels and (not attacks or row["attack"] in attacks)
        ]

    def flags_of_training(self, labels: Sequence[str]) -> set[str]:
        """Return the flags that hold for all of a run, its times and epochs included."""
        own = any(OWN_RECIPE in row["flags"].split(";") for row in self.rows_of(labels, ()))
        return {OWN_RECIPE} if own else set()

    def elsewhere(self, labels: Sequence[str], attacks: Sequence[str]) -> str:
        """Return in what these results are others than the scope's; empty where they are not."""
        rows = self.rows_of(labels, ())
        attacked = {row["eps"] for row in rows if row["attack"] != "clean"}
        for what, ours, theirs in (
            ("data set", {row["dataset"] for row in rows}, self.scope.dataset),
            ("model", {row["model"] for row in rows}, self.scope.model),
            ("eps", attacked, eps_text(self.scope.eps)),
        ):
            if ours - {theirs}:
                return f"the {what} here is {', '.join(sorted(ours))}"
        flags = {flag for row in self.rows_of(labels, attacks) for flag in row["flags"].split(";")}
        return next((said for flag, said in PARTS.items() if flag in flags), "")

    def training_seconds(self, labels: Sequence[str]) -> dict[str, dict[int, float]]:
        """Return the wall time of every training, by label and seed.

        Raises
        ------
        NotRunError
            costs.csv does not tell it, or the trainings ran on different devices.
        """
        path = self.folder / "costs.csv"
        if not path.is_file():
            raise NotRunError("costs.csv is missing: make it with `python -m bench summarize`")
        seconds: dict[str, dict[int, float]] = {label: {} for label in labels}
        devices = set()
        for row in _rows(path, COST_COLUMNS, path.name):
            if row["stage"] == "train" and row["method"] in labels:
                seconds[row["method"]][int(row["seed"])] = cell_number(row, "seconds", path)
                devices.add(row["device"])
        for label, times in seconds.items():
            if not times or min(times.values()) <= 0:
                raise NotRunError(f"costs.csv has no time of training {label}")
        if len(devices) > 1:
            raise NotRunError(
                f"the trainings ran on different devices ({', '.join(sorted(devices))}): time "
                "both on one"
            )
        return seconds

    def of_epochs(self, label: str, file: str, column: str) -> dict[int, list[float]]:
        """Return a column of a file with one line per epoch in every run, by seed.

        Raises
        ------
        NotRunError
            The file or the column is missing, or holds no number.
        """
        found = {}
        for seed in sorted({int(row["seed"]) for row in self.rows if row["method"] == label}):
            place = f"models/{label}/seed{seed}/{file}"
            path = self.folder / place
            if not path.is_file():
                raise NotRunError(f"{place} is missing: it was not measured")
            rows = _rows(path, (column,), place)
            found[seed] = [cell_number(row, column, path) for row in rows if row[column]]
            if not found[seed]:
                raise NotRunError(f"{place}: the column {column!r} is empty")
        return found


def check_labels(evidence: Evidence, methods: Mapping[str, Trained]) -> None:
    """Refuse a `label` that no run has, where there are runs of its method and options.

    A method of which there is no run at all may be one of another experiment: its claims are not
    run, and so are those of a run that is not evaluated yet.

    Raises
    ------
    ConfigError
        Naming the key, the label and those that it could be.
    """
    known = _labels(evidence.rows)
    for name, trained in methods.items():
        fitting = _labels(_fitting(evidence.rows, trained))
        label = trained.label
        if label is None or not fitting or label in fitting:
            continue
        if label in known:
            raise ConfigError(
                f"methods.{name}.label: {label!r} is another method here than {trained}; choose "
                f"from {', '.join(fitting)}"
            )
        if not (evidence.folder / "models" / label).is_dir():
            raise ConfigError(
                f"methods.{name}.label: no run of {trained} has the label {label!r}; "
                f"{nearest(label, fitting)}"
            )


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


def _fitting(rows: Iterable[Mapping[str, str]], trained: Trained) -> list[Mapping[str, str]]:
    """Return the rows of runs of a method with its options, by whatever recipe."""
    wanted = (trained.method, trained.options)
    return [row for row in rows if (row["base_method"], row["options"]) == wanted]


def _labels(rows: Iterable[Mapping[str, str]]) -> list[str]:
    return sorted({row["method"] for row in rows})


def _rows(path: Path, columns: Sequence[str], place: str) -> list[dict[str, str]]:
    rows = read_table(path, (), "make it again")
    for column in columns:
        if column not in rows[0]:
            raise NotRunError(f"{place} has no column {column!r}: it was not measured")
    return rows

"""Which runs were trained by a recipe of their own, and so are not "the method" of a paper.

A label may replace keys of `training`: fewer steps of the inner attack, another optimizer, weights
to begin with. Its method and options are then those of the plain label, and its numbers are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.analysis.rows import Row
from bench.config.experiment import Experiment
from bench.config.parsing import plain
from bench.results.agreement import recorded_spec
from bench.results.flags import OWN_RECIPE
from bench.results.runs import Run

# How the same computation is carried out; a recipe is what is computed.
NO_RECIPE = ("engine",)


def own_recipes(runs: Sequence[Run], experiment: Experiment | None) -> set[tuple[str, int]]:
    """Return the (method, seed) pairs of `runs` that were not trained by the shared recipe.

    That is the section `training` of the experiment. Where no experiment is given it is the recipe
    that most labels have; where no recipe has more labels than every other, nothing says which one
    is shared, and no run counts as trained by it.
    """
    if experiment:
        shared = _recipe(plain(experiment.training))
        own = {
            method.label
            for method in experiment.methods
            if _recipe(plain(method.training)) != shared
        }
        return {_pair(run) for run in runs if run.training.method in own}
    recipes = {_pair(run): _recipe(_training(run)) for run in runs}
    having: dict[str, set[str]] = {}
    for (label, _), recipe in recipes.items():
        having.setdefault(recipe, set()).add(label)
    most = max(map(len, having.values()))
    common = [recipe for recipe, labels in having.items() if len(labels) == most]
    return {pair for pair, recipe in recipes.items() if [recipe] != common}


def flagged(row: Row) -> Row:
    """Return the row of a run that has a recipe of its own: no published number stands beside it.

    None of config/reported.csv is known to be of such a recipe; that of a method's authors, as in
    `mart_authors`, is no exception.
    """
    flags = tuple(sorted({*row.flags, OWN_RECIPE}))
    return replace(row, flags=flags, reported=None, reported_source="", difference=None)


def _pair(run: Run) -> tuple[str, int]:
    return run.training.method, run.training.seed


def _training(run: Run) -> Mapping[str, Any]:
    found = recorded_spec(run.folder / "train.json", ("training",))["training"]
    return found if isinstance(found, Mapping) else {}


def _recipe(training: Mapping[str, Any]) -> str:
    """Return a section `training` as text, equal where the recipe is."""
    kept = {key: value for key, value in training.items() if key not in NO_RECIPE}
    return json.dumps(kept, sort_keys=True)

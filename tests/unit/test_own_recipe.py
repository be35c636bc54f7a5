"""A label with a recipe of its own is not the method of a paper, unless it is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claimed import AS_CLAIMED, ROOT, made, repository_claims
from factory import edit_json

from bench.analysis.names import method_name
from bench.analysis.summary import own_recipes, summary_table
from bench.config.experiment import experiment, spec_json
from bench.config.loading import read_yaml
from bench.results.evaluated import read_runs
from bench.results.paths import Paths
from bench.results.published import read_reported


@pytest.fixture
def trained(results_factory):
    """Write runs of labels, each with changes of one recipe, and return them."""
    results_factory.dataset = "cifar10"

    def write(**changes):
        for label, own in changes.items():
            run = results_factory.run(label)
            method = "pgd_at" if label.startswith("pgd_at") else label
            keys = {f"spec__training__{key}": value for key, value in own.items()}
            edit_json(run / "train.json", spec__method=method, **keys)
        return read_runs(Paths(results_factory.folder))

    return write


@pytest.fixture
def of_config(results_factory):
    """Write a run of each method of a config, and return the labels with a recipe of their own."""

    def labelled(config):
        for method in config.methods:
            run = results_factory.run(method.label)
            spec = spec_json(config.train_spec(method.label, 0))
            edit_json(run / "train.json", spec=spec)
        return labels(own_recipes(read_runs(Paths(results_factory.folder)), config))

    return labelled


def labels(own):
    return {label for label, _ in own}


FGSM = {"attack": {"steps": 1, "step_size": 8 / 255}}
PAPER = read_yaml(ROOT / "config" / "paper.yaml", flag="--config")


def test_without_a_config_the_recipe_of_most_labels_is_the_shared_one(trained):
    runs = trained(trades={}, pgd_at={}, pgd_at_fgsm=FGSM)
    assert labels(own_recipes(runs, None)) == {"pgd_at_fgsm"}


def test_where_no_recipe_is_that_of_most_none_is_taken_for_the_shared_one(trained):
    runs = trained(pgd_at={}, pgd_at_fgsm=FGSM)
    assert labels(own_recipes(runs, None)) == {"pgd_at", "pgd_at_fgsm"}


def test_a_start_is_no_recipe_of_its_own_where_the_methods_paper_pretrains(trained):
    late = {"start": "standard"}
    runs = trained(standard={}, trades={}, mart={}, cure=late, pgd_at=late)
    assert labels(own_recipes(runs, None)) == {"pgd_at"}


@pytest.mark.parametrize("start", [None, "trades"])
def test_begun_otherwise_than_its_paper_does_it_is_another_recipe(trained, start):
    runs = trained(standard={}, trades={}, mart={}, cure={"start": start})
    assert labels(own_recipes(runs, None)) == {"cure"}


def test_the_engine_is_no_recipe(trained):
    runs = trained(pgd_at={"engine": "folded"}, trades={"engine": "eager"})
    assert own_recipes(runs, None) == set()


@pytest.mark.parametrize(
    ("own", "flagged"),
    [
        ({"attack": {"steps": 1, "step_size": "8/255"}}, True),
        ({"optimizer": {"weight_decay": 1e-4}}, True),
        ({"precision": "bfloat16"}, True),
        ({"start": "standard"}, True),
        ({"attack": {"steps": 10}}, False),  # what the others have
        ({"engine": "eager"}, False),
    ],
)
def test_the_config_says_what_is_shared(of_config, own, flagged):
    # One label of two: only the config tells which of the recipes is shared.
    methods = {"standard": {}, "pgd_at": {"training": own}}
    found = of_config(experiment({**PAPER, "methods": methods}))
    assert found == ({"pgd_at"} if flagged else set())


def test_of_the_papers_experiment_marts_authors_alone_have_their_own_recipe(of_config):
    assert of_config(experiment(PAPER)) == {"mart_authors"}


def test_no_reported_number_stands_beside_another_recipe(trained):
    runs = trained(trades={}, pgd_at={}, pgd_at_fgsm=FGSM)
    known = read_reported(ROOT / "config" / "reported.csv")
    table = summary_table(runs, known)
    assert set(table.loc[table["reported"].notna(), "method"]) == {"trades", "pgd_at"}
    own = table["method"] == "pgd_at_fgsm"
    assert (table["flags"].str.contains("own_recipe") == own).all()
    assert set(table.loc[own, "reported_source"]) == {""}
    assert table.loc[own, "difference"].isna().all()


def with_label(label, **others):
    return {**repository_claims().methods, "MART": replace(MART, label=label), **others}


MART = repository_claims().methods["MART"]


def harmonic(of, methods):
    (claim,) = [one for one in repository_claims().claims if one.id == "v1-over-mart-harmonic"]
    return of.decide(claim, methods)


def test_the_shared_recipe_stands_for_the_method_and_a_label_for_another(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    found = harmonic(whole, with_label(None))
    assert (found.labels, found.flags) == (("recycled", "mart"), ())
    found = harmonic(whole, with_label("mart_authors"))
    assert (found.labels, found.flags) == (("recycled", "mart_authors"), ("own_recipe",))


def test_another_recipe_alone_is_not_the_method(measured_folder):
    present = {name: of for name, of in AS_CLAIMED.items() if name != "mart"}
    found = harmonic(made(present, measured_folder), with_label(None))
    assert found.verdict == "not run"
    assert "mart_authors" in found.detail
    assert "methods.MART" in found.detail


def test_a_time_of_another_recipe_carries_the_flag(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    claims = repository_claims()
    (claim,) = [one for one in claims.claims if one.id == "v1-cost"]
    methods = {**claims.methods, "TRADES-6": with_label("mart_authors")["MART"]}
    assert whole.decide(claim, methods).flags == ("own_recipe",)


@pytest.mark.parametrize("label", ["mart_autors", "trades"])
def test_a_label_that_no_run_of_the_method_has_is_told_with_those_that_there_are(
    measured_folder, label
):
    found = harmonic(made(AS_CLAIMED, measured_folder), with_label(label))
    assert found.verdict == "not run"
    assert f"labelled '{label}'; where mart or mart_authors is meant" in found.detail


@pytest.mark.parametrize(
    ("label", "method", "name"),
    [
        ("pgd_at", "pgd_at", "PGD-AT (own recipe)"),
        ("trades", "trades", "TRADES (β=6, own recipe)"),
        ("pgd_at_fgsm", "pgd_at", "PGD-AT (fgsm)"),
        ("mart_authors", "mart", "MART (authors' optimizer)"),
    ],
)
def test_a_name_does_not_hide_another_recipe(label, method, name):
    options = {"beta": 6.0} if method == "trades" else {}
    assert method_name(label, method, options, own_recipe=True) == name

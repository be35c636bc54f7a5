"""A label with a recipe of its own is not the method of a paper, unless it is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claimed import AS_CLAIMED, ROOT, evidence, repository_claims
from factory import edit_json

from bench.analysis.claims.claim import Trained
from bench.analysis.claims.results import NotRunError, Results, check_labels
from bench.analysis.claims.verdict import judge
from bench.analysis.labels import method_name
from bench.analysis.recipes import own_recipes
from bench.analysis.summary import summary_rows
from bench.config.experiment import experiment
from bench.config.loading import read_yaml
from bench.results.collect import collect
from bench.results.published import read_reported
from bench.runtime.errors import ConfigError


@pytest.fixture
def trained(results_factory):
    """Write runs of labels by a recipe each, and return what is recorded of them."""
    results_factory.dataset = "cifar10"

    def write(**recipes):
        for label, recipe in recipes.items():
            run = results_factory.run(label)
            method = "pgd_at" if label.startswith("pgd_at") else label
            edit_json(run / "train.json", spec__training=recipe, spec__method=method)
        return collect(results_factory.folder)

    return write


def labels(own):
    return {label for label, _ in own}


SHARED = {"epochs": 3, "attack": {"steps": 10}}
FGSM = {"epochs": 3, "attack": {"steps": 1}}


def test_without_a_config_the_recipe_of_most_labels_is_the_shared_one(trained):
    runs = trained(trades=SHARED, pgd_at=SHARED, pgd_at_fgsm=FGSM)
    assert labels(own_recipes(runs, None)) == {"pgd_at_fgsm"}


def test_where_no_recipe_is_that_of_most_none_is_taken_for_the_shared_one(trained):
    runs = trained(pgd_at=SHARED, pgd_at_fgsm=FGSM)
    assert labels(own_recipes(runs, None)) == {"pgd_at", "pgd_at_fgsm"}


def test_the_engine_is_no_recipe(trained):
    runs = trained(pgd_at={**SHARED, "engine": "fast"}, trades={**SHARED, "engine": "plain"})
    assert own_recipes(runs, None) == set()


@pytest.mark.parametrize(
    ("own", "flagged"),
    [
        ({"attack": {"steps": 1, "step": "8/255"}}, True),
        ({"optimiser": {"weight_decay": 1e-4}}, True),
        ({"precision": "bfloat16"}, True),
        ({"start": "standard"}, True),
        ({"attack": {"steps": 10}}, False),  # what the others have
        ({"engine": "plain"}, False),
    ],
)
def test_the_config_says_what_is_shared(trained, own, flagged):
    raw = read_yaml(ROOT / "config" / "paper.yaml", flag="--config")
    raw["methods"] = {"standard": {}, "pgd_at": {"training": own}}
    # The records agree with each other here: it is the config that tells.
    runs = trained(standard=SHARED, pgd_at=SHARED)
    assert labels(own_recipes(runs, experiment(raw))) == ({"pgd_at"} if flagged else set())


def test_of_the_papers_experiment_marts_authors_alone_have_their_own_recipe(results_factory):
    paper = experiment(read_yaml(ROOT / "config" / "paper.yaml", flag="--config"))
    for method in paper.methods:
        results_factory.run(method.label)
    runs = collect(results_factory.folder)
    assert labels(own_recipes(runs, paper)) == {"mart_authors"}


def test_no_reported_number_stands_beside_another_recipe(trained):
    runs = trained(trades=SHARED, pgd_at=SHARED, pgd_at_fgsm=FGSM)
    known = read_reported(ROOT / "config" / "reported.csv")
    rows = summary_rows(runs, known, own=own_recipes(runs, None))
    beside = {row.method for row in rows if row.reported is not None}
    assert beside == {"trades", "pgd_at"}
    for row in rows:
        own = row.method == "pgd_at_fgsm"
        assert ("own_recipe" in row.flags) is own
        assert not own or (row.reported_source, row.difference) == ("", None)


def with_label(label, **others):
    return {**repository_claims().methods, "MART": replace(MART, label=label), **others}


MART = repository_claims().methods["MART"]


def harmonic(of, methods):
    (claim,) = [one for one in repository_claims().claims if one.id == "v1-over-mart-harmonic"]
    return judge(claim, Results(of, methods, claim.scope))


def test_the_shared_recipe_stands_for_the_method_and_a_label_for_another(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    found = harmonic(whole, with_label(None))
    assert (found.labels, found.flags) == (("recycled", "mart"), ())
    found = harmonic(whole, with_label("mart_authors"))
    assert (found.labels, found.flags) == (("recycled", "mart_authors"), ("own_recipe",))


def test_another_recipe_alone_is_not_the_method(measured_folder):
    present = {name: of for name, of in AS_CLAIMED.items() if name != "mart"}
    found = harmonic(evidence(present, measured_folder), with_label(None))
    assert found.verdict == "not run"
    assert "mart_authors" in found.detail
    assert "methods.MART" in found.detail


def test_a_time_of_another_recipe_carries_the_flag(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    claims = repository_claims()
    (claim,) = [one for one in claims.claims if one.id == "v1-cost"]
    methods = {**claims.methods, "TRADES-6": with_label("mart_authors")["MART"]}
    assert judge(claim, Results(whole, methods, claim.scope)).flags == ("own_recipe",)


@pytest.mark.parametrize(
    ("label", "told"), [("mart_autors", "did you mean 'mart_authors'"), ("trades", "mart_authors")]
)
def test_a_label_that_no_run_of_the_method_has_is_refused(measured_folder, label, told):
    whole = evidence(AS_CLAIMED, measured_folder / "empty")
    with pytest.raises(ConfigError, match=rf"methods\.MART\.label: .*{label}.*{told}"):
        check_labels(whole, with_label(label))


def test_a_label_of_what_was_not_run_is_no_mistake(measured_folder):
    absent = {name: of for name, of in AS_CLAIMED.items() if not name.startswith("mart")}
    check_labels(evidence(absent, measured_folder), with_label("mart"))
    # It is being trained: only its folder is there.
    half = {name: of for name, of in AS_CLAIMED.items() if name != "mart_authors"}
    whole = evidence(half, measured_folder)
    check_labels(whole, with_label("mart_authors"))
    scope = repository_claims().claims[0].scope
    with pytest.raises(NotRunError, match="mart_authors"):
        Results(whole, with_label("mart_authors"), scope).label("MART")


def test_an_unused_name_with_a_mistyped_label_is_refused_too(measured_folder):
    unused = Trained(method=MART.method, options=MART.options, given="", label="mrt")
    with pytest.raises(ConfigError, match=r"methods\.Mine\.label: .*did you mean 'mart'"):
        check_labels(evidence(AS_CLAIMED, measured_folder), with_label(None, Mine=unused))


@pytest.mark.parametrize(
    ("label", "method", "name"),
    [
        ("pgd_at", "pgd_at", "PGD-AT (own recipe)"),
        ("trades", "trades", "TRADES (β=6, own recipe)"),
        ("pgd_at_fgsm", "pgd_at", "PGD-AT (fgsm)"),
        ("mart_authors", "mart", "MART (authors' optimiser)"),
    ],
)
def test_a_name_does_not_hide_another_recipe(label, method, name):
    options = {"beta": 6.0} if method == "trades" else {}
    assert method_name(label, method, options, own_recipe=True) == name

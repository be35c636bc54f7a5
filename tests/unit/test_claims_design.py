"""How likely a design decides a claim: against simulation, spreads at hand, what is missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import yaml
from claimed import CLAIMS, ROOT
from settings import settings

from bench.__main__ import main
from bench.analysis.claims import design
from bench.analysis.claims.design import PUBLISHED, as_text, measured_spreads, outlooks
from bench.analysis.statistics.crossed import Estimate, over_seeds
from bench.config.loading import read_config
from bench.results.columns import STATISTICS, SUMMARY
from bench.results.tables import from_rows

WORTH = ("v1-beyond-trades", "v1-over-trades-harmonic", "memory-over-placebo")


@pytest.fixture(scope="module")
def paper():
    return read_config(ROOT / "config" / "paper.yaml")


def told(experiment, folder, files=(CLAIMS,), images=10000):
    return {one.claim: one for one in outlooks(experiment, files, folder, images)}


def test_every_claim_has_a_chance_or_a_reason(paper, tmp_path):
    found = told(paper, tmp_path)
    for one in found.values():
        if one.reason:
            assert one.chance is None
        elif one.gap is not None:
            assert 0 <= one.chance <= 1
    assert {name for name, one in found.items() if one.reason} == {"v1-cost", "v1-forgets-less"}
    assert found["v1-over-mart-harmonic"].gap is None
    assert found["v1-over-mart-harmonic"].least > 0
    assert not any(one.measured for one in found.values())


def test_the_papers_config_can_decide_what_answers_its_question(paper, tmp_path):
    found = told(paper, tmp_path)
    for name in WORTH:
        assert found[name].gap == 0.5
        assert found[name].seeds[0] is not None
        assert found[name].chance > 0.5
    # The paper's 0.27 points are less than the noise.
    assert found["v1-v2-autoattack"].seeds == (None, None)
    assert "v1-v2-autoattack: no affordable design" in as_text(list(found.values()), 5, {})


def test_more_seeds_images_and_methods_decide_more(paper, tmp_path):
    def chance(experiment=paper, images=10000):
        return told(experiment, tmp_path, images=images)["memory-over-placebo"].chance

    assert chance(replace(paper, seeds=(0, 1, 2))) < chance()
    evaluation = replace(
        paper.evaluation, autoattack=replace(paper.evaluation.autoattack, images=1000)
    )
    assert chance(replace(paper, evaluation=evaluation)) < chance()


def test_the_chance_is_that_of_a_simulation():
    # One number over four seeds, to be shown within 1.2 of what it is: Student's interval.
    draw = np.random.default_rng(0)
    variances = design._variances(1, 4, draw)
    question = design._Question(design.Spread(0.5, 0.0, measured=False), 1, None, 0.95, within=True)
    decided = 0
    for _ in range(2000):
        by_seed = 0.5 * draw.normal(size=4)
        interval = over_seeds(Estimate(float(by_seed.mean()), by_seed, 0))
        decided += interval.low > -1.2 and interval.high < 1.2
    assert question.chance(1.2, variances, 4)[0] == pytest.approx(decided / 2000, abs=0.05)


def test_one_seed_decides_nothing(paper, tmp_path):
    found = told(replace(paper, seeds=(0,)), tmp_path)
    assert all(one.reason for one in found.values())


def test_a_method_or_attack_that_the_config_lacks_is_named(paper, tmp_path):
    fewer = tuple(one for one in paper.methods if one.label != "memloss_v1_placebo")
    found = told(replace(paper, methods=fewer), tmp_path)
    assert "clean_crop" in found["memory-over-placebo"].reason
    plain = replace(paper, evaluation=replace(paper.evaluation, autoattack=None))
    told_of = told(plain, tmp_path)
    assert "autoattack" in told_of["v1-autoattack"].reason
    # Clean accuracy, which the harmonic mean is of too, is always there.
    assert "clean" not in told_of["v1-over-trades-harmonic"].reason


def test_numbers_are_of_their_own_images(paper, tmp_path):
    found = told(replace(paper, data=replace(paper.data, name="svhn")), tmp_path)
    assert found["v1-clean"].reason
    assert not found["v1-v2-clean"].reason


@pytest.mark.parametrize(
    ("dataset", "eps", "used"),
    [("cifar10", 8 / 255, True), ("svhn", 8 / 255, False), ("cifar10", 0.1, False)],
)
def test_spreads_come_from_finished_runs_of_like_experiments(paper, tmp_path, dataset, eps, used):
    place = {"experiment": "old", "dataset": dataset, "model": "resnet18"}
    folder = tmp_path / "old"
    folder.mkdir()
    shared = place | {"checkpoint": "best", "attack": "clean", "n_seeds": 4, "n_images": 10000}
    # Seeds add 0.6 points and images 0.4 to a difference: 0.09 + 0.16 is 0.5 squared.
    rows = [
        shared | {"quantity": "accuracy", "interval": "seeds_t", "std": 0.7, "estimate": 80},
        shared
        | {"quantity": "accuracy_difference", "interval": "crossed_t", "estimate": 1}
        | {"std": 0.6, "standard_error": 0.5},
    ]
    empty = {name: "" for name, column in STATISTICS.columns.items() if column.kind == "text"}
    STATISTICS.write(
        folder / "statistics.csv", from_rows(STATISTICS, [empty | row for row in rows])
    )
    empty = {name: "" for name, column in SUMMARY.columns.items() if column.kind == "text"}
    counts = {"attack": "pgd20", "eps": eps, "n": 100, "correct": 50, "accuracy": 50}
    row = empty | place | counts | {"method": "trades", "seed": 0, "checkpoint": "best"}
    SUMMARY.write(folder / "summary.csv", from_rows(SUMMARY, [row | {"ci_low": 40, "ci_high": 60}]))
    found = measured_spreads(paper, tmp_path, "best")
    assert set(found) == ({"clean"} if used else set())
    if used:
        assert found["clean"].seeds == pytest.approx(0.7)
        assert found["clean"].images == pytest.approx(math.sqrt((0.25 - 0.09) * 10000))
        of = told(paper, tmp_path)
        assert of["v1-clean"].measured
        assert not of["v1-autoattack"].measured
        assert of["v1-clean"].least > told(paper, tmp_path / "none")["v1-clean"].least


def test_published_spreads_say_so():
    assert not any(spread.measured for spread in PUBLISHED.values())


def test_the_plan_tells_it_where_it_is_asked(tmp_path, capsys):
    config, out = tmp_path / "config.yaml", tmp_path / "plan.json"
    config.write_text(yaml.safe_dump(settings({"claims": ["memloss"]})))
    asked = ["plan", "--config", str(config), "--results", str(tmp_path), "--json", str(out)]
    assert main(asked) == 0
    assert "claims" not in json.loads(out.read_text())
    assert main([*asked, "--decide"]) == 0
    assert "v1-clean" in capsys.readouterr().out
    claims = json.loads(out.read_text())["claims"]
    assert {one["claim"] for one in claims} >= set(WORTH)

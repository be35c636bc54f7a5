"""statistics.csv from files alone: what it holds, what it leaves empty, what it refuses."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from factory import edit_json
from paged import command, rewrite, rows
from scipy import stats

from bench.__main__ import main
from bench.analysis.statistics.table import deciding
from bench.results.columns import STATISTICS
from bench.results.experiment import ExperimentResults
from bench.runtime.files import sha256

ROOT = Path(__file__).parents[2]
SEED_INTERVALS = ("seeds_t", "crossed_t", "seeds_moderated_t", "crossed_moderated_t")


SIX = ("trades", "memloss_v1", "mart", "pgd_at", "memloss_v2", "memloss_v3")


def scattered(shares, images, seed):
    """Return results by (checkpoint, attack): nested, as attacks are, and random."""
    draw = np.random.default_rng(seed)
    score_N = draw.random(images)
    return {
        ("best", attack): {i: int(score < share) for i, score in enumerate(score_N)}
        for attack, share in shares.items()
    }


@pytest.fixture
def make(results_factory):
    """Write runs with random results and their summary; return the folder."""

    def written(methods=("trades", "memloss_v1", "mart"), seeds=(0, 1, 2), images=200):
        results_factory.images = results_factory.test_images = images
        for place, method in enumerate(methods):
            for seed in seeds:
                shares = {"clean": 0.8, "pgd20": 0.55 - 0.05 * place, "autoattack": 0.5}
                results_factory.run(
                    method, seed, correct={}, robust=scattered(shares, images, 10 * place + seed)
                )
        command("summarize", results_factory.folder)
        return results_factory.folder

    return written


def test_each_row_names_the_network_of_its_method_and_fronts_are_of_one(make, results_factory):
    make(methods=("trades", "memloss_v1", "mart"), seeds=(0, 1))
    for seed in (0, 1):
        path = results_factory.folder / "models" / "mart" / f"seed{seed}" / "train.json"
        edit_json(path, model__label="wrn_34_10")
    command("summarize", results_factory.folder)
    found = statistics(results_factory.folder)
    models = {row["method"]: row["model"] for row in found}
    assert models == {"trades": "resnet18", "memloss_v1": "resnet18", "mart": "wrn_34_10"}
    fronts = {row["method"] for row in chosen(found, quantity="front_distance")}
    assert fronts == {"trades", "memloss_v1"}


def statistics(folder):
    command("statistics", folder)
    return rows(folder / "statistics.csv")


def chosen(found, **values):
    return [row for row in found if all(row[key] == value for key, value in values.items())]


def refusal(capsys, folder):
    assert main(["statistics", "--folder", str(folder)]) == 1
    assert not (folder / "statistics.csv").exists()
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def test_every_quantity_has_each_of_its_intervals_once(make):
    found = statistics(make())
    keys = ("checkpoint", "quantity", "attack", "method", "against", "interval")
    assert len({tuple(row[key] for key in keys) for row in found}) == len(found)
    counted = {
        quantity: len(chosen(found, quantity=quantity)) / 5
        for quantity in {r["quantity"] for r in found}
    }
    # Four attacks with the worst case, three methods, three pairs.
    assert counted == {
        "accuracy": 12,
        "accuracy_difference": 12,
        "harmonic_mean": 3,
        "harmonic_mean_difference": 3,
        "front_distance": 3,
    }


def test_means_are_those_of_the_summary(make):
    folder = make()
    found = statistics(folder)
    summary = rows(folder / "summary.csv")
    for row in chosen(found, quantity="accuracy", interval="seeds_t"):
        of = chosen(summary, method=row["method"], attack=row["attack"])
        rates = [100 * int(one["correct"]) / int(one["n"]) for one in of]
        assert float(row["estimate"]) == pytest.approx(np.mean(rates), abs=1e-4)
        assert float(row["std"]) == pytest.approx(np.std(rates, ddof=1), abs=1e-4)
        assert (row["seeds"], row["n_images"]) == ("0;1;2", "200")


def test_bounds_and_p_follow_from_estimate_error_and_df(make):
    found = statistics(make(seeds=(0, 1), images=60))
    tested = [row for row in found if row["interval"].endswith("_t") and row["low"]]
    negative = 0
    for row in tested:
        value, error, df = (float(row[key]) for key in ("estimate", "standard_error", "df"))
        least = 0 if row["quantity"] in ("accuracy", "harmonic_mean") else -100
        bounds = np.clip(stats.t.interval(0.95, df, value, error), least, 100)
        assert [float(row["low"]), float(row["high"])] == pytest.approx(bounds, abs=0.01)
        negative += float(row["low"]) < 0
        if row["quantity"].endswith("_difference"):
            p = 2 * stats.t.sf(abs(value) / error, df)
            assert float(row["p"]) == pytest.approx(p, rel=0.01, abs=1e-6)
        else:
            assert row["p"] == ""
    # With two seeds no difference is sure, and some intervals are wider than there are points.
    assert negative >= 9
    assert {row["low"] for row in tested} >= {"0.0000", "-100.0000"}


def test_moderated_intervals_need_six_methods_and_tell_what_they_borrow(make):
    three = statistics(make())
    moderated = [row for row in three if "moderated" in row["interval"]]
    assert moderated
    assert {row["low"] + row["p_equal_spreads"] for row in moderated} == {""}
    found = statistics(make(methods=SIX))
    pair = {"quantity": "accuracy_difference", "attack": "pgd20", "method": "trades"}
    plain, borrowed = (
        chosen(found, **pair, against="mart", interval=name)[0]
        for name in ("crossed_t", "crossed_moderated_t")
    )
    assert plain["estimate"] == borrowed["estimate"]
    assert float(borrowed["df"]) > 2
    assert 0 <= float(borrowed["p_equal_spreads"]) <= 1
    assert plain["p_equal_spreads"] == plain["own_spread"] == ""


def test_families_are_named_and_adjusted(make):
    found = chosen(statistics(make()), quantity="accuracy_difference", attack="pgd20")
    family = chosen(found, interval="crossed_t")
    assert {row["family"] for row in family} == {
        "accuracy_difference best pgd20 crossed_t: 3 pairs"
    }
    smallest = min(family, key=lambda row: float(row["p"]))
    assert float(smallest["p_holm"]) == pytest.approx(min(1, 3 * float(smallest["p"])), rel=1e-3)


def test_without_an_attack_there_are_clean_accuracies_alone(results_factory):
    for method in ("trades", "mart"):
        results_factory.run(method, 0, correct={"best": {"clean": 12}})
    command("summarize", results_factory.folder)
    found = statistics(results_factory.folder)
    assert {row["quantity"] for row in found} == {"accuracy", "accuracy_difference"}
    assert {row["attack"] for row in found} == {"clean"}


def test_with_one_seed_intervals_over_seeds_are_empty(make):
    found = statistics(make(seeds=(0,)))
    for row in found:
        assert row["std"] == ""
        empty = row["interval"] in SEED_INTERVALS
        assert (row["low"] == "", row["high"] == "") == (empty, empty)
        if empty:
            assert row["standard_error"] == row["df"] == row["p"] == row["p_holm"] == ""


def test_a_pair_is_compared_over_the_seeds_of_both(make, results_factory):
    make(methods=("trades",), seeds=(0, 1, 2))
    found = statistics(make(methods=("trades", "mart"), seeds=(1, 2)))
    pair = chosen(found, quantity="accuracy_difference", interval="seeds_t", attack="clean")
    assert [row["seeds"] for row in pair] == ["1;2"]
    alone = chosen(found, quantity="accuracy", method="trades", interval="seeds_t", attack="clean")
    assert [row["seeds"] for row in alone] == ["0;1;2"]


def test_a_published_run_without_examples_has_what_counts_allow(make):
    folder = make()
    whole = statistics(folder)
    shutil.rmtree(folder / "models")
    found = statistics(folder)
    for row in found:
        assert (row["low"] == "") == (row["interval"] != "seeds_t")
    assert chosen(found, quantity="accuracy_difference", interval="seeds_t") == chosen(
        whole, quantity="accuracy_difference", interval="seeds_t"
    )


def test_the_published_digits_run_can_be_read(tmp_path):
    published = tmp_path / "digits"
    shutil.copytree(ROOT / "results" / "reference" / "digits", published)
    found = statistics(published)
    found = chosen(
        found, quantity="accuracy", attack="autoattack", method="mart", interval="seeds_t"
    )
    of = chosen(
        rows(published / "summary.csv"), method="mart", checkpoint="best", attack="autoattack"
    )
    values = [100 * int(row["correct"]) / int(row["n"]) for row in of]
    assert len(values) == 2
    expected = (f"{fmean(values):.4f}", f"{stdev(values):.4f}")
    assert [(row["estimate"], row["std"]) for row in found] == [expected]


def test_made_again_it_is_byte_equal_and_needs_no_torch(make, tmp_path):
    folder = make()
    statistics(folder)
    first = (folder / "statistics.csv").read_bytes()
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for name in ("torch", "torchvision", "matplotlib"):
        (hidden / f"{name}.py").write_text("raise ImportError('not needed here')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "statistics", "--folder", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(hidden)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "statistics.csv").read_bytes() == first


def test_the_result_of_an_image_takes_few_bytes(make):
    examples = ExperimentResults(make()).examples
    assert len(examples) == 3 * 3 * 3 * 200
    assert examples.memory_usage(deep=True).sum() < 30 * len(examples)


def test_the_results_of_one_attack_are_read_without_the_files_of_others(make):
    folder = make()
    every = ExperimentResults(folder).examples
    for path in folder.glob("models/*/*/examples/*/pgd20.csv"):
        path.write_text("damaged")
    found = ExperimentResults(folder).examples_of("autoattack", "best")
    chosen = every[(every["attack"] == "autoattack") & (every["checkpoint"] == "best")]
    columns = ["method", "seed", "index", "robust", "broken_by"]
    assert found[columns].to_numpy().tolist() == chosen[columns].to_numpy().tolist()
    assert len(found) == 3 * 3 * 200


def test_other_images_are_refused(make, results_factory, capsys):
    folder = make(methods=("trades",), seeds=(0, 1))
    robust = {
        key: {i + 1: v for i, v in of.items()}
        for key, of in scattered({"clean": 0.8, "pgd20": 0.5, "autoattack": 0.4}, 200, 1).items()
    }
    results_factory.test_images = 201
    results_factory.run("trades", 1, correct={}, robust=robust)
    command("summarize", folder)
    error = refusal(capsys, folder)
    assert "trades seed 1, best, clean, was evaluated on other images than trades seed 0" in error


def test_other_numbers_of_images_are_refused_without_examples_too(make, capsys):
    folder = make(methods=("trades",), seeds=(0, 1))
    shutil.rmtree(folder / "models")
    counts = {"correct": "50", "n": "100", "accuracy": "50.00"}
    rewrite(folder / "summary.csv", lambda row: row["seed"] == "1" and row.update(counts))
    error = refusal(capsys, folder)
    assert "trades seed 1, best, clean, was evaluated on other images than trades seed 0" in error


def test_other_labels_are_refused(make, capsys):
    folder = make(methods=("trades",), seeds=(0, 1))
    path = folder / "models/trades/seed1/examples/best/pgd20.csv"
    lines = path.read_text().splitlines()
    cells = lines[6].split(",")
    lines[6] = ",".join([cells[0], "9", *cells[2:]])
    path.write_text("\n".join(lines) + "\n")
    record = path.parents[2] / "evaluation.json"
    edit_json(record, checkpoints__best__attacks__pgd20__sha256=sha256(path))
    error = refusal(capsys, folder)
    assert "image 5 has different labels" in error


def test_a_lost_file_of_examples_is_named(make, capsys):
    folder = make(methods=("trades",), seeds=(0, 1))
    path = folder / "models/trades/seed1/examples/best/autoattack.csv"
    path.unlink()
    error = refusal(capsys, folder)
    assert f"{path}: missing" in error
    assert f"--forcerun {path.parents[2] / 'evaluation.json'}` and the --configfile" in error


def test_examples_that_the_summary_did_not_count_are_refused(make, results_factory, capsys):
    folder = make(methods=("trades",), seeds=(0,))
    shares = {"clean": 0.7, "pgd20": 0.5, "autoattack": 0.4}
    results_factory.run("trades", 0, correct={}, robust=scattered(shares, 200, 9))
    error = refusal(capsys, folder)
    assert str(folder / "models/trades/seed0/examples/best/clean.csv") in error
    assert "python -m bench summarize" in error


def test_examples_edited_since_the_evaluation_are_refused_as_summarize_does(make, capsys):
    folder = make(methods=("trades",), seeds=(0,))
    path = folder / "models/trades/seed0/examples/best/clean.csv"
    path.write_text(path.read_text().replace(",1,1,\n", ",1,0,clean\n", 1))
    error = refusal(capsys, folder)
    assert f"{path}: changed since evaluation.json was written; " in error
    assert main(["summarize", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err == error


def test_a_summary_without_runs_of_ours_is_refused(make, capsys):
    folder = make(methods=("trades",), seeds=(0,))
    path = folder / "summary.csv"
    path.write_text(path.read_text().replace(",resnet18,", ",robustbench,"))
    assert f"{path}: no network trained here" in refusal(capsys, folder)


def test_moderated_intervals_decide_from_three_seeds_on(make):
    for seeds, name in (((0, 1), "crossed_t"), ((0, 1, 2), "crossed_moderated_t")):
        folder = make(methods=SIX, seeds=seeds)
        statistics(folder)
        found = STATISTICS.read(folder / "statistics.csv")
        kept = deciding(found[found["quantity"] == "harmonic_mean_difference"])
        assert kept["interval"].tolist() == [name] * 15

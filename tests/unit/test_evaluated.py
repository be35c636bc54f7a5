"""Records and per-example results are read together, and believed only where they agree."""

from __future__ import annotations

import pytest
from factory import edit_json, write_csv

from bench.results.evaluated import read_runs
from bench.results.examples import COLUMNS, read_examples
from bench.results.paths import Paths
from bench.runtime.errors import BenchError


def collect(folder, expected=None):
    return read_runs(Paths(folder), expected)


def test_it_reads_records_and_results_of_every_run(results_factory):
    folder = results_factory.all(methods=("trades", "mart"), seeds=(0, 1))
    runs = collect(folder)
    assert [(run.training.method, run.training.seed) for run in runs] == [
        *(("mart", 0), ("mart", 1), ("trades", 0), ("trades", 1))
    ]
    trades = runs[2]
    assert trades.training.spec.options == {"beta": 6.0}
    assert trades.training.spec.threat.eps == pytest.approx(8 / 255)
    assert sorted(trades.results) == ["best", "last"]
    assert sorted(trades.results["best"]) == ["autoattack", "clean", "pgd20"]
    examples = trades.results["best"]["pgd20"].examples
    assert examples["robust"].tolist() == [True] * 12 + [False] * 8
    assert examples["clean"].tolist() == [True] * 16 + [False] * 4


def test_seeds_are_in_the_order_of_numbers(results_factory):
    folder = results_factory.all(methods=("trades",), seeds=(10, 9))
    assert [run.training.seed for run in collect(folder)] == [9, 10]


def test_leftovers_of_another_configuration_stay_out(results_factory):
    folder = results_factory.all(methods=("trades", "mart"), seeds=(0, 1))
    runs = collect(folder, expected=[("trades", 1)])
    assert [(run.training.method, run.training.seed) for run in runs] == [("trades", 1)]


def test_an_expected_run_that_is_missing_is_named(results_factory):
    folder = results_factory.all(methods=("trades",), seeds=(0,))
    with pytest.raises(
        BenchError, match=r"mart/seed0/train\.json: missing.*--forcerun .*mart/seed0/train\.json`"
    ):
        collect(folder, expected=[("trades", 0), ("mart", 0)])


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(BenchError, match="no trained models"):
        collect(tmp_path)


def test_a_missing_file_of_examples_is_named_with_its_remedy(results_factory):
    run = results_factory.run()
    (run / "examples" / "best" / "pgd20.csv").unlink()
    pattern = r"best/pgd20\.csv: missing.*--forcerun .*seed0/evaluation\.json`"
    with pytest.raises(BenchError, match=pattern):
        collect(results_factory.folder)


def test_a_file_of_examples_that_was_edited_is_refused(results_factory):
    run = results_factory.run()
    path = run / "examples" / "best" / "pgd20.csv"
    # The count of robust images stays as it was: only the digest can tell.
    text = path.read_text().replace("\n0,0,1,1,\n", "\n0,0,1,0,pgd20\n")
    path.write_text(text.replace("\n15,5,1,0,pgd20\n", "\n15,5,1,1,\n"))
    with pytest.raises(
        BenchError, match=r"best/pgd20\.csv: changed since.*--forcerun .*evaluation\.json`"
    ):
        collect(results_factory.folder)


@pytest.mark.parametrize("key", ["correct", "n"])
def test_a_count_that_the_examples_do_not_bear_out_is_refused(results_factory, key):
    run = results_factory.run()
    edit_json(run / "evaluation.json", **{f"checkpoints__best__attacks__autoattack__{key}": 19})
    with pytest.raises(BenchError, match=r"autoattack\.csv: it holds 10 robust of 20 images.* 19"):
        collect(results_factory.folder)


def test_an_evaluation_of_other_weights_is_refused(results_factory):
    run = results_factory.run()
    edit_json(run / "train.json", checkpoints__last__weights_sha256="0" * 64)
    with pytest.raises(BenchError, match=r"evaluation\.json: it is about other weights.*'last'"):
        collect(results_factory.folder)


def test_a_checkpoint_that_training_does_not_know_is_refused(results_factory):
    run = results_factory.run()
    edit_json(run / "train.json", checkpoints={})
    with pytest.raises(BenchError, match=r"evaluation\.json: it is about other weights.*'best'"):
        collect(results_factory.folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"data__fingerprint": "0" * 64}, "data fingerprint"),
        ({"method": "mart"}, "method"),
        ({"seed": 3}, "seed"),
        ({"experiment": "paper"}, "experiment"),
    ],
)
def test_an_evaluation_that_belongs_to_another_run_is_refused(results_factory, change, what):
    run = results_factory.run()
    edit_json(run / "evaluation.json", **change)
    with pytest.raises(
        BenchError, match=rf"evaluation\.json: its {what} is .*--forcerun .*evaluation\.json`"
    ):
        collect(results_factory.folder)


def test_a_run_copied_to_another_place_is_refused(results_factory):
    run = results_factory.run("trades", 0)
    run.rename(run.with_name("seed1"))
    with pytest.raises(BenchError, match=r"seed1/train\.json: it is the record of trades seed 0"):
        collect(results_factory.folder)


@pytest.mark.parametrize(
    ("attribute", "what"), [("dataset", "data fingerprint"), ("experiment", "experiment")]
)
def test_runs_on_different_data_cannot_share_a_table(results_factory, attribute, what):
    results_factory.run("mart", 0)
    setattr(results_factory, attribute, "another")
    results_factory.run("trades", 0)
    with pytest.raises(BenchError, match=rf"trades/seed0/train\.json: its {what} is"):
        collect(results_factory.folder)


@pytest.mark.parametrize(
    ("record", "key", "value"),
    [
        ("train.json", "spec__threat__eps", 4 / 255),
        ("evaluation.json", "spec__evaluation__shards", 2),
    ],
)
def test_runs_of_other_settings_cannot_share_a_table(results_factory, record, key, value):
    results_factory.run("mart", 0)
    edit_json(results_factory.run("trades", 0) / record, **{key: value})
    name = key.removeprefix("spec__").replace("__", r"\.")
    with pytest.raises(BenchError, match=rf"trades/seed0/{record}: its {name} is not that of mart"):
        collect(results_factory.folder)


def test_methods_of_several_networks_share_a_table(results_factory):
    results_factory.run("mart", 0)
    edit_json(results_factory.run("trades", 0) / "train.json", spec__model__name="wrn_28_10")
    runs = collect(results_factory.folder)
    assert [run.training.spec.model.name for run in runs] == ["resnet18", "wrn_28_10"]


def test_seeds_of_one_method_have_one_network(results_factory):
    results_factory.run("trades", 0)
    edit_json(results_factory.run("trades", 1) / "train.json", spec__model__name="wrn_28_10")
    pattern = r"trades/seed1/train\.json: its model\.name is not that of trades seed 0"
    with pytest.raises(BenchError, match=pattern):
        collect(results_factory.folder)


@pytest.mark.parametrize("record", ["train.json", "evaluation.json"])
def test_a_record_cut_short_is_named(results_factory, record):
    path = results_factory.run() / record
    path.write_text(path.read_text()[:-100])
    with pytest.raises(
        BenchError, match=rf"seed0/{record}: not JSON .*; make it again with"
    ) as refused:
        collect(results_factory.folder)
    # Once in front, and once in the one remedy.
    assert str(refused.value).count(str(path)) == 2
    assert "delete" not in str(refused.value)


def test_a_record_without_a_key_names_file_and_key(results_factory):
    run = results_factory.run(attack={"n": "many"})
    with pytest.raises(
        BenchError, match=r"(?s)seed0/evaluation\.json: damaged or of another version.*\.n: "
    ):
        collect(results_factory.folder)
    edit_json(run / "train.json", spec={})
    with pytest.raises(BenchError, match=r"(?s)seed0/train\.json: .*'method' is missing"):
        collect(results_factory.folder)


def test_an_index_outside_the_test_set_is_refused(results_factory):
    results_factory.test_images = 19
    results_factory.run()
    with pytest.raises(BenchError, match="an index is outside the 19 test images"):
        collect(results_factory.folder)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "not per-example results"),
        ([[0, 0, 1, "yes", ""]], "not per-example results"),
        ([[0, 0, 1, 1, ""], [0, 0, 1, 1, ""]], "an image is there twice"),
        ([[0, 0, 0, 1, ""]], "clean and robust must be 0 or 1"),
        ([[0, 0, 2, 1, ""]], "clean and robust must be 0 or 1"),
    ],
)
def test_what_is_no_list_of_examples_is_refused(tmp_path, rows, message):
    path = tmp_path / "pgd20.csv"
    write_csv(path, COLUMNS, rows)
    with pytest.raises(BenchError, match=rf"pgd20\.csv: .*{message}"):
        read_examples(path, "make it again")


def test_examples_come_in_the_order_of_images(tmp_path):
    path = tmp_path / "pgd20.csv"
    write_csv(path, COLUMNS, [[5, 0, 1, 0, "pgd20"], [2, 1, 1, 1, ""]])
    examples = read_examples(path, "make it again")
    assert examples["index"].tolist() == [2, 5]
    assert examples["robust"].tolist() == [True, False]

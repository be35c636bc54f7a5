"""Records and per-example results are read together, and believed only where they agree."""

from __future__ import annotations

import pytest
from factory import edit_json, write_csv

from bench.__main__ import main
from bench.results.evaluated import read_runs
from bench.results.examples import COLUMNS, read_examples
from bench.results.experiment import ExperimentResults
from bench.results.paths import Paths
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256


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


def test_an_empty_folder_is_an_error(tmp_path):
    with pytest.raises(BenchError, match=str(tmp_path)):
        collect(tmp_path)


@pytest.fixture
def refused(results_factory):
    """Collect, and return what it says: the file that is wrong first, then the one to remake."""

    def refused(expected=None):
        with pytest.raises(BenchError) as caught:
            collect(results_factory.folder, expected)
        return str(caught.value)

    return refused


def test_an_expected_run_that_is_missing_is_named(results_factory, refused):
    folder = results_factory.all(methods=("trades",), seeds=(0,))
    path = folder / "models" / "mart" / "seed0" / "train.json"
    said = refused([("trades", 0), ("mart", 0)])
    assert said.startswith(f"{path}: ")
    assert f"--forcerun {path}`" in said


@pytest.mark.parametrize("edited", [True, False])
def test_a_file_of_examples_that_is_missing_or_edited_is_refused(results_factory, refused, edited):
    run = results_factory.run()
    path = run / "examples" / "best" / "pgd20.csv"
    if edited:
        # The count of robust images stays as it was: only the digest can tell.
        text = path.read_text().replace("\n0,0,1,1,\n", "\n0,0,1,0,pgd20\n")
        path.write_text(text.replace("\n15,5,1,0,pgd20\n", "\n15,5,1,1,\n"))
    else:
        path.unlink()
    said = refused()
    assert said.startswith(f"{path}: ")
    assert f"--forcerun {run / 'evaluation.json'}`" in said


ATTACK = "checkpoints__best__attacks__autoattack"


@pytest.mark.parametrize(
    ("record", "change", "where", "what"),
    [
        # A count that the examples do not bear out.
        ("evaluation", {f"{ATTACK}__correct": 19}, "examples/best/autoattack.csv", " 19"),
        ("evaluation", {f"{ATTACK}__n": 19}, "examples/best/autoattack.csv", " 19"),
        # An evaluation of other weights, or of a checkpoint that training does not know.
        ("train", {"checkpoints__last__weights_sha256": "0"}, "evaluation.json", "'last'"),
        ("train", {"checkpoints": {}}, "evaluation.json", "'best'"),
        # An evaluation of another run.
        ("evaluation", {"data__fingerprint": "0"}, "evaluation.json", "data fingerprint"),
        ("evaluation", {"method": "mart"}, "evaluation.json", "method"),
        ("evaluation", {"seed": 3}, "evaluation.json", "seed"),
        ("evaluation", {"experiment": "paper"}, "evaluation.json", "experiment"),
        # Keys that are missing or of another type.
        ("evaluation", {f"{ATTACK}__n": "many"}, "evaluation.json", ".n: "),
        ("train", {"spec": {}}, "train.json", "'method'"),
    ],
)
def test_records_that_do_not_agree_are_refused(
    results_factory, refused, record, change, where, what
):
    run = results_factory.run()
    edit_json(run / f"{record}.json", **change)
    said = refused()
    assert said.startswith(f"{run / where}: ")
    assert what in said


def test_a_run_copied_to_another_place_is_refused(results_factory, refused):
    run = results_factory.run("trades", 0)
    run.rename(run.with_name("seed1"))
    assert refused().startswith(f"{run.with_name('seed1') / 'train.json'}: ")


@pytest.mark.parametrize(
    ("attribute", "what"), [("dataset", "data fingerprint"), ("experiment", "experiment")]
)
def test_runs_on_different_data_cannot_share_a_table(results_factory, refused, attribute, what):
    results_factory.run("mart", 0)
    setattr(results_factory, attribute, "another")
    run = results_factory.run("trades", 0)
    assert refused().startswith(f"{run / 'train.json'}: its {what} ")


@pytest.mark.parametrize(
    ("record", "key", "value"),
    [
        ("train.json", "spec__threat__eps", 4 / 255),
        ("evaluation.json", "spec__evaluation__batch_size", 2),
    ],
)
def test_runs_of_other_settings_cannot_share_a_table(results_factory, refused, record, key, value):
    results_factory.run("mart", 0)
    run = results_factory.run("trades", 0)
    edit_json(run / record, **{key: value})
    name = key.removeprefix("spec__").replace("__", ".")
    assert refused().startswith(f"{run / record}: its {name} ")


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
def test_a_record_cut_short_is_named(results_factory, refused, record):
    path = results_factory.run() / record
    path.write_text(path.read_text()[:-100])
    said = refused()
    # Once in front, and once in the one fix.
    assert said.startswith(f"{path}: ")
    assert said.count(str(path)) == 2


def test_an_index_outside_the_test_set_is_refused(results_factory, refused):
    results_factory.test_images = 19
    results_factory.run()
    assert "19 test images" in refused()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [[0, 0, 1, "yes", ""]],
        [[0, 0, 1, 1, ""], [0, 0, 1, 1, ""]],  # an image twice
        [[0, 0, 0, 1, ""]],  # robust and wrong
        [[0, 0, 2, 1, ""]],
    ],
)
def test_what_is_no_list_of_examples_is_refused(tmp_path, rows):
    path = tmp_path / "pgd20.csv"
    write_csv(path, COLUMNS, rows)
    with pytest.raises(BenchError, match=f"^{path}: "):
        read_examples(path, "make it again")


def test_examples_come_in_the_order_of_images(tmp_path):
    path = tmp_path / "pgd20.csv"
    write_csv(path, COLUMNS, [[5, 0, 1, 0, "pgd20"], [2, 1, 1, 1, ""]])
    examples = read_examples(path, "make it again")
    assert examples["index"].tolist() == [2, 5]
    assert examples["robust"].tolist() == [True, False]


def test_a_history_that_is_another_runs_is_refused(results_factory):
    run, other = (results_factory.run(method, 0) for method in ("trades", "memloss_v1"))
    edit_json(run / "train.json", history_sha256=sha256(run / "history.csv"))
    assert main(["summarize", "--folder", str(results_factory.folder)]) == 0
    assert len(ExperimentResults(results_factory.folder).history)
    (run / "history.csv").write_bytes((other / "history.csv").read_bytes())
    with pytest.raises(BenchError, match=rf"{run / 'history.csv'}: .*{run / 'train.json'}"):
        _ = ExperimentResults(results_factory.folder).history

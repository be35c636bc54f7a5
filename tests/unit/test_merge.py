"""Parts of one experiment become one folder, or a sentence says in what they differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paged
import planned
import pytest
from diagnosed import write_diagnostics, write_transfer
from factory import CORRECT, ResultsFactory, digest, edit_json, write_json

from bench.analysis.names import names_of
from bench.cli.main import main
from bench.merging.job import merge
from bench.results.columns import SUMMARY
from bench.results.paths import Paths
from bench.results.records import MergedRecord
from bench.results.staleness import Staleness
from bench.runtime.errors import BenchError

Edit = Callable[[Path], Any]
LABELS = ("trades", "standard", "pgd_at")
OF = planned.tiny(
    {"methods": {"trades": {"beta": 6}, "standard": {}, "pgd_at": {}}, "diagnostics.images": 10}
)


def write_part(folder: Path, *seeds: int) -> Path:
    """Write the runs of some seeds and the record of their images."""
    ResultsFactory(folder).all(["trades"], seeds)
    return with_images(folder)


def with_images(folder: Path) -> Path:
    record = json.loads(next(folder.glob("models/*/*/train.json")).read_text())["data"]
    del record["validation_images"]
    write_json(folder / "data.json", record | {"train_images": 100})
    return folder


@pytest.fixture
def alice(tmp_path: Path) -> Path:
    return write_part(tmp_path / "alice", 0)


@pytest.fixture
def bob(tmp_path: Path) -> Path:
    return write_part(tmp_path / "bob", 2)


def joined(*folders: Path, apart: tuple[str, ...] = ()) -> Path:
    out = folders[0].parent / "-".join(["merged", *(folder.name for folder in folders)])
    merge([(folder.name, folder) for folder in folders], out, apart)
    return out


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def tables(folder: Path) -> dict[str, bytes]:
    """Return every CSV file that the commands make of `folder`."""
    for command in ("summarize", "statistics", "claims", "tables"):
        paged.command(command, folder)
    return {path.name: path.read_bytes() for path in folder.rglob("*.csv")}


def cut(whole: Path, folder: Path, pattern: str) -> Path:
    """Copy the runs of `whole` that fit a pattern, and the record of the images."""
    for run in whole.glob(f"models/{pattern}"):
        shutil.copytree(run, folder / run.relative_to(whole))
    shutil.copy(whole / "data.json", folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("whole")
    planned.write_data(results, OF)
    for label in LABELS:
        for seed in (0, 1):
            planned.write_run(results, OF, label, seed)
    planned.write_diagnostics(results, OF, "trades", 0)
    return results / OF.experiment


@pytest.mark.parametrize(
    "patterns",
    [
        ("*/seed0", "*/seed1"),
        ("trades/*", "standard/*", "pgd_at/*"),
        ("trades/*", "*/seed0", "*/seed1"),  # some of the runs in two folders
    ],
)
def test_parts_of_an_experiment_become_the_bytes_of_the_whole(whole, tmp_path, patterns):
    parts = [cut(whole, tmp_path / f"part{k}", pattern) for k, pattern in enumerate(patterns)]
    out, again = joined(*parts), joined(*reversed(parts))
    assert files(out) == files(again)
    made = files(out)
    del made["merged.json"]
    results = {name for name in files(whole) if name == "data.json" or name.startswith("models")}
    assert made == {name: (whole / name).read_bytes() for name in results}
    assert tables(out) == tables(whole)


def test_a_merged_experiment_is_as_new_as_the_config_and_code_of_its_parts(whole, tmp_path):
    parts = [cut(whole, tmp_path / f"part{seed}", f"*/seed{seed}") for seed in (1, 0)]
    out = tmp_path / "results" / OF.experiment
    merge([(part.name, part) for part in parts], out)
    stale = Staleness(OF, out.parent)
    for run in OF.evaluated():
        assert not stale.weights(*run)
        assert not stale.evaluation(*run)
    assert not stale.diagnostics("trades", 0)


def edit_all(name: str, **changes: Any) -> Edit:
    """Return what edits each record of this name, wherever it lies in a folder."""

    def edit(folder: Path) -> None:
        for path in folder.rglob(name):
            edit_json(path, **changes)

    return edit


def both(*edits: Edit) -> Edit:
    return lambda folder: [edit(folder) for edit in edits]


def in_records(**changes: Any) -> Edit:
    return both(edit_all("train.json", **changes), edit_all("evaluation.json", **changes))


PGD = "checkpoints__best__attacks__pgd20__"
ALL_MISMATCHES = [
    (in_records(experiment="paper"), "experiment"),
    (
        both(in_records(data__fingerprint="f"), edit_all("data.json", fingerprint="f")),
        "fingerprint",
    ),
    (edit_all("data.json", classes=["cat", "dog"]), "data.classes"),
    (edit_all("train.json", data__validation_images=20), "data.validation_images"),
    (in_records(spec__threat__eps=0.1), "spec.threat.eps"),
    (edit_all("train.json", spec__training__epochs=9), "spec.training.epochs"),
    (edit_all("train.json", spec__model__name="wrn_28_10"), "spec.model.name"),
    (edit_all("train.json", spec__options={"beta": 1.0}), "spec.options.beta"),
    (edit_all("train.json", selected_on="test"), "selected_on"),
    (edit_all("evaluation.json", spec__evaluation__batch_size=5), "spec.evaluation.batch_size"),
    (
        edit_all(
            "evaluation.json", spec__evaluation={"batch_size": 20, "pgd": {"pgd20": {"steps": 9}}}
        ),
        "spec.evaluation.pgd.pgd20.steps",
    ),
    (edit_all("evaluation.json", spec__networks=["mart"]), "spec.networks"),
    (edit_all("evaluation.json", **{f"{PGD}seed": 7}), "checkpoints.best.attacks.pgd20.seed"),
    (edit_all("evaluation.json", **{f"{PGD}eps": 0.1}), "checkpoints.best.attacks.pgd20.eps"),
    (edit_all("train.json", needed_sha256={"start": "f"}), "needed_sha256.start"),
    (edit_all("evaluation.json", others_sha256={"hat": "f"}), "others_sha256.hat"),
]
APART = [
    (in_records(device="NVIDIA H200"), "device"),
    (in_records(threads=8), "threads"),
    (in_records(spec__compute={"device": "cuda"}), "spec.compute.device"),
    (edit_all("train.json", tf32=True), "tf32"),
    (edit_all("train.json", packages={"python": "3.13.0", "torch": "2.14.1"}), "packages.python"),
    (edit_all("evaluation.json", packages__pyautoattack="9"), "packages.pyautoattack"),
    (edit_all("train.json", code_digest="new"), "code_digest"),
    (edit_all("evaluation.json", code_digest="new"), "code_digest"),
    (edit_all("train.json", engine="eager"), "engine"),
    (edit_all("train.json", precision="bfloat16"), "precision"),
    (edit_all("evaluation.json", spec__evaluation__engine="folded"), "spec.evaluation.engine"),
    (edit_all("evaluation.json", **{f"{PGD}source": "other 2.0"}), "attacks.pgd20.source"),
]


def refused(*folders: Path, apart: tuple[str, ...] = ()) -> list[str]:
    """Return the sentences with which the folders are refused; nothing may be left."""
    before = sorted(folders[0].parent.iterdir())
    with pytest.raises(BenchError) as caught:
        joined(*folders, apart=apart)
    assert sorted(folders[0].parent.iterdir()) == before
    return getattr(caught.value, "problems", [str(caught.value)])


@pytest.mark.parametrize(("edit", "key"), ALL_MISMATCHES + APART)
def test_what_differs_is_named_with_both_folders_and_both_values(alice, bob, edit, key):
    edit(bob)
    said = [text for text in refused(bob, alice) if key in text]
    assert said
    for text in said:
        assert str(bob) in text
        assert f"in {alice}" in text or "no run in any of the folders" in text


@pytest.mark.parametrize(("edit", "key"), ALL_MISMATCHES)
def test_other_settings_or_images_are_refused_also_if_kept_apart(alice, bob, edit, key):
    edit(bob)
    assert any(key in text for text in refused(alice, bob, apart=("bob",)))


@pytest.mark.parametrize(("edit", "key"), APART)
def test_runs_of_other_machines_or_code_can_be_kept_apart(alice, bob, edit, key):
    edit(bob)
    out = joined(alice, bob, apart=("bob",))
    assert sorted(str(run.relative_to(out)) for run in out.glob("models/*/*")) == [
        *("models/trades/seed0", "models/trades_at_bob/seed2")
    ]


def test_what_is_kept_apart_keeps_its_label_and_has_a_name_of_its_own(alice, bob):
    edit_all("evaluation.json", spec__evaluation__engine="folded")(bob)
    in_records(device="NVIDIA H200", spec__compute={"device": "cuda"})(bob)
    out = joined(alice, bob, apart=("bob",))
    assert files(joined(bob, alice, apart=("bob",))) == files(out)
    paged.command("summarize", out)
    names = names_of(SUMMARY.read(out / "summary.csv"))
    assert names["trades_at_bob"] == "TRADES (β=6, at bob)"
    carol = write_part(out.parent / "carol", 3)
    again = MergedRecord.read(joined(out, carol) / "merged.json", "")
    assert [(part.name, part.apart, list(part.seeds)) for part in again.parts] == [
        ("alice", "", ["trades"]),
        ("bob", "bob", ["trades_at_bob"]),
        ("carol", "", ["trades"]),
    ]


def test_all_that_differs_is_told_at_once(alice, bob):
    in_records(device="NVIDIA H200")(bob)
    edit_all("evaluation.json", spec__evaluation__batch_size=5)(bob)
    shutil.copytree(bob / "models/trades/seed2", bob / "models/trades/seed3")
    said = "\n".join(refused(alice, bob))
    for what in ("device", "spec.evaluation.batch_size", "seed3/train.json"):
        assert what in said


def test_a_folder_that_does_not_agree_with_itself_is_refused(alice, tmp_path):
    bob = write_part(tmp_path / "bob", 1, 2)
    edit_json(bob / "models/trades/seed2/evaluation.json", threads=3)
    (said,) = refused(bob)
    assert "threads is 3" in said
    assert any("threads is 3" in text for text in refused(alice, bob))


# What is wrong with a folder by itself


@pytest.mark.parametrize(
    "name",
    [
        *("models/trades/seed2/train.json", "models/trades/seed2/evaluation.json"),
        *("models/trades/seed2/history.csv", "models/trades/seed2/last.safetensors"),
        *("models/trades/seed2/examples/best/pgd20.csv", "data.json"),
    ],
)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_what_is_missing_or_damaged_is_named(alice, bob, name, damage):
    damage(bob / name)
    (said,) = refused(alice, bob)
    assert str(bob / name) in said
    assert "copy it again" in said


def test_a_checkpoint_that_was_not_evaluated_is_named(alice, bob):
    ResultsFactory(bob).run("trades", 2, correct={"best": CORRECT["best"]})
    (said,) = refused(alice, bob)
    assert "seed2/evaluation.json" in said
    assert "checkpoints" in said


def test_diagnostics_and_references_that_are_not_finished_are_named(alice, bob):
    for name in ("models/trades/seed2/diagnostics", "reference/Rice2020Overfitting"):
        (bob / name).mkdir(parents=True)
    said = refused(alice, bob)
    assert "models/trades/seed2/diagnostics/record.json" in said[0]
    assert "Rice2020Overfitting/evaluation.json" in said[1]


def test_the_code_of_methods_that_no_other_part_has_must_be_the_one_here(tmp_path):
    ResultsFactory(tmp_path / "alice").all(("trades",), (0,))
    ResultsFactory(tmp_path / "bob").all(("mart",), (0,))
    said = refused(*(with_images(tmp_path / name) for name in ("alice", "bob")))
    assert len(said) == 2
    assert all("train.json: code_digest" in text for text in said)


# The same run in two folders


def test_equal_runs_are_merged_whatever_the_clock_said(alice, tmp_path):
    bob = write_part(tmp_path / "bob", 0, 2)
    for record in ("train.json", "evaluation.json"):
        edit_json(bob / "models" / "trades" / "seed0" / record, peak_memory_mb=5.0)
    history = bob / "models" / "trades" / "seed0" / "history.csv"
    history.write_text(history.read_text().replace("250.0", "99.0"))
    edit_json(history.with_name("train.json"), history_sha256=digest(history.read_bytes()))
    write_diagnostics(ResultsFactory(bob), "trades", 0)
    out = joined(alice, bob)
    kept = out / "models" / "trades" / "seed0"
    # Of two that are equal the one with diagnostics is taken.
    assert (kept / "diagnostics" / "record.json").is_file()
    names = {part.name: part.seeds for part in MergedRecord.read(out / "merged.json", "").parts}
    assert names["alice"]["trades"] == (0,)
    assert names["bob"]["trades"] == (0, 2)


@pytest.mark.parametrize("what", ["results", "weights", "curve"])
def test_two_results_of_one_run_are_refused(alice, tmp_path, what):
    bob = tmp_path / "bob"
    factory = ResultsFactory(bob, experiment="digits")
    factory.all(["trades"], (0,))
    run = bob / "models" / "trades" / "seed0"
    if what == "results":
        factory.run("trades", 0, correct=CORRECT | {"best": {"clean": 16, "pgd20": 3}})
    elif what == "weights":
        for record in ("train.json", "evaluation.json"):
            (run / "last.safetensors").write_bytes(b"other")
            edit_json(run / record, checkpoints__last__weights_sha256=digest(b"other"))
    else:
        (run / "history.csv").write_text((run / "history.csv").read_text().replace("71.0", "71.5"))
    said = refused(alice, with_images(bob))
    assert all(str(run) in text and str(alice / "models" / "trades") in text for text in said)


# Transfer and references


def test_transfer_between_the_methods_of_one_part_is_not_that_of_all(alice, bob):
    for folder in (alice, bob):
        ResultsFactory(folder).run("mart", 2 * (folder == bob))
    write_diagnostics(ResultsFactory(bob), "trades", 2)
    write_transfer(ResultsFactory(bob), ("trades", "mart"), 2)
    out = joined(alice, bob)
    assert (out / "transfer" / "seed2.csv").read_bytes() == (
        bob / "transfer/seed2.csv"
    ).read_bytes()
    write_transfer(ResultsFactory(bob), ("trades",), 2)
    shutil.rmtree(out)
    (said,) = refused(alice, bob)
    assert f"{bob / 'transfer' / 'seed2'}.{{json,csv}}" in said


def test_references_are_merged_and_the_one_that_could_be_fetched_is_taken(alice, bob):
    absent = {"method": "Rice2020Overfitting", "unavailable": "no network"}
    write_json(alice / "reference" / "Rice2020Overfitting" / "evaluation.json", absent)
    ResultsFactory(bob).reference()
    out = joined(alice, bob)
    assert (out / "reference/Rice2020Overfitting/examples/best/pgd20.csv").is_file()
    shutil.rmtree(out)
    assert any("--keep-apart bob" in text for text in refused(alice, bob, apart=("bob",)))


def as_external(run: Path, weights: str) -> None:
    """Let the run in `run` be of weights that were trained elsewhere."""
    record = json.loads((run / "train.json").read_text())
    shared = ("experiment", "method", "seed", "code_digest", "model", "device", "threads")
    network = {"weights": {str(record["seed"]): weights}, "architecture": "resnet18"}
    best = {"weights_sha256": record["checkpoints"]["best"]["weights_sha256"]}
    taken = {
        **{key: record[key] for key in (*shared, "packages", "peak_memory_mb")},
        "spec": {
            "network": network,
            **{k: record["spec"][k] for k in ("seed", "threat", "compute")},
        },
        "data": {k: value for k, value in record["data"].items() if k != "validation_images"},
        **{"file_sha256": digest("a file"), "source_sha256": None, "entry": ""},
        **{"checked_images": 20, "checked_correct": 16, "random": False},
        "checkpoints": {"best": best},
    }
    write_json(run / "network.json", taken)
    (run / "train.json").unlink()
    evaluation = json.loads((run / "evaluation.json").read_text())
    del evaluation["checkpoints"]["last"]
    write_json(run / "evaluation.json", evaluation)


def test_networks_of_others_are_those_of_one_file_wherever_it_lies(alice, bob):
    for folder, path in ((alice, "theirs.pt"), (bob, "/home/bob/theirs.pt")):
        as_external(ResultsFactory(folder).run("theirs", 0), path)
    out = joined(alice, bob)
    assert (out / "models" / "theirs" / "seed0" / "network.json").is_file()
    shutil.rmtree(out)
    edit_json(bob / "models" / "theirs" / "seed0" / "network.json", file_sha256="f")
    (said,) = refused(alice, bob)
    assert "file_sha256" in said


# Names, and where it is written


def test_a_folder_with_content_is_left_alone(alice, bob):
    (alice.parent / "merged-alice-bob").mkdir()
    joined(alice, bob)
    assert refused(alice, bob)


def test_a_merge_that_is_cut_leaves_nothing(alice, bob, monkeypatch):
    copy, left = shutil.copyfile, iter(range(9))

    def full(*places: Path) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        copy(*places)

    monkeypatch.setattr(shutil, "copyfile", full)
    assert "free space" in refused(alice, bob)[0]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("a", "A"), "alice="),
        (("a b", "c"), "'a b'"),
    ],
)
def test_names_that_cannot_tell_parts_apart_are_refused(alice, bob, names, told):
    with pytest.raises(BenchError, match=told):
        merge(list(zip(names, (alice, bob), strict=True)), alice.parent / "out")


def test_a_folder_that_is_given_twice_or_is_missing_is_refused(alice):
    with pytest.raises(BenchError, match="twice"):
        merge([("a", alice), ("b", alice)], alice.parent / "out")
    with pytest.raises(BenchError, match="nowhere"):
        merge([("a", alice), ("b", alice.parent / "nowhere")], alice.parent / "out")
    with pytest.raises(BenchError, match="keep-apart"):
        merge([("a", alice)], alice.parent / "out", ["bob"])


def test_the_command_tells_each_difference_in_a_line_of_its_own(alice, bob, capsys):
    in_records(device="NVIDIA H200", threads=8)(bob)
    assert main(["merge", str(alice), str(bob), "--out", str(alice.parent / "out")]) == 1
    _, *lines = capsys.readouterr().err.splitlines()
    assert ["device" in lines[0], "threads" in lines[1]] == [True, True]


def test_the_command_names_parts_and_the_next_command(alice, bob, capsys):
    out = alice.parent / "out"
    assert main(["merge", f"ann={alice}", str(bob), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "ann: 1 run of trades" in said
    assert f"summarize --folder {out}" in said
    assert {part.name for part in MergedRecord.read(Paths(out).merged_record, "").parts} == {
        *("ann", "bob")
    }

"""An attack that uses the other networks of a seed: what is trained before, recorded and stale."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from factory import edit_json
from planned import QUICK, configure, run_jobs, tiny, watch_jobs
from synthetic import settings_kept

from bench.evaluation.job import evaluate
from bench.planning.local_runner import LocalRunner
from bench.results.examples import read_examples
from bench.results.paths import Paths
from bench.results.records import EvaluationRecord, TrainRecord
from bench.results.staleness import Staleness, evaluation_inputs
from bench.runtime.errors import BenchError

pytestmark = pytest.mark.slow

CHANGES = {
    "methods.hat": {"helper": "standard"},
    "evaluation.attacks": {"transfer_pgd": {"steps": 4}},
}
OTHERS = ("trades", "standard", "hat")
FIRST = ["train standard/0", "train trades/0", "train hat/0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which one run is evaluated, and what was done for that."""
    folder = tmp_path_factory.mktemp("finished")
    with settings_kept(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        configure(CHANGES)
        jobs = watch_jobs(patch)
        assert run_jobs("--methods", "standard", "--seeds", "0") == 0
        (folder / "jobs.txt").write_text("\n".join(jobs))
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = Path(shutil.copytree(finished, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def paths() -> Paths:
    return Paths.of("tiny")


def stale(changes: dict[str, object] | None = None) -> list[str]:
    of = tiny({**QUICK, **(changes or CHANGES)})
    return Staleness(of, Path("results")).evaluation("standard", 0)


def test_all_networks_of_the_seed_are_trained_before_one_is_evaluated(finished):
    assert (finished / "jobs.txt").read_text().split("\n") == [*FIRST, "evaluate standard/0"]


def test_the_record_has_their_weights_and_the_results_are_of_images_of_theirs(project):
    run = paths().run("standard", 0)
    record = EvaluationRecord.read(run.evaluation_record, "")
    assert record.others_sha256 == {
        label: TrainRecord.read(paths().run(label, 0).train_record, "")
        .checkpoints["best"]
        .weights_sha256
        for label in OTHERS
        if label != "standard"
    }
    attack = record.checkpoints["best"].attacks["transfer_pgd"]
    assert attack.details["attack"] == "transfer_pgd"
    assert "transfer_pgd" not in record.checkpoints["last"].attacks
    examples = read_examples(run.examples("best", "transfer_pgd"), "")
    assert set(examples["broken_by"]) <= {"", "clean", "transfer_pgd"}


def test_other_weights_or_another_method_make_the_evaluation_stale(project):
    assert stale() == []
    edit_json(paths().run("hat", 0).train_record, checkpoints__best__weights_sha256="0" * 64)
    (reason,) = stale()
    assert "hat" in reason
    (reason,) = stale({**CHANGES, "methods.mart": {}})[:1]
    assert "networks" in reason


def test_nothing_of_it_matters_where_no_attack_uses_other_networks(project):
    of = tiny(QUICK)
    assert evaluation_inputs(of, "standard", 0).spec.networks == ()
    assert not [reason for reason in stale(dict(QUICK)) if "weights" in reason]


def test_an_evaluation_without_the_other_networks_says_what_to_train(project):
    shutil.rmtree(paths().run("hat", 0).folder)
    spec = tiny({**QUICK, **CHANGES}).evaluation_spec_of("standard", 0)
    with settings_kept(), pytest.raises(BenchError, match=r"hat/seed0/train\.json"):
        evaluate(spec, data=paths().data, folder=paths().run("standard", 0).folder)


def test_a_training_that_fails_is_named_and_what_needs_it(project, monkeypatch, capsys):
    shutil.rmtree(paths().run("standard", 0).folder)
    tried = []

    def failing(self: LocalRunner, pair: tuple[str, int]) -> None:
        tried.append(pair)
        raise BenchError("its loss became NaN")

    monkeypatch.setattr(LocalRunner, "_train", failing)
    assert run_jobs("--seeds", "0") == 1
    said = capsys.readouterr().out
    assert tried == [("standard", 0)]
    assert "trades seed 0 failed" in said
    assert "failed: standard seed 0, " in said

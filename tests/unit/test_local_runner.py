"""The local runner does what is left, in order, stops in time, and goes on another time."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from planned import QUICK, configure, run_jobs, watch_jobs
from settings import settings
from synthetic import settings_kept

from bench.__main__ import main
from bench.config.experiment import experiment
from bench.planning import doctor, local_runner
from bench.planning.local_runner import AGAIN, LocalRunner
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.signals import InterruptedJobError, ending_after

pytestmark = pytest.mark.slow

ALONE = ("--methods", "standard", "--seeds", "0")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    configure()
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with one finished run."""
    folder = tmp_path_factory.mktemp("finished")
    with settings_kept(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        configure()
        assert run_jobs(*ALONE) == 0
    return folder / "results"


@pytest.fixture
def done(project: Path, finished: Path) -> Path:
    """A project in which one run is finished."""
    shutil.copytree(finished, project / "results")
    return project


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watch_jobs(monkeypatch)


def test_each_run_is_trained_and_evaluated_before_the_next_and_nothing_twice(project, jobs, capsys):
    assert run_jobs("--methods", "standard", "trades", "--seeds", "1") == 0
    expected = [f"{job} {run}/1" for run in ("standard", "trades") for job in ("train", "evaluate")]
    assert jobs == expected
    folder = project / "results" / "tiny" / "models" / "trades" / "seed1"
    assert (folder / "evaluation.json").is_file()
    assert run_jobs("--methods", "standard", "trades", "--seeds", "1") == 0
    assert jobs == expected
    assert capsys.readouterr().out.endswith("all done\n")


def test_what_was_lost_is_made_again(done, jobs):
    (done / "results/tiny/models/standard/seed0/last.safetensors").unlink()
    assert run_jobs(*ALONE) == 0
    assert jobs[0] == "train standard/0"


def test_images_of_another_section_are_read_again_and_trained_on(done, jobs, capsys):
    configure({"data.train_images": 61})
    assert run_jobs(*ALONE) == 0
    assert jobs == ["train standard/0", "evaluate standard/0"]
    out = capsys.readouterr().out
    assert "images: read (the config has another data.train_images)" in out
    assert "standard seed 0: train (it is of other images)" in out


def test_images_that_come_out_the_same_are_read_alone(done, jobs, capsys):
    # Where the digits are is of no account to them.
    configure({"data.path": "elsewhere"})
    for _ in range(2):
        assert run_jobs(*ALONE) == 0
    assert jobs == []
    assert capsys.readouterr().out.count("images: read (the config has another data.path)") == 1


@pytest.mark.parametrize("missing", [True, False])
def test_images_that_are_gone_are_read_where_there_is_work_alone(done, jobs, capsys, missing):
    (done / "results/tiny/data.safetensors").unlink()
    assert run_jobs("--methods", "standard", "--seeds", "1" if missing else "0") == 0
    assert ("images: read (data.safetensors is missing)" in capsys.readouterr().out) == missing


def test_a_run_that_fails_is_named_and_the_others_go_on(project, monkeypatch, capsys):
    original = LocalRunner._train

    def failing(self, pair):
        if pair[0] == "trades":
            raise BenchError("its loss became NaN")
        original(self, pair)

    monkeypatch.setattr(LocalRunner, "_train", failing)
    assert run_jobs("--seeds", "0") == 1
    out = capsys.readouterr().out
    assert "trades seed 0 failed: its loss became NaN" in out
    assert out.endswith("failed: trades seed 0; see above\n")
    assert (project / "results" / "tiny" / "models" / "standard" / "seed0" / "train.json").is_file()


@pytest.mark.parametrize("start", [None, "standard"])
def test_a_job_that_leaves_its_own_reason_in_place_is_not_done_for_ever(
    project, monkeypatch, capsys, start
):
    configure({"methods.trades.training": {"start": start}})
    done: list[str] = []
    monkeypatch.setattr(LocalRunner, "_train", lambda self, pair: done.append(pair[0]))
    assert run_jobs("--methods", "trades", "--seeds", "0") == 1
    assert done == [start or "trades"]
    failed = f"{start or 'trades'} seed 0 failed: train ended well and is still to be done (train"
    assert failed in capsys.readouterr().out


def test_a_record_beside_images_from_elsewhere_is_put_right_first(done, jobs, capsys):
    configure({"data.train_images": 61})
    assert main(["data", "--config", "tiny.yaml", "--out", "other/data.safetensors"]) == 0
    shutil.copy("other/data.safetensors", "results/tiny/data.safetensors")
    assert run_jobs(*ALONE) == 0
    assert "images: read (data.json is about other images than" in capsys.readouterr().out
    assert jobs == ["train standard/0", "evaluate standard/0"]


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"evaluation.autoattack": {}}, True),
        ({"evaluation.autoattack": {"checkpoints": []}}, False),
        ({"diagnostics": {"seeds": [0], "images": 10}}, True),
        ({"diagnostics": {"seeds": [1], "images": 10}}, False),
    ],
)
def test_a_missing_autoattack_is_named_before_anything_is_trained(
    project, jobs, monkeypatch, capsys, changes, needed
):
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    configure(changes)
    assert run_jobs(*ALONE) == needed
    if needed:
        assert jobs == []
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            "error: AutoAttack is missing, and standard seed 0 needs it; pip install pyautoattack"
        )


def test_autoattack_may_be_missing_where_all_is_done(project, monkeypatch):
    configure({"evaluation.autoattack": {"images": 2}})
    assert run_jobs(*ALONE) == 0
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    assert run_jobs(*ALONE) == 0


def test_when_the_time_is_up_what_is_left_is_named(project, monkeypatch, capsys):
    monkeypatch.setattr(local_runner, "MARGIN", 0.0)
    monkeypatch.setattr(LocalRunner, "_read_images", lambda *_: None)
    monkeypatch.setattr(LocalRunner, "_train", lambda *_: time.sleep(60))
    runs, now = [("trades", 0), ("standard", 0)], time.monotonic()
    # One second is the least that a call lasts.
    runner = LocalRunner(experiment(settings(QUICK)), runs, Path("results"))
    assert runner.run(1e-9, now) == AGAIN
    out = capsys.readouterr().out
    assert "left: the images, trades seed 0, standard seed 0; the same command resumes" in out


def test_a_stop_from_outside_is_not_taken_for_the_time_limit(project, monkeypatch):
    def stopped(*_: object) -> None:
        raise InterruptedJobError(signal.SIGTERM)

    monkeypatch.setattr(LocalRunner, "_read_images", stopped)
    with pytest.raises(InterruptedJobError, match="SIGTERM"):
        LocalRunner(experiment(settings(QUICK)), [("trades", 0)], Path("results")).run(
            5, time.monotonic()
        )


@pytest.mark.parametrize(("waited", "left"), [(0, 110), (40, 70), (500, 1)])
def test_the_time_limit_counts_from_the_start_of_the_command(project, monkeypatch, waited, left):
    clock, limits = [1000.0], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    def wait(compute: object) -> None:
        clock[0] += waited

    def note(seconds: float | None) -> AbstractContextManager[None]:
        limits.append(seconds)
        return nullcontext()

    monkeypatch.setattr(gpus, "claim_for", wait)
    monkeypatch.setattr(local_runner, "ending_after", note)
    assert run_jobs(*ALONE, "--time-limit", "2") == 0
    assert limits == [left]


def test_several_short_calls_end_where_one_long_one_does(project, monkeypatch):
    from bench.training.run import Run

    whole = ("--methods", "trades", "--seeds", "0")
    assert run_jobs(*whole) == 0
    (project / "results").rename(project / "whole")
    trained = {"epochs": 0}
    original = Run.epoch

    def one_epoch(self, epoch, watch):
        # The alarm of a call that has time for one epoch.
        if trained["epochs"] == 1:
            signal.raise_signal(signal.SIGALRM)
        trained["epochs"] += 1
        return original(self, epoch, watch)

    monkeypatch.setattr(Run, "epoch", one_epoch)
    ended = []
    while not ended or ended[-1] == AGAIN:
        trained["epochs"] = 0
        ended.append(run_jobs(*whole, "--time-limit", "60"))
    assert ended == [AGAIN, 0]
    place = Path("tiny/models/trades/seed0")
    for name in ("best.safetensors", "last.safetensors", "examples/best/pgd20.csv"):
        one, other = (project / where / place / name for where in ("whole", "results"))
        assert one.read_bytes() == other.read_bytes()


def test_an_alarm_is_for_its_block_alone():
    with pytest.raises(InterruptedJobError) as stopped, ending_after(0.05):
        time.sleep(30)
    assert stopped.value.at_limit
    with ending_after(None):
        pass
    with ending_after(30):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "inf"])
def test_a_time_limit_that_is_none_is_refused(project, minutes, capsys):
    with pytest.raises(SystemExit):
        run_jobs("--time-limit", minutes)
    assert "expected a number above 0" in capsys.readouterr().err


def test_a_method_that_the_config_has_not_is_named_before_anything_runs(project, capsys):
    assert run_jobs("--methods", "trads") == 1
    assert "did you mean 'trades'" in capsys.readouterr().err
    assert not (project / "results").exists()


# What fails


def test_an_error_that_nobody_foresaw_ends_one_run_alone(project, jobs, monkeypatch, capsys):
    configure({"methods": {"trades": {}, "pgd_at": {}, "standard": {}}})
    for name, broken in (("_train", "trades"), ("_evaluate", "pgd_at")):
        original = getattr(LocalRunner, name)

        def failing(self, pair, original=original, broken=broken):
            if pair[0] == broken:
                raise KeyError("x")
            original(self, pair)

        monkeypatch.setattr(LocalRunner, name, failing)
    assert run_jobs("--methods", "trades", "pgd_at", "standard", "--seeds", "0") == 1
    said = capsys.readouterr()
    assert said.out.endswith("failed: trades seed 0, pgd_at seed 0; see above\n")
    assert "trades seed 0 failed: KeyError" in said.out
    assert said.err.count("Traceback") == 2
    assert jobs == ["train pgd_at/0", "train standard/0", "evaluate standard/0"]


def test_a_start_that_fails_is_tried_once_and_named_with_what_starts_from_it(
    project, monkeypatch, capsys
):
    methods = {name: {"training": {"start": "standard"}} for name in ("trades", "pgd_at")}
    configure({"methods": {**methods, "standard": {}}})
    tried: list[str] = []

    def failing(self, pair):
        tried.append(pair[0])
        raise ValueError("odd")

    monkeypatch.setattr(LocalRunner, "_train", failing)
    assert run_jobs("--methods", "trades", "pgd_at", "--seeds", "0") == 1
    assert tried == ["standard"]
    out = capsys.readouterr().out
    assert "pgd_at seed 0 failed: it needs standard seed 0, whose training failed" in out
    assert out.endswith("failed: standard seed 0, trades seed 0, pgd_at seed 0; see above\n")


def test_a_transfer_that_fails_is_named_and_the_next_seed_goes_on(project, monkeypatch, capsys):
    tried: list[int] = []

    def failing(self, seed):
        tried.append(seed)
        raise ValueError("odd")

    monkeypatch.setattr(LocalRunner, "_transfer", failing)
    monkeypatch.setattr(LocalRunner, "_finish", lambda *_: None)
    assert run_jobs("--methods", "standard") == 1
    assert tried == [0, 1]
    assert "failed: transfer of seed 0, transfer of seed 1; see" in capsys.readouterr().out


def test_a_stop_is_not_an_error_of_one_run(project, monkeypatch):
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalRunner, "_train", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_jobs("--seeds", "0")


def test_sizes_that_do_not_go_together_are_told_before_anything_is_trained(project, jobs, capsys):
    small = {"model": {"name": "resnet18", "width": 2}, "data.train_images": 40}
    configure(
        {**small, "training.batch_size": 7, "methods.standard": {"training": {"crop_padding": 8}}}
    )
    assert run_jobs("--methods", "trades", "standard", "--seeds", "0") == 1
    assert jobs == []
    _, lone, crop = capsys.readouterr().err.splitlines()
    assert lone.startswith(
        "  1. training.batch_size: methods.trades: 36 training images in batches"
    )
    assert lone.endswith("batch_size 6 or 8 leaves none")
    assert crop.startswith("  2. training.crop_padding: methods.standard")

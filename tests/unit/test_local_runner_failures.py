"""What fails in the local runner is named, and stops nothing that does not depend on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from planned import configure, run_jobs, watch_jobs

from bench.planning.local_runner import LocalRunner


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    configure()
    return tmp_path


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return watch_jobs(monkeypatch)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), OSError("odd"), KeyError("x")])
def test_an_error_that_nobody_foresaw_ends_one_run_alone(project, jobs, monkeypatch, capsys, error):
    configure({"methods": {"trades": {}, "pgd_at": {}, "standard": {}}})
    for name, broken in (("_train", "trades"), ("_evaluate", "pgd_at")):
        original = getattr(LocalRunner, name)

        def failing(self, pair, original=original, broken=broken):
            if pair[0] == broken:
                raise error
            original(self, pair)

        monkeypatch.setattr(LocalRunner, name, failing)
    assert run_jobs("--methods", "trades", "pgd_at", "standard", "--seeds", "0") == 1
    said = capsys.readouterr()
    assert said.out.endswith("failed: trades seed 0, pgd_at seed 0; see above\n")
    assert f"trades seed 0 failed: {type(error).__name__}" in said.out
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

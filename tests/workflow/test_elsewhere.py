"""The workflow called from another folder: the suite's files are found, results lie there."""

from __future__ import annotations

from pathlib import Path

import pytest
from project import ROOT, job_counts, planned, snakemake

TINY = """
experiment: tiny
seeds: [0]
data: {source: digits, name: digits, train_images: 100, test_images: 40}
model: {name: small_cnn, width: 4}
threat: {norm: Linf, eps: 0.2}
compute: {device: cpu, threads: 1}
training:
  epochs: 1
  batch_size: 32
  optimizer: {learning_rate: 0.1}
  attack: {steps: 4}
  validation_attack: {steps: 4}
methods: {pgd_at: {}}
evaluation: {batch_size: 40, pgd: {pgd20: {steps: 20}}}
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with a space in its name, and in it a package that is called as ours is."""
    folder = tmp_path / "else where"
    (folder / "bench").mkdir(parents=True)
    (folder / "bench" / "__init__.py").write_text("raise SystemExit('not this one')\n")
    (folder / "tiny.yaml").write_text(TINY)
    return folder


@pytest.mark.parametrize("config", [(), ("--configfile", str(ROOT / "config" / "digits.yaml"))])
def test_the_same_jobs_are_planned_from_another_folder(elsewhere, config):
    there = planned(elsewhere, "-s", str(ROOT / "Snakefile"), *config)
    # The working directory given by name, as seen from the checkout.
    done = snakemake(ROOT, "-n", "--directory", str(elsewhere), *config)
    assert there["report_page"] == there["claims"] == 1
    assert job_counts(done.stdout + done.stderr) == there


def test_a_job_runs_in_another_folder_with_the_code_of_the_suite(elsewhere):
    target = "results/tiny/data.json"
    arguments = ("-s", str(ROOT / "Snakefile"), "--configfile", "tiny.yaml", "--cores", "1", target)
    done = snakemake(elsewhere, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (elsewhere / target).is_file()

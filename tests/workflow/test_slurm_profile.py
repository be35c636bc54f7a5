"""The Slurm profile plans the paper without Slurm, and changes nothing about what reruns."""

from __future__ import annotations

import re

import pytest
import yaml
from project import ROOT, copy_project, job_counts, snakemake

SLURM = ("--profile", "profiles/slurm")
SENDING = ("train", "network", "evaluate", "evaluate_part", "reference", "diagnose", "transfer")
# What Snakemake itself says about the limit, from inside the plan.
TELL = """
print(f"GPU limit: {workflow.global_resources['gpu'].value}", file=sys.stderr)
sent = {rule.name for rule in workflow.rules} - workflow._localrules
print("sent:", *sent, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("slurm") / "project")
    with (folder / "Snakefile").open("a") as file:
        file.write(TELL)
    return folder


@pytest.fixture(scope="module")
def plan(project):
    """What a dry run with the profile says."""
    done = snakemake(project, "-n", *SLURM)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return text


def profile(name):
    return yaml.safe_load((ROOT / f"profiles/{name}/profile.yaml").read_text())


def resources(text, rule):
    """The resources of the first job of `rule` that a dry run lists, by name."""
    (line, *_) = (
        line
        for line in text.partition(f"rule {rule}:")[2].splitlines()
        if line.strip().startswith("resources:")
    )
    return dict(pair.split("=", 1) for pair in line.partition(":")[2].strip().split(", "))


def test_a_dry_run_plans_the_paper_with_its_requests(plan):
    for rule in ("train", "evaluate", "reference", "diagnose", "transfer"):
        asked = resources(plan, rule)
        assert (asked["gpu"], asked["mem_mb"], asked["runtime"]) == ("1", "16000", "720")


def test_what_takes_seconds_is_not_sent(plan):
    (sent,) = re.findall(r"^sent: (.*)", plan, re.MULTILINE)
    assert set(sent.split()) == {*SENDING, "all"}


def test_a_request_on_the_command_line_leaves_the_sites_limits(project):
    done = snakemake(project, "-n", *SLURM, "--set-resources", "train:runtime=60")
    asked = resources(done.stdout, "train")
    assert (asked["mem_mb"], asked["runtime"], asked["gpu"]) == ("16000", "60", "1")


def test_the_plan_is_that_of_the_default_profile_with_more_jobs_at_once(project, plan):
    done = snakemake(project, "-n")
    text = done.stdout + done.stderr
    assert job_counts(plan) == job_counts(text)
    # The bare command is the paper.
    assert "results/paper/models/memloss_v1/seed2/best.safetensors" in text
    assert "results/summary.csv" in text
    assert "GPU limit: 1\n" in text
    assert "GPU limit: 16\n" in plan
    done = snakemake(project, "-n", *SLURM, "--resources", "gpu=4")
    assert "GPU limit: 4\n" in done.stdout + done.stderr


def test_what_makes_a_job_run_again_is_the_same_everywhere():
    default = profile("default")
    assert default["rerun-triggers"] == ["input", "mtime", "params"]
    assert default.items() <= profile("slurm").items()


def test_without_the_executor_nothing_trains_on_a_login_node(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = snakemake(project, *SLURM)
    assert done.returncode != 0
    assert "no CUDA device here" in done.stdout + done.stderr
    assert not (project / "results").exists()

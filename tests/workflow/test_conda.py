"""--use-conda from an environment that has Snakemake alone, with a stand-in for conda."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conda import Conda
from project import ROOT, copy_project, snakemake

MINIMAL = ("--configfile", "config/minimal.yaml")
TARGET = "results/minimal/data.json"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The Python of an environment with what docs/running.md says that Snakemake needs."""
    (line,) = re.findall(r"uv pip install .*-c requirements\.lock (.+)", RUNNING.read_text())
    folder, uv = tmp_path_factory.mktemp("alone"), Path(sys.executable).with_name("uv")
    own = folder / "bin/python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    install = [uv, "pip", "install", "-q", "--python", own, "-c", ROOT / "requirements.lock"]
    done = subprocess.run([*install, *line.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"Snakemake cannot be installed alone: {done.stderr.strip()[-200:]}")
    packages = {path.name for path in folder.glob("lib/*/site-packages/*")}
    assert not packages & {"torch", "pandas"}
    return own


RUNNING = ROOT / "docs/running.md"


@pytest.fixture
def conda(tmp_path, monkeypatch):
    found = Conda(tmp_path / "conda")
    monkeypatch.setenv("PATH", f"{found.bin}:{os.environ['PATH']}")
    return found


@pytest.fixture
def project(tmp_path):
    return copy_project(tmp_path / "project")


def test_jobs_run_in_condas_environment_which_a_second_clone_uses_too(
    alone, conda, project, tmp_path
):
    shared = ("--use-conda", "--conda-prefix", str(tmp_path / "environments"))
    command = ("--cores", "2", *MINIMAL, *shared)
    done = snakemake(project, *command, "--", TARGET, python=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / TARGET).exists()
    assert conda.created() == [(ROOT / "environment.yml").read_text()]
    done = snakemake(copy_project(tmp_path / "clone"), *command, "--", TARGET, python=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(conda.created()) == 1
    done = snakemake(project, *MINIMAL, "--report", "report.html", "--", TARGET, python=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "report.html").exists()


def test_without_a_device_no_environment_is_made(alone, conda, project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = snakemake(project, "--cores", "2", "--use-conda", python=alone)
    assert done.returncode != 0
    assert "no CUDA device here" in done.stdout + done.stderr
    assert conda.created() == []


def test_environments_alone_can_be_made_on_a_login_node(alone, conda, project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    only = ("--cores", "1", "--use-conda", "--conda-create-envs-only")
    done = snakemake(project, *only, python=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(conda.created()) == 1

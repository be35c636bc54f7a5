"""The package as pip installs it: what a wheel carries, and commands from a folder of a user's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bench.config.loading import read_config
from bench.results.staleness import train_inputs

ROOT = Path(__file__).parents[2]
# What the wheel is built of, beside `bench`, and what of it an installed package reads.
CARRIED = ("CITATION.cff", "Snakefile", "environment.yml", "pyproject.toml")
FOLDERS = ("config", "profiles", "workflow")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
CODE = """
from bench.config.loading import read_config
from bench.results.staleness import train_inputs
from bench.runtime.places import of_suite
experiment = read_config(of_suite("config/digits.yaml"))
print(train_inputs(experiment, "memloss_v1", 0).code)
"""
UV = Path(sys.executable).with_name("uv")


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that went well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    source = tmp_path_factory.mktemp("source")
    for name in ("bench", *FOLDERS):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in (*CARRIED, "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    said(run(sys.executable, "-c", BUILD, out, cwd=source))
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """The folder that the wheel is unpacked in, as pip does with one of Python alone."""
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def files(folder: str, but: tuple[str, ...]) -> set[str]:
    paths = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(ROOT)) for path in paths if path.suffix not in but}


def test_a_wheel_has_the_package_and_the_suites_files_and_nothing_else(wheel):
    packed = zipfile.ZipFile(wheel).namelist()
    beside = {*CARRIED, *(name for folder in FOLDERS for name in files(folder, (".md",)))}
    assert {name for name in packed if ".dist-info/" not in name} == {
        *files("bench", (".pyc",)),
        *(f"bench/_suite/{name}" for name in beside),
    }
    (entry,) = (name for name in packed if name.endswith("/entry_points.txt"))
    assert b"memloss-bench = bench.cli.main:main" in zipfile.ZipFile(wheel).read(entry)


@pytest.mark.slow
def test_an_installed_package_finds_its_files_from_any_folder(site, tmp_path):
    bench, place = (sys.executable, "-m", "bench"), {"cwd": tmp_path, "PYTHONPATH": str(site)}
    assert said(run(*bench, "plan", "--config", "digits.yaml", **place)).startswith("digits: ")
    found = said(run(*bench, "path", "config/digits.yaml", **place)).strip()
    assert found == str(site / "bench" / "_suite" / "config" / "digits.yaml")


def test_code_has_the_same_digest_installed_as_in_the_checkout(site, tmp_path):
    code = said(run(sys.executable, "-c", CODE, cwd=tmp_path, PYTHONPATH=str(site))).strip()
    experiment = read_config(ROOT / "config" / "digits.yaml")
    assert code == train_inputs(experiment, "memloss_v1", 0).code


@pytest.mark.slow
def test_the_workflow_plans_from_an_installed_package_and_refuses_conda(site, tmp_path):
    suite = site / "bench" / "_suite"
    workflow = ("-n", "-s", suite / "Snakefile", "--configfile", suite / "config" / "minimal.yaml")
    place = {"cwd": tmp_path, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    snakemake = (sys.executable, "-m", "snakemake", *workflow)
    assert "total" in said(run(*snakemake, **place))
    refused = run(*snakemake, "--use-conda", **place)
    assert refused.returncode == 1
    assert "--use-conda" in refused.stdout + refused.stderr


@pytest.fixture
def environment(tmp_path):
    """A new environment, and how to install into it; offline without a cache it is skipped."""
    folder = tmp_path / "environment"
    said(run(UV, "venv", "--python", sys.executable, folder, cwd=tmp_path))

    def install(what: str) -> Path:
        done = run(UV, "pip", "install", "--python", folder / "bin/python", what, cwd=tmp_path)
        if any(word in done.stderr for word in ("Failed to fetch", "network was disabled")):
            pytest.skip(f"no package index: {done.stderr.splitlines()[-1]}")
        said(done)
        return folder / "bin" / "memloss-bench"

    return install


@pytest.mark.slow
def test_without_extras_it_plans_and_verifies_and_names_what_is_missing(
    wheel, environment, tmp_path
):
    command = environment(str(wheel))
    shutil.copytree(ROOT / "results/reference/digits", tmp_path / "results/digits")
    assert "summarize" in said(run(command, "--help", cwd=tmp_path))
    assert "11 methods" in said(run(command, "plan", "--config", "digits.yaml", cwd=tmp_path))
    # Its packages differ from those of the published run, so there are findings.
    verified = run(command, "verify", cwd=tmp_path)
    assert verified.returncode == 1
    assert "train.json" in verified.stdout
    missing = run(command, "summarize", "--folder", "results/digits", cwd=tmp_path)
    assert missing.returncode == 1
    assert "pandas" in missing.stderr
    assert "[analysis]" in missing.stderr


@pytest.mark.slow
def test_with_the_extra_analysis_it_makes_the_published_numbers_again(wheel, environment, tmp_path):
    command = environment(f"{wheel}[analysis]")
    folder = Path(shutil.copytree(ROOT / "results/reference/digits", tmp_path / "digits"))
    for name in ("summary.csv", "claims.csv"):
        (folder / name).unlink()
    for name in ("summarize", "claims", "tables", "report"):
        said(run(command, name, "--folder", folder, cwd=tmp_path))
    for name in ("summary.csv", "claims.csv"):
        published = ROOT / "results/reference/digits" / name
        assert (folder / name).read_bytes() == published.read_bytes(), name
    assert (folder / "tables" / "comparison.md").is_file()

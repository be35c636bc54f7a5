"""What the environment holds, or the folder a command is called from, changes no result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factory import ResultsFactory

from bench.analysis.plots.draw import draw_figures
from bench.cli.main import main, parser
from bench.config.experiment import Data
from bench.config.schema import Needs
from bench.data.job import prepare
from bench.data.listing import listing_digest
from bench.results.experiment import ExperimentResults
from bench.results.published import Published
from bench.runtime.places import ROOT, config_file, expanded, of_suite

pytestmark = pytest.mark.slow

HOSTILE = r"""US$ notes x_1$ % & # {} ~ ^ \ < > | " ' β <b>b</b> </script> -->"""
REFERENCE = ROOT / "results" / "reference" / "digits"
PUBLISHED = Published.read(ROOT / "config" / "reported.csv", ROOT / "config" / "robustbench.csv")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "digits"
    ResultsFactory(folder, dataset=HOSTILE).all(("standard", "memloss_v1"), seeds=(0,))
    assert main(["summarize", "--folder", str(folder)]) == 0
    return folder


def bench(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_figures_are_the_same_whatever_backend_and_settings_a_user_has(results, tmp_path):
    plain = draw_figures(ExperimentResults(results), PUBLISHED, tmp_path / "plain")
    # An SVG has each text in a comment beside its outlines.
    texts = next(path for path in plain if path.name == "frontier.svg").read_text("utf-8")
    assert "US$ notes x_1$ %" in texts
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.size: 40\nsavefig.dpi: 20\nsvg.fonttype: none\n"
    )
    done = bench(
        *("figures", "--folder", str(results), "--out", str(tmp_path / "own")),
        cwd=tmp_path,
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        PYTHONWARNINGS="error",
    )
    assert done.returncode == 0, done.stderr
    for path in plain:
        assert (tmp_path / "own" / path.name).read_bytes() == path.read_bytes(), path.name


@pytest.mark.slow
def test_what_an_encoding_lacks_is_printed_in_escapes(results, tmp_path):
    out, plain = tmp_path / "β猫.html", {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = bench("report", "--folder", str(results), "--out", str(out), **plain)
    assert done.returncode == 0, done.stderr
    assert b".html" in done.stdout
    assert out.is_file()


def test_a_closed_output_is_no_failure(results):
    command = f"{sys.executable} -m bench tables --folder {results} >&-"
    assert subprocess.run(command, shell=True, cwd=ROOT, check=False).returncode == 0


def test_defaults_are_the_suites_wherever_a_command_is_called(results, tmp_path, monkeypatch):
    shutil.copytree(results, tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    for command in ("summarize", "claims", "report"):
        assert main([command, "--folder", "digits"]) == 0, command
    assert "v1-cost" in (tmp_path / "digits" / "claims.csv").read_text("utf-8")
    assert parser().parse_args(["perf"]).config == ROOT / "config" / "paper.yaml"
    chosen = parser().parse_args(["figures", "--folder", "digits"])
    assert chosen.reference == ROOT / "config" / "robustbench.csv"
    assert of_suite("config/paper.yaml") == ROOT / "config" / "paper.yaml"
    monkeypatch.chdir(ROOT)
    assert of_suite("config/paper.yaml") == Path("config/paper.yaml")


def test_a_config_of_a_users_goes_before_one_of_the_suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits.yaml", "config/digits.yaml"):
        assert config_file(name) == ROOT / "config" / "digits.yaml"
    Path("digits.yaml").touch()
    assert config_file("digits.yaml") == Path("digits.yaml")
    assert config_file("other.yaml") == Path("other.yaml")


def test_the_path_of_a_file_of_the_suite_is_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["path", "Snakefile"]) == 0
    assert capsys.readouterr().out == f"{ROOT / 'Snakefile'}\n"
    assert main(["path", "nothing.yaml"]) == 1
    assert "nothing.yaml" in capsys.readouterr().err


def test_verify_finds_the_suites_configs_from_another_folder(tmp_path, monkeypatch, capsys):
    shutil.copytree(REFERENCE, tmp_path / "results" / "digits")
    monkeypatch.chdir(tmp_path)
    assert main(["verify"]) == 1
    assert "--configfile" in capsys.readouterr().out


def test_a_tilde_is_the_home_folder_and_a_variable_is_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IMAGES", "elsewhere")
    assert expanded("~/images") == tmp_path / "images"
    assert expanded("$IMAGES/a~b") == Path("$IMAGES/a~b")
    assert expanded("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_images_are_read_from_the_home_folder(tmp_path, monkeypatch):
    pillow = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("HOME", str(tmp_path))
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            path = tmp_path / "images" / part / label / "0.png"
            path.parent.mkdir(parents=True)
            pillow.new("RGB", (8, 8), (len(part), len(label), 0)).save(path)
    spec = Data(source="folder", name="mine", path="~/images")
    whole = Data(source="folder", name="mine", path=str(tmp_path / "images"))
    assert listing_digest(spec) == listing_digest(whole) != ""
    assert prepare(spec, Needs(), tmp_path / "data.safetensors").train_images == 2


def test_a_folder_in_an_option_may_begin_with_a_tilde(tmp_path, monkeypatch):
    shutil.copytree(REFERENCE, tmp_path / "digits")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["tables", "--folder=~/digits"]) == 0
    assert (tmp_path / "digits" / "tables" / "comparison.md").is_file()

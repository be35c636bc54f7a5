"""The whole DAG with the real Snakemake on a few digits: made, left alone, made again, edited."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from factory import read_csv

from bench.cli.main import main

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from campaign import campaign
from project import copy_project, planned, snakemake

CONFIG = """
experiment: tiny
seeds: [0, 1]
data: {source: digits, name: digits, train_images: 200, test_images: 20}
model: {name: small_cnn, width: 4}
threat: {eps: 0.2}
compute: {device: cpu, threads: 1}
training:
  epochs: 2
  batch_size: 50
  optimizer: {learning_rate: 0.1}
  crop_padding: 1
  flip: false
  attack: {steps: 4}
  validation_attack: {steps: 4}
methods:
  trades: {beta: 6}
  memloss_v1: {method: memloss, variant: v1, beta: 3, memory_beta: 2}
evaluation:
  batch_size: 20
  pgd:
    pgd20: {steps: 20}
  autoattack: {version: standard}
diagnostics: {images: 20, seeds: [1], max_steps: 20, restarts: 2, square_queries: 50}
"""
RUN = ("--cores", "2", "--configfile", "tiny.yaml")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("tiny") / "project")
    (folder / "tiny.yaml").write_text(CONFIG)
    done = snakemake(folder, *RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def restored(project):
    """The project, with its code put back afterwards."""
    kept = project.parent / "kept"
    for part in ("bench", "workflow"):
        shutil.copytree(project / part, kept / part)
    yield project
    for part in ("bench", "workflow"):
        shutil.rmtree(project / part)
        shutil.move(kept / part, project / part)
    shutil.rmtree(kept)


def test_every_method_seed_checkpoint_and_attack_has_a_row(project):
    found = {
        (row["method"], row["seed"], row["checkpoint"], row["attack"])
        for row in read_csv(project / "results/tiny/summary.csv")
    }
    evaluated = {
        "best": ("clean", "pgd20", "autoattack", "worst_case"),
        "last": ("clean", "pgd20"),
    }
    assert found == {
        (method, seed, checkpoint, attack)
        for method in ("trades", "memloss_v1")
        for seed in "01"
        for checkpoint, attacks in evaluated.items()
        for attack in attacks
    }


def test_accuracies_are_counts_of_the_results(project):
    for row in read_csv(project / "results/tiny/summary.csv"):
        if row["attack"] == "worst_case":
            continue
        run = project / f"results/tiny/models/{row['method']}/seed{row['seed']}"
        examples = read_csv(run / f"examples/{row['checkpoint']}/{row['attack']}.csv")
        robust = sum(int(example["robust"]) for example in examples)
        assert row["n"] == str(len(examples)) == "20"
        assert row["accuracy"] == f"{100 * robust / 20:.2f}"
        assert all(example["clean"] >= example["robust"] for example in examples)


def test_figures_tables_and_records_are_there(project):
    results = project / "results/tiny"
    for figure in ("frontier", "curves", "components"):
        assert (results / f"figures/{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert (results / f"figures/{figure}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (results / f"figures/{figure}.svg").read_text()
    for form in ("csv", "md", "tex"):
        assert "MemLoss V1" in (results / f"tables/comparison.{form}").read_text()
    fingerprint = json.loads((results / "data.json").read_text())["fingerprint"]
    records = sorted(results.glob("models/*/*/*.json"))
    assert len(records) == 8
    assert {json.loads(path.read_text())["data"]["fingerprint"] for path in records} == {
        fingerprint
    }


def test_statistics_and_claims_are_there_and_of_the_digits(project):
    results = project / "results/tiny"
    pairs = {
        (row["method"], row["against"])
        for row in read_csv(results / "statistics.csv")
        if row["quantity"] == "accuracy_difference"
    }
    assert pairs == {("trades", "memloss_v1")}
    claims = {row["id"]: row for row in read_csv(results / "claims.csv")}
    # 20 of the digits' images and two seeds: no verdict of the paper's, and none from what is
    # missing.
    assert not {row["verdict"] for row in claims.values()} & {"reproduced", "not reproduced"}
    assert claims["v1-clean"]["verdict"] == claims["v1-v2-clean"]["verdict"] == "not run"
    assert claims["v1-cost"]["methods"] == "memloss_v1;trades"
    assert claims["v1-clean"]["text"] in (results / "tables/claims.md").read_text()


def test_the_page_of_all_results_is_there_and_has_them(project):
    page = (project / "results/tiny/report.html").read_text()
    for row in read_csv(project / "results/tiny/summary.csv"):
        assert row["weights_sha256"] in page
        assert f"[{row['ci_low']}, {row['ci_high']}]" in page
    for claim in read_csv(project / "results/tiny/claims.csv"):
        assert claim["verdict"] in page
    assert "Loss by age, at the end of training" in page


def test_another_look_of_the_page_makes_the_page_alone(restored):
    path = restored / "bench/analysis/report/page.css"
    path.write_text(path.read_text().replace("#1a1a1a", "#1b1b1b"))
    assert planned(restored, *RUN) == {"report_page": 1, "all": 1, "total": 2}


def test_edited_claims_are_checked_again_and_nothing_else_is_made(project):
    path = project / "config/claims/memloss.yaml"
    text, status = path.read_text(), path.stat()
    try:
        path.write_text(f"{text}# edited\n")
        counts = planned(project, *RUN)
    finally:
        path.write_text(text)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert counts == {"claims": 1, "report_page": 1, "all": 1, "total": 3}


def test_diagnostics_are_there_and_their_flags_in_the_summary(project):
    results = project / "results/tiny"
    failed = set()
    for path in results.glob("models/*/*/diagnostics/record.json"):
        record = json.loads(path.read_text())
        assert {"curves.csv", "surfaces.csv"} <= {file.name for file in path.parent.iterdir()}
        checks = record["checkpoints"]["best"]["checks"]
        assert "autoattack_gap" in checks
        failed |= {
            (record["method"], str(record["seed"]), f"diagnostics_{name}")
            for name, found in checks.items()
            if not found["passed"]
        }
    assert len(read_csv(results / "transfer/seed1.csv")) == 4
    flagged = {
        (row["method"], row["seed"], flag)
        for row in read_csv(results / "summary.csv")
        for flag in row["flags"].split(";")
        if flag.startswith("diagnostics_") and flag != "diagnostics_transfer_stronger"
    }
    assert flagged == failed
    for figure in ("diagnostics", "surfaces", "transfer"):
        assert (results / f"figures/{figure}.png").read_bytes().startswith(b"\x89PNG")


def test_what_diagnostics_lost_is_made_again_alone(project):
    lost = [
        "models/trades/seed1/diagnostics/curves.csv",
        "models/memloss_v1/seed1/diagnostics/record.json",
        "transfer/seed1.csv",
    ]
    paths = [project / "results/tiny" / name for name in lost]
    kept = [path.rename(path.with_suffix(".kept")) for path in paths]
    try:
        counts = planned(project, *RUN)
    finally:
        for path, away in zip(paths, kept, strict=True):
            away.rename(path)
    assert (counts["diagnose"], counts["transfer"]) == (2, 1)
    assert counts["train"] == counts["evaluate"] == 0


def test_a_second_run_has_nothing_to_do(project):
    done = snakemake(project, *RUN)
    assert done.returncode == 0, done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_comments_docstrings_and_another_format_retrain_nothing(restored):
    for path in ("bench/methods/memloss.py", "bench/training/run.py", "bench/attacks/linf.py"):
        source = (restored / path).read_text()
        (restored / path).write_text(source.replace('"""', '"""Edited. ', 1) + "\n\n# A comment.\n")
    for path in (
        "bench/methods/trades.py",
        "bench/data/memory.py",
        "bench/evaluation/per_example.py",
    ):
        source = (restored / path).read_text()
        (restored / path).write_text(ast.unparse(ast.parse(source)))
        assert (restored / path).read_text() != source
    counts = planned(restored, *RUN)
    assert counts["train"] == counts["evaluate"] == 0


def test_the_code_of_one_figure_makes_figures_and_page_again(restored):
    module = restored / "bench/analysis/plots/curves.py"
    module.write_text(module.read_text() + "\nADDED = 1\n")
    counts = planned(restored, *RUN)
    assert counts["figures"] == counts["report_page"] == 1
    assert counts["train"] == counts["statistics"] == counts["tables"] == 0


def test_snakemakes_own_report_builds_without_a_network(project, monkeypatch):
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    done = snakemake(project, "--configfile", "tiny.yaml", "--report", "report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    page = (project / "report.html").read_text()
    shown = json.loads(re.search(r"^ *var results = (\{.*\});?$", page, re.MULTILINE)[1])
    names = ("frontier", "curves", "components", "replay")
    names += ("diagnostics", "surfaces", "transfer")
    figures = [f"results/tiny/figures/{name}.svg" for name in names]
    tables = [f"results/tiny/tables/{name}.csv" for name in ("comparison", "costs")]
    numbers = ["results/tiny/summary.csv", *tables]
    assert sorted(shown) == sorted(figures + numbers)
    for path, result in shown.items():
        content = base64.b64decode(result["data_uri"].partition("base64,")[2])
        assert content == (project / path).read_bytes()


def test_a_statement_in_a_method_retrains_that_method(restored):
    path = restored / "bench/methods/memloss.py"
    source = path.read_text()
    assert source.count("memory_beta * memory_B.mean()") == 1
    path.write_text(source.replace("memory_beta * memory_B.mean()", "memory_B.mean()"))
    counts = planned(restored, *RUN)
    assert counts["train"] == counts["evaluate"] == 2  # MemLoss, two seeds


def test_two_merged_halves_are_the_whole_and_nothing_is_trained_again(project, tmp_path):
    whole, halves = project / "results/tiny", [tmp_path / "half1", tmp_path / "half0"]
    for seed, half in enumerate(reversed(halves)):
        for run in whole.glob(f"models/*/seed{seed}"):
            shutil.copytree(run, half / run.relative_to(whole), copy_function=shutil.copyfile)
        (half / "transfer").mkdir()
        for path in (*whole.glob("data.*"), *whole.glob(f"transfer/seed{seed}.*")):
            shutil.copyfile(path, half / path.relative_to(whole))
    other = copy_project(tmp_path / "other")
    shutil.copy(project / "tiny.yaml", other)
    merged = other / "results/tiny"
    assert main(["merge", *map(str, halves), "--out", str(merged)]) == 0
    assert set(planned(other, *RUN)) == {
        *("summary", "statistics", "claims", "tables", "figures", "report_page", "all", "total")
    }
    for name in ("summarize", "statistics", "claims", "tables"):
        assert main([name, "--folder", str(merged)]) == 0
    for path in merged.rglob("*.csv"):
        assert path.read_bytes() == (whole / path.relative_to(merged)).read_bytes()


def test_a_new_seed_adds_its_own_jobs_only(project):
    counts = planned(project, *RUN, "--config", "seeds=[0, 1, 2]")
    assert counts["train"] == counts["evaluate"] == 2


def test_a_new_method_adds_its_own_jobs_and_is_tried_against_the_others(project):
    counts = planned(project, *RUN, "--config", "methods={'pgd_at': {}}")
    assert counts["train"] == counts["evaluate"] == 2
    assert counts["diagnose"] == counts["transfer"] == 1


def test_lost_weights_rebuild_one_run(project):
    lost = project / "results/tiny/models/trades/seed1/best.safetensors"
    kept = lost.rename(lost.with_suffix(".kept"))
    try:
        counts = planned(project, *RUN)
    finally:
        kept.rename(lost)
    assert counts["train"] == counts["evaluate"] == 1


def test_the_command_that_verify_prints_makes_a_record_of_a_run_by_hand_again(project):
    # As a run by hand with another beta leaves it: Snakemake knows nothing of its settings.
    record = project / "results/tiny/models/trades/seed1/train.json"
    kept = record.read_text()
    record.write_text(kept.replace('"beta": 6.0', '"beta": 1.0'))
    verify = [sys.executable, "-m", "bench", "verify", "--config", "tiny.yaml"]
    try:
        done = subprocess.run(verify, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        (line,) = done.stdout.splitlines()
        assert "the config has another options.beta" in line
        program, *arguments = re.search("`(.*)`", line)[1].split()
        assert program == "snakemake"
        counts = planned(project, *arguments)
    finally:
        record.write_text(kept)
    again = ("train", "evaluate", "diagnose", "transfer")
    follow = ("summary", "statistics", "claims", "tables", "figures", "report_page", "all")
    jobs = dict.fromkeys((*again, *follow), 1)
    assert counts == jobs | {"total": sum(jobs.values())}


def test_all_made_again_from_the_same_files_is_byte_equal(project):
    results = project / "results/tiny"
    names = ("statistics.csv", "claims.csv", "tables/claims.md", "report.html")
    files = [results / name for name in names]
    first = [file.read_bytes() for file in files]
    done = snakemake(project, *RUN, "--forcerun", "statistics", "claims", "report_page")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [file.read_bytes() for file in files] == first


def test_after_a_kill_every_byte_is_an_undisturbed_runs(project):
    # The last test: all runs of MemLoss are made again, figures and page are not.
    faults = ["SIGKILL of the whole process group"]
    ((_, noticed),) = campaign(1, 5, project, faults=faults)
    assert "locked" in noticed  # else it ended before the signal came

"""Snakemake's own linter has nothing to say about the workflow."""

from __future__ import annotations

from project import copy_project, snakemake


def test_the_linter_finds_nothing(tmp_path):
    done = snakemake(copy_project(tmp_path / "project"), "--lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_reads_the_rules(tmp_path):
    path = copy_project(tmp_path / "project") / "workflow/rules/data.smk"
    rule = path.read_text()
    log = '    log:\n        PATHS.log("data"),\n'
    assert log in rule
    path.write_text(rule.replace(log, "").replace(" > {log} 2>&1", ""))
    done = snakemake(tmp_path / "project", "--lint")
    assert done.returncode != 0
    assert "No log directive" in done.stdout + done.stderr

"""The smallest experiment of the README ends in a report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from factory import read_csv

ROOT = Path(__file__).parents[2]


def test_the_minimal_experiment_ends_in_a_report(tmp_path):
    where = ["-s", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    what = ["--cores", "2", "--configfile", str(ROOT / "config" / "minimal.yaml")]
    subprocess.run(
        [sys.executable, "-m", "snakemake", *where, *what], check=True, capture_output=True
    )
    results = tmp_path / "results" / "minimal"
    assert "MemLoss" in (results / "report.html").read_text(encoding="utf-8")
    summary = read_csv(results / "summary.csv")
    rows = [(row["method"], row["checkpoint"], row["attack"]) for row in summary]
    assert len(rows) == len(set(rows)) == 8
    assert {method for method, _, _ in rows} == {"trades", "memloss"}

"""A copy of the project that a test may edit, and the real Snakemake to run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "environment.yml", "CITATION.cff", "bench", "config", "profiles", "workflow")


def copy_project(folder: Path) -> Path:
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            # With what is compiled already, which hundreds of processes would compile again.
            shutil.copytree(source, folder / part)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / part)
    return folder


def snakemake(
    project: Path,
    *arguments: str,
    path: Path | None = None,
    timeout: int = 1200,
    python: Path | str = sys.executable,
) -> subprocess.CompletedProcess[str]:
    """Run `python`'s Snakemake in `project`; modules in `path` hide installed ones of that name."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(project / ".cache"), "NO_COLOR": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [python, "-m", "snakemake", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def planned(project: Path, *arguments: str, path: Path | None = None) -> Counter[str]:
    """Return how many jobs of each rule a dry run plans."""
    done = snakemake(project, "-n", *arguments, path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    return job_counts(done.stdout + done.stderr)


def job_counts(text: str) -> Counter[str]:
    """Return the counts of Snakemake's table of jobs, none if it says that there is nothing to do.

    Anything else is an error: a Counter of what was not understood would be zero for every rule.
    """
    counts: Counter[str] = Counter()
    if "Job stats:" not in text and "Nothing to be done" in text:
        return counts
    table = text.partition("Job stats:")[2]
    for line in table.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdigit():
            counts[words[0]] = int(words[1])
        if words[:1] == ["total"]:
            break
    listed = counts.total() - counts["total"]
    assert listed == counts["total"] > 0, f"no table of jobs in what Snakemake says: {text}"
    return counts

"""Training and AutoAttack need torch, safetensors, YAML and the attacks' package, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml
from planned import QUICK
from settings import settings

ROOT = Path(__file__).parents[2]
UNNEEDED = (
    "matplotlib",
    "pandas",
    "pyarrow",
    "robustbench",
    "scipy",
    "sklearn",
    "snakemake",
    "timm",
    "torchvision",
)
CODE = """
import json, sys
from bench.__main__ import main
code = main(["run", "--config", "tiny.yaml"])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
sys.exit(code)
"""
CHANGES = {
    **QUICK,
    "seeds": [0],
    "training.epochs": 1,
    "evaluation.autoattack": {"version": "standard"},
}


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_local_run_needs_neither_the_workflow_nor_the_analysis(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings(CHANGES)))
    # The digits are scikit-learn's; a data file made elsewhere needs nothing of it.
    made = python(tmp_path, "-m", "bench", "data", "--config", "tiny.yaml")
    assert made.returncode == 0, made.stderr
    done = python(tmp_path, "-c", CODE)
    assert done.returncode == 0, done.stdout + done.stderr
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "torch" in imported
    assert not set(UNNEEDED) & set(imported)
    folder = tmp_path / "results" / "tiny" / "models" / "trades" / "seed0"
    attacks = json.loads((folder / "evaluation.json").read_text())["checkpoints"]["best"]["attacks"]
    assert set(attacks) == {"clean", "pgd20", "autoattack"}

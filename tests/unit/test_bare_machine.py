"""Training and AutoAttack need torch, safetensors, YAML and the attacks' package, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from planned import QUICK
from settings import settings

from bench.cli.main import main

ROOT = Path(__file__).parents[2]
UNNEEDED = {
    *("matplotlib", "pandas", "pyarrow", "robustbench", "scipy", "sklearn", "snakemake", "timm"),
    "torchvision",
}
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
    "methods": {"trades": {}},
    "training.epochs": 1,
    # At such a radius every image falls to the first component, which costs nothing.
    "threat.eps": "0.9",
    "evaluation.autoattack": {"images": 2},
}


@pytest.mark.slow
def test_a_local_run_needs_neither_the_workflow_nor_the_analysis(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(settings(CHANGES)))
    # The digits are scikit-learn's; a data file made elsewhere needs nothing of it.
    assert main(["data", "--config", "tiny.yaml"]) == 0
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    imported = json.loads(done.stdout.splitlines()[-1])
    assert "torch" in imported
    assert not UNNEEDED & set(imported)
    record = Path("results/tiny/models/trades/seed0/evaluation.json")
    attacks = json.loads(record.read_text())["checkpoints"]["best"]["attacks"]
    assert set(attacks) == {"clean", "pgd20", "autoattack"}

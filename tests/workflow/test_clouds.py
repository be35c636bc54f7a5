"""One request for a GPU in the words of four executors, whose own code reads it; none on a CPU."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT, copy_project, snakemake
from test_slurm_profile import SENDING

PINS = {
    "snakemake": "9.27.1",
    "snakemake-executor-plugin-kubernetes": "0.5.1",
    "snakemake-executor-plugin-googlebatch": "0.5.1",
    "snakemake-executor-plugin-aws-batch": "0.2.1",
}
RESOURCES = re.compile(r"rule train:.*?resources: ([^\n]+)", re.DOTALL)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """The resources of a training with `profiles/kubernetes`, on CUDA and on a CPU."""
    project = copy_project(tmp_path_factory.mktemp("clouds") / "project")
    found = {}
    for name, config in {"gpu": "paper", "cpu": "digits"}.items():
        plan = ("-n", "--profile", "profiles/kubernetes", "--configfile", f"config/{config}.yaml")
        done = snakemake(project, *plan)
        assert done.returncode == 0, done.stdout + done.stderr
        pairs = (pair.split("=", 1) for pair in RESOURCES.findall(done.stdout)[0].split(", "))
        found[name] = {
            key: int(value) if value.isdigit() else value
            for key, value in pairs
            if "TBD" not in value
        }
    return found


@pytest.fixture(scope="module")
def requests(asked, tmp_path_factory):
    """What the plugins' own code makes of them, by job and executor."""
    folder, uv = tmp_path_factory.mktemp("plugins"), Path(sys.executable).with_name("uv")
    own = folder / "bin/python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    slurm = re.findall(r"snakemake-executor-plugin-slurm\S*==[\d.]+", README.read_text())
    pins = [f"{name}=={version}" for name, version in PINS.items()] + slurm
    install = [uv, "pip", "install", "-q", "--python", own, *pins]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the executors cannot be installed: {done.stderr.strip()[-200:]}")
    script = Path(__file__).with_name("requested.py")
    done = subprocess.run(
        [own, script], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


README = ROOT / "profiles/README.md"


def test_a_job_on_cuda_asks_each_executor_for_one_gpu(requests):
    of = requests["gpu"]
    assert re.findall(r"--gpus\S*", of["slurm"]) == ["--gpus=1"]
    # Kubernetes refuses a GPU that is requested without being a limit.
    assert of["kubernetes"]["requests"]["nvidia.com/gpu"] == "1"
    assert of["kubernetes"]["limits"]["nvidia.com/gpu"] == "1"
    assert [one["count"] for one in of["google_batch"]] == [1]
    assert [one["value"] for one in of["aws_batch"] if one["type"] == "GPU"] == ["1"]


def test_a_job_on_a_cpu_asks_none_for_a_gpu(requests, asked):
    assert not [key for key in asked["cpu"] if "gpu" in key]
    assert "gpu" not in json.dumps(requests["cpu"]).lower()


def test_every_job_that_trains_or_attacks_asks_with_the_one_helper():
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    rules = re.split(r"^rule ", text, flags=re.MULTILINE)[1:]
    asking = {rule.partition(":")[0] for rule in rules if "**REQUEST," in rule}
    assert asking == set(SENDING)
    readme = re.search("and so for (.*?)\\.", README.read_text(), re.DOTALL)
    assert set(re.findall("`(.*?)`", readme[1])) == asking - {"train"}

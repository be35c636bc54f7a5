"""The Slurm profile on a real Slurm of one node, this machine, without accounting and with it."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from project import ROOT, copy_project, snakemake

NEEDED = ("slurmctld", "slurmd", "munged")
WITH_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
pytestmark = pytest.mark.skipif(
    getpass.getuser() != "root" or not all(map(shutil.which, NEEDED)),
    reason="needs root and Debian's slurm-wlm and munge: tests/slurm/one_node.sh",
)
CONFIG = """
experiment: tiny
seeds: [0, 1]
data: {source: digits, name: digits, train_images: 200, test_images: 20}
model: {name: small_cnn, width: 4}
threat: {eps: 0.2}
compute: {device: cpu, threads: 1}
training:
  epochs: 20
  batch_size: 50
  optimizer: {learning_rate: 0.1}
  crop_padding: 1
  flip: false
  attack: {steps: 4}
  validation_attack: {steps: 4}
methods:
  trades: {beta: 6}
evaluation:
  batch_size: 20
  pgd:
    pgd20: {steps: 20}
    pgd500: {steps: 500, restarts: 4}
"""
RUNS = [f"results/tiny/models/trades/seed{seed}" for seed in (0, 1)]
TARGETS = [f"{run}/evaluation.json" for run in RUNS]
CONFIGFILE = ("--configfile", "tiny.yaml")
# As profiles/README.md prints it, but for conda, and for looking at the jobs more often.
PRINTED = ("--profile", "profiles/slurm", "--executor", "slurm")
SOON = ("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5", *CONFIGFILE)
PINS = r"snakemake-executor-plugin-slurm(?:-jobstep)?==[\d.]+"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The environment of these tests with the executor that profiles/README.md pins."""
    folder = tmp_path_factory.mktemp("environment")
    uv = Path(sys.executable).with_name("uv")
    own = folder / "bin/python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    site = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    (folder / site / "suite.pth").write_text(f"{Path(sys.prefix, site)}\n")
    pins = re.findall(PINS, (ROOT / "profiles/README.md").read_text())
    install = [uv, "pip", "install", "-q", "--no-deps", "--python", own, *pins]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the executor cannot be installed: {done.stderr.strip()[-200:]}")
    return own


@pytest.fixture(scope="module", params=["", "accounting"], ids=["no_accounting", "accounting"])
def cluster(request, tmp_path_factory):
    """The kind of the cluster that Slurm's commands talk to."""
    if request.param and not all(map(shutil.which, WITH_ACCOUNTING)):
        pytest.skip("needs Debian's slurmdbd and mariadb-server: tests/slurm/one_node.sh")
    folder, script = tmp_path_factory.mktemp("cluster"), Path(__file__).with_name("one_node.sh")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        try:
            start = [script, "start", folder, request.param]
            done = subprocess.run(start, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            yield request.param
        finally:
            subprocess.run([script, "stop", folder], capture_output=True, timeout=60, check=False)


def site(folder: Path) -> Path:
    """A copy of the project whose profile has the limits of this cluster."""
    copy_project(folder)
    (folder / "tiny.yaml").write_text(CONFIG)
    path = folder / "profiles/slurm/profile.yaml"
    text = path.read_text()
    for key, value in {"mem_mb": "1000", "runtime": "5"}.items():
        text, times = re.subn(rf"^  {key}: \S+", f"  {key}: {value}", text, flags=re.MULTILINE)
        assert times == 1
    path.write_text(text)
    return folder


@pytest.fixture
def project(tmp_path):
    return site(tmp_path / "project")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What a run on this machine alone leaves."""
    folder = site(tmp_path_factory.mktemp("local") / "project")
    done = snakemake(folder, "--cores", "2", *CONFIGFILE, "--", *TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    return decided(folder)


def decided(project: Path) -> dict[str, bytes]:
    """The bytes that do not tell of the time: weights and per-example results, by path."""
    paths = [path for run in RUNS for path in (project / run).rglob("*") if path.is_file()]
    kept = [path for path in paths if path.suffix == ".safetensors" or "examples" in path.parts]
    assert len(kept) >= 2 * 6
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in kept
        if "cache" not in path.parts and "state" not in path.parts
    }


class Sent:
    """A run on the cluster that goes on beside the test."""

    def __init__(self, python: Path, project: Path, *targets: str) -> None:
        self.project = project
        self.log = project / "run.log"
        command = [python, "-m", "snakemake", *PRINTED, *SOON, "--", *targets]
        environment = {**os.environ, "XDG_CACHE_HOME": str(project / ".cache"), "NO_COLOR": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Sent:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def job(self, rule: str, seed: int) -> tuple[str, int]:
        """Return Slurm's number of a job once its command works, and that command's."""
        given = f"\0{rule}\0", f"models/trades/seed{seed}\0"
        logs = self.project / f".snakemake/slurm_logs/rule_{rule}/trades_{seed}"
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    command, cwd = path.read_text(), path.with_name("cwd").readlink()
                except OSError:
                    continue
                named = all(text in command for text in given) and command.startswith("python\0")
                if named and cwd == self.project:
                    return max(log.stem for log in logs.glob("*.log")), int(path.parent.name)
            time.sleep(0.1)
        pytest.fail(f"{rule} of seed {seed} did not begin: {self.log.read_text()}")

    def end(self) -> str:
        code = self.process.wait(420)
        text = self.log.read_text()
        assert code == 0, text
        return text


def slurm(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


def test_as_printed_it_leaves_the_bytes_of_a_local_run(cluster, python, project, results):
    """A job is cancelled and one sent back to the queue on the way."""
    with Sent(python, project, *TARGETS) as run:
        cancelled, _ = run.job("train", 0)
        slurm("scancel", cancelled)
        requeued, _ = run.job("train", 1)
        slurm("scontrol", "requeue", requeued)
        # Slurm lets it wait for two minutes.
        slurm("scontrol", "update", f"JobId={requeued}", "StartTime=now")
        text = run.end()
    assert text.count("Trying to restart job") == 1
    assert "CANCELLED" in text
    assert decided(project) == results


@pytest.mark.parametrize("cluster", [""], indirect=True)
def test_a_time_limit_that_strikes_training_and_evaluation_loses_nothing(
    cluster, python, project, results
):
    with Sent(python, project, *TARGETS) as run:
        for rule in ("train", "evaluate"):
            job, process = run.job(rule, 0)
            slurm("scontrol", "update", f"JobId={job}", "TimeLimit=1")
            log = project / f"results/tiny/logs/{rule}/trades/seed0.log"
            while not log.stat().st_size:  # an epoch, an attack
                time.sleep(0.02)
            # It must not end before; Slurm wakes a stopped process when it tells it to end.
            os.kill(process, signal.SIGSTOP)
            while Path(f"/proc/{process}").exists():
                time.sleep(0.5)
        text = run.end()
    assert text.count("SLURM status is: 'TIMEOUT'") == 2
    log = project / "results/tiny/logs/train/trades/seed0.log"
    assert "epoch 1/20" in log.with_name("seed0.log.1").read_text()
    assert log.read_text().startswith("resuming from epoch")
    assert decided(project) == results


@pytest.mark.parametrize("cluster", [""], indirect=True)
def test_what_only_a_user_can_fix_is_tried_once(cluster, python, project):
    """The pretended GPU is given to the job, and no CUDA device is found behind it."""
    path = project / "tiny.yaml"
    path.write_text(path.read_text().replace("{device: cpu, threads: 1}", "{device: cuda}"))
    with Sent(python, project, TARGETS[0]) as run:
        assert run.process.wait(240) != 0
    logs = project / "results/tiny/logs/train/trades"
    assert {path.name for path in logs.iterdir()} == {"seed0.log", "seed0.log.1", "seed0.log.final"}
    assert "no CUDA device" in (logs / "seed0.log").read_text()

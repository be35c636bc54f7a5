"""Faults at random moments in the whole workflow, and whether it ends as if there had been none.

    python tests/faults/campaign.py --rounds 200 --seed 0

A round disturbs the workflow of a tiny experiment or a file that it left, then does what a user
would do: start Snakemake again, run `verify`, and run the commands that it prints. At the end of a
round every file must be, byte for byte, that of an undisturbed run, but for clocks. A table says by
what each fault was noticed. A round takes half a minute on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))
from project import copy_project

CONFIG = """
experiment: tiny
seeds: [0]
data: {source: digits, name: digits, train_images: 200, test_images: 20}
model: {name: small_cnn, width: 4}
threat: {eps: 0.2}
compute: {device: cpu, threads: 1}
training:
  epochs: 6
  batch_size: 50
  optimizer: {learning_rate: 0.1}
  crop_padding: 1
  flip: false
  attack: {steps: 10}
  validation_attack: {steps: 10}
methods:
  trades: {beta: 6}
  memloss_v1: {method: memloss, variant: v1, beta: 3, memory_beta: 2}
evaluation:
  batch_size: 10
  jobs: 2
  witnesses: true
  pgd:
    pgd20: {steps: 20}
  autoattack: {version: standard}
"""
# What a clock or the machine's load decides; costs.csv and what is made of it are nothing else.
# The records of the analysis have the digests of these, and `verify` holds them.
CLOCKS = ("seconds", "images_per_second", "peak_memory_mb", "history_sha256")
TIMED = ("analysis", "costs", "claims", "report", "figures", "logs", "state", "cache")
# Without figures and page, which take longer to draw than all the rest.
TARGETS = [
    *("results/tiny/summary.csv", "results/tiny/statistics.csv"),
    "results/tiny/tables/comparison.md",
]
ATTEMPTS = 6  # of a user, before the round counts as lost


@dataclass
class Campaign:
    """The project that is disturbed, and what an undisturbed run leaves in it."""

    project: Path
    rng: random.Random
    whole: dict[str, bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def results(self) -> Path:
        """The folder of the experiment."""
        return self.project / "results" / "tiny"

    def command(self, *arguments: str) -> list[str]:
        """Return Snakemake's command line, as a user types it after an interruption."""
        run = ["--cores", "2", "--configfile", "tiny.yaml", "--rerun-incomplete", "--quiet"]
        return [sys.executable, "-m", "snakemake", *TARGETS, *run, *arguments]

    def start(self, limit: int | None = None) -> subprocess.Popen[str]:
        """Start Snakemake in a process group of its own; no file may grow beyond `limit` bytes."""

        def restrict() -> None:
            os.setsid()
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        return subprocess.Popen(
            self.command(),
            cwd=self.project,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=restrict,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment, without what hides the project's own code."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return {**kept, "XDG_CACHE_HOME": str(self.project / ".cache"), "NO_COLOR": "1"}

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command in the project; return its code and all that it says."""
        done = subprocess.run(
            arguments,
            cwd=self.project,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def files(self) -> dict[str, bytes]:
        """Return the content of every file that does not depend on a clock, by its path."""
        found = {}
        for path in sorted(self.results.rglob("*")):
            place = path.relative_to(self.results)
            if path.is_file() and not any(part.split(".")[0] in TIMED for part in place.parts):
                content = path.read_bytes()
                if path.suffix == ".json":
                    content = json.dumps(_without_clocks(json.loads(content))).encode()
                if path.name == "history.csv":
                    rows = list(csv.DictReader(content.decode().splitlines()))
                    content = json.dumps(_without_clocks(rows)).encode()
                found[str(place)] = content
        return found

    def ended(self, process: subprocess.Popen[str]) -> None:
        """Wait for the end of a disturbed run, and keep what it says of it."""
        text, _ = process.communicate()
        self.said += self.reasons(process.returncode, text)

    def reasons(self, code: int, text: str) -> list[str]:
        """Return why Snakemake could not end well, as it or its job says."""
        if _locked(text):
            return ["Snakemake: the folder is locked"]
        return [_reason(text, self.results)] if code > 0 else []

    def recover(self) -> list[str]:
        """Do what a user does until all is whole; return what was said on the way."""
        said = self.said
        for _ in range(ATTEMPTS):
            code, text = self.run(*self.command())
            said += self.reasons(code, text)
            if _locked(text):
                self.run(*self.command("--unlock"))
                continue
            _, findings = self.run(sys.executable, "-m", "bench", "verify", "--config", "tiny.yaml")
            commands = dict.fromkeys(re.findall(r"`((?:snakemake|find) [^`]*)`", findings))
            if code == 0 and not commands:
                return said
            said += [f"verify: {_short(line)}" for line in findings.splitlines() if "`" in line]
            for command in commands:
                program, *words = shlex.split(command)
                if program == "snakemake":
                    self.run(sys.executable, "-m", "snakemake", *words, "--cores", "2")
                else:
                    self.run(program, *words)
        said.append("NOT RECOVERED")
        return said


def _without_clocks(value: object) -> object:
    if isinstance(value, dict):
        return {k: _without_clocks(v) for k, v in value.items() if k not in CLOCKS}
    return [_without_clocks(one) for one in value] if isinstance(value, list) else value


def _locked(text: str) -> bool:
    return "LockException" in text or "cannot be locked" in text


def _reason(text: str, results: Path) -> str:
    """Return the line in which a job or Snakemake says what is wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    logs = sorted(results.glob("logs/**/*.log"), key=lambda path: path.stat().st_mtime)
    told = [
        line
        for log in reversed(logs)
        for line in log.read_text(errors="replace").splitlines()
        if line.startswith("error:")
    ]
    errors = [line for line in lines if "Error" in line or "Exception" in line]
    killed = ["Snakemake: a job was killed" for line in lines if "SIGKILL" in line]
    return _short((told or killed or errors or lines or ["nothing"])[0])


def _short(line: str) -> str:
    return re.sub(r"\S*/(results/)", r"\1", line)[:160]


# Disturbs the workflow or a file of it; returns the kind of file, if it was one.
Fault = Callable[[Campaign], str | None]


def _wait(campaign: Campaign, process: subprocess.Popen[str]) -> bool:
    """Wait until some moment after the first job began; return whether Snakemake still runs."""
    while process.poll() is None and not _jobs(process):
        time.sleep(0.1)
    try:
        process.wait(campaign.rng.uniform(0, 15))
    except subprocess.TimeoutExpired:
        return True
    return False


def _jobs(process: subprocess.Popen[str]) -> list[int]:
    """Return the processes of the jobs that run."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                found += [child.pid] if "bench" in child.cmdline()[1:] else []
    return found


def _again(campaign: Campaign) -> None:
    """Let there be something to do: forget a run, all runs, or all that there is."""
    # Snakemake does not make again what is only on the way to a target that is there.
    (campaign.results / "summary.csv").unlink()
    shutil.rmtree(campaign.results / campaign.rng.choice(["", "models", "models/memloss_v1"]))


def _signalled(number: signal.Signals, *, whole_group: bool = True) -> Callable[[Campaign], None]:
    """Return a fault that sends a signal at some moment, to the group or to one job of it."""

    def fault(campaign: Campaign) -> None:
        _again(campaign)
        process = campaign.start()
        if _wait(campaign, process):
            running = _jobs(process)
            if whole_group:
                os.killpg(process.pid, number)
            elif running:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(campaign.rng.choice(running), number)
            if number == signal.SIGSTOP:
                time.sleep(3)
                os.killpg(process.pid, signal.SIGCONT)
        campaign.ended(process)

    return fault


def full_disk(campaign: Campaign) -> None:
    """Let every file end at some size, as on a disk that is full."""
    _again(campaign)
    campaign.ended(campaign.start(limit=campaign.rng.choice([100, 5_000, 20_000, 60_000])))


def read_only(campaign: Campaign) -> None:
    """Let no file be made in a folder of the results while Snakemake runs."""
    _again(campaign)
    folders = [path for path in [campaign.results, *campaign.results.rglob("*")] if path.is_dir()]
    folder = campaign.rng.choice(folders) if folders else campaign.results.parent
    closed = _closed(folder, True)
    campaign.ended(campaign.start())
    if closed:
        _closed(folder, False)


def _closed(folder: Path, yes: bool) -> bool:
    """Close a folder, for root by an attribute of the file system; return whether that could be."""
    if os.geteuid():
        folder.chmod(0o555 if yes else 0o755)
        return True
    change = ["chattr", "+i" if yes else "-i", str(folder)]
    return shutil.which("chattr") is not None and not subprocess.run(change, check=False).returncode


def twice(campaign: Campaign) -> None:
    """Start two Snakemakes at once in one folder."""
    _again(campaign)
    first = campaign.start()
    time.sleep(campaign.rng.uniform(0, 6))
    campaign.ended(campaign.start())
    campaign.ended(first)


def clock_back(campaign: Campaign) -> None:
    """Let files be from the future, as after a clock that was set back."""
    for path in campaign.results.rglob("*"):
        if path.is_file() and campaign.rng.random() < 0.3:
            os.utime(path, (time.time() + 86_400,) * 2)


def _some_file(campaign: Campaign) -> Path:
    files = [path for path in sorted(campaign.results.rglob("*")) if path.is_file()]
    return campaign.rng.choice([path for path in files if "logs" not in path.parts])


def cut(campaign: Campaign) -> str:
    """Cut a file in half."""
    path = _some_file(campaign)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return _kind(campaign, path)


def empty(campaign: Campaign) -> str:
    """Empty a file."""
    path = _some_file(campaign)
    path.write_bytes(b"")
    return _kind(campaign, path)


def exchange(campaign: Campaign) -> str:
    """Replace a file by that of another run, without a newer time."""
    paths = sorted((campaign.results / "models").rglob("*"))
    path = campaign.rng.choice([path for path in paths if path.is_file()])
    theirs = {"trades": "memloss_v1", "memloss_v1": "trades"}
    parts = [theirs.get(part, part) for part in path.relative_to(campaign.results).parts]
    other = campaign.results.joinpath(*parts)
    if other.is_file():
        kept = path.stat()
        shutil.copyfile(other, path)
        os.utime(path, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    return _kind(campaign, path)


def _kind(campaign: Campaign, path: Path) -> str:
    place = path.relative_to(campaign.results)
    if "examples" in place.parts:
        return "per-example results"
    if "cache" in place.parts:
        return "cached attack"
    return place.name


FAULTS: dict[str, Fault] = {
    "SIGKILL of the whole process group": _signalled(signal.SIGKILL),
    "SIGKILL of one job": _signalled(signal.SIGKILL, whole_group=False),
    "SIGTERM": _signalled(signal.SIGTERM),
    "SIGSTOP, then SIGCONT": _signalled(signal.SIGSTOP),
    "disk full": full_disk,
    "folder read-only": read_only,
    "two Snakemakes at once": twice,
    "clock set back by a day": clock_back,
    "cut in half": cut,
    "emptied": empty,
    "replaced by another run's": exchange,
}


def campaign(
    rounds: int, seed: int, project: Path, *, faults: Sequence[str] = tuple(FAULTS)
) -> Counter[tuple[str, str]]:
    """Run `rounds` of `faults`, each once and then at random; return how each was noticed.

    They disturb the workflow of tiny.yaml in `project`, an experiment of the name tiny.

    Raises
    ------
    AssertionError
        The results of a round are not those of an undisturbed run.
    """
    one = Campaign(project, random.Random(seed))
    code, text = one.run(*one.command())
    assert code == 0, text
    one.whole = one.files()
    noticed: Counter[tuple[str, str]] = Counter()
    for number in range(rounds):
        one.said = []
        # What they say is of earlier rounds.
        shutil.rmtree(one.results / "logs", ignore_errors=True)
        what = faults[number] if number < len(faults) else one.rng.choice(faults)
        if kind := FAULTS[what](one):
            what = f"{kind} {what}"
        said = one.recover()
        by = said[0] if said else "made again, or of no consequence, without a word"
        print(f"{number + 1}/{rounds} {what}: {' | '.join(said) or 'nothing'}", flush=True)
        now = one.files()
        differing = sorted(
            path for path in {*now, *one.whole} if now.get(path) != one.whole.get(path)
        )
        assert not differing, f"round {number + 1}, {what}: {differing[:5]} differ; said: {said}"
        assert "NOT RECOVERED" not in said, f"round {number + 1}, {what}: {said}"
        noticed[what, by] += 1
    return noticed


def main() -> None:
    """Run the campaign and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="default: a temporary one")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        project = copy_project((chosen.folder or Path(temporary)) / "project")
        (project / "tiny.yaml").write_text(CONFIG)
        noticed = campaign(chosen.rounds, chosen.seed, project)
    print("\n| fault | noticed by | rounds |\n|---|---|--:|")
    for (what, by), count in sorted(noticed.items()):
        print(f"| {what} | {by} | {count} |")


if __name__ == "__main__":
    main()

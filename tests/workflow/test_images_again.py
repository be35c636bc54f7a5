"""What runs again when images are read again, by the real Snakemake; no job computes anything."""

from __future__ import annotations

import os
import re
import time
from collections import Counter

import pytest
from project import copy_project, planned, snakemake

# In place of bench/__main__.py: makes the outputs, and images as the file `source` has them.
STUB = """
import sys
from pathlib import Path
command, given = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
if command == "data":
    images = Path(given["--out"])
    files = [images, images.with_suffix(".json")]
else:
    names = {
        "train": ["best.safetensors", "last.safetensors", "history.csv", "train.json"],
        "evaluate": ["evaluation.json", "examples/best/clean.csv"],
    }
    files = [Path(given["--folder"]) / name for name in names[command]]
for file in files:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(Path("source").read_text())
"""
CONFIG = """
experiment: tiny
seeds: [0]
data: {source: folder, name: mine, path: images}
model: {name: small_cnn}
threat: {eps: 0.2}
compute: {device: cpu, threads: 1}
training:
  epochs: 1
  batch_size: 50
  optimizer: {learning_rate: 0.1}
  attack: {steps: 4}
  validation_attack: {steps: 4}
methods: {trades: {}}
evaluation: {batch_size: 20}
"""
RUN = ("--cores", "2", "--configfile", "tiny.yaml", "--")
RUN += ("results/tiny/models/trades/seed0/evaluation.json",)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with nothing left to do, which every test leaves so."""
    folder = copy_project(tmp_path_factory.mktemp("again") / "project")
    (folder / "bench/__main__.py").write_text(STUB)
    (folder / "tiny.yaml").write_text(CONFIG)
    (folder / "source").write_text("images")
    picture = folder / "images/train/cat/1.png"
    picture.parent.mkdir(parents=True)
    picture.touch()
    assert ran(folder) == {"data": 1, "train": 1, "evaluate": 1}
    return folder


def ran(project):
    """Run, and return how many jobs of each rule were done."""
    done = snakemake(project, *RUN)
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    return Counter(re.findall(r"\(Rule: (\w+)\)", text))


def edit_reader(project):
    path = project / "bench/data/sources/digits.py"
    path.write_text(f"{path.read_text()}\nEXTRA = {time.time()}\n")


def ask_for_autoattack(project):
    path = project / "tiny.yaml"
    path.write_text(path.read_text().replace("batch_size: 20}", "batch_size: 20, autoattack: {}}"))


def test_the_same_images_retrain_nothing(project):
    edit_reader(project)
    assert planned(project, *RUN) == {"data": 1, "total": 1}
    assert ran(project) == {"data": 1}
    assert not planned(project, *RUN)


def test_other_images_retrain_in_the_same_command(project):
    edit_reader(project)
    (project / "source").write_text("other images")
    assert ran(project) == {"data": 1, "train": 1, "evaluate": 1}
    assert not planned(project, *RUN)


def test_an_attack_that_needs_more_of_the_images_retrains_nothing(project):
    ask_for_autoattack(project)
    assert ran(project) == {"data": 1, "evaluate": 1}


def test_touched_image_files_are_read_again_and_retrain_nothing(project):
    os.utime(project / "images/train/cat/1.png", ns=(0, 0))
    assert ran(project) == {"data": 1}
    assert not planned(project, *RUN)

"""A data file says for which section of a config it was read, and another section is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from factory import edit_json
from pictures import picture, png
from settings import settings

from bench.__main__ import main
from bench.config.experiment import Data, experiment
from bench.config.schema import Needs
from bench.data.dataset import load, save
from bench.data.job import prepare
from bench.planning.plan import make_plan
from bench.planning.verify import verify
from bench.results.data_header import header
from bench.results.staleness import Staleness, data_section_differs

FEW = {"data.train_images": 60, "data.test_images": 10}
PLACE = Path("results/tiny/data.safetensors")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the images of `FEW` are read."""
    monkeypatch.chdir(tmp_path)
    configure(FEW)
    assert main(["data", "--config", "tiny.yaml"]) == 0
    return tmp_path


def configure(changes: dict[str, object]) -> None:
    Path("tiny.yaml").write_text(yaml.safe_dump(settings(changes)))


def test_a_file_says_what_it_was_read_for(project):
    said = header(PLACE)
    assert said["spec"]["train_images"] == 60
    assert said["fingerprint"] == load(PLACE).fingerprint
    assert data_section_differs(experiment(settings(FEW)), PLACE) == []
    more = experiment(settings({**FEW, "data.train_images": 61, "data.name": "mine"}))
    assert data_section_differs(more, PLACE) == ["data.name", "data.train_images"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"text of no format", b"\x02" + bytes(7) + b"{}", b"\x04" + bytes(7) + b"[{}]"],
)
def test_another_file_says_nothing(tmp_path, content):
    path = tmp_path / "data.safetensors"
    if content is not None:
        path.write_bytes(content)
    assert header(path) == {}
    assert data_section_differs(experiment(settings()), path) == []


def test_a_file_of_before_sections_were_kept_is_taken_as_it_is(project):
    save(load(PLACE), PLACE)
    of = experiment(settings({**FEW, "data.train_images": 61}))
    assert header(PLACE)["spec"] is None
    assert Staleness(of).data() == []


def test_verify_and_plan_notice_another_section(project):
    config, results = Path("tiny.yaml"), Path("results")

    def noticed(changes: dict[str, object]) -> list[str]:
        findings = verify(experiment(settings(changes)), config, results)
        return [str(finding) for finding in findings if finding.where == str(PLACE)]

    assert noticed(FEW) == []
    assert make_plan(experiment(settings(FEW)), results).data_ready
    changes = {**FEW, "data.train_images": 61}
    (said,) = noticed(changes)
    assert "data.train_images" in said
    assert f"--forcerun {PLACE}`" in said
    assert not make_plan(experiment(settings(changes)), results).data_ready


def test_a_record_beside_other_images_is_noticed(project):
    of = experiment(settings(FEW))
    edit_json(PLACE.with_suffix(".json"), fingerprint="o")
    (reason,) = Staleness(of).data()
    assert reason.startswith("data.json ")


@pytest.mark.parametrize(
    "command",
    [
        ("train", "--method", "trades", "--seed", "0"),
        ("evaluate", "--method", "trades", "--seed", "0"),
        ("reference", "--name", "Some2020Model"),
        ("diagnose", "--method", "trades", "--seed", "0"),
        ("transfer", "--methods", "trades", "mart", "--seed", "0"),
    ],
    ids=lambda command: command[0],
)
def test_a_command_refuses_images_of_another_section(project, capsys, command):
    changes = {**FEW, "data.test_images": 11, "methods.mart": {}, "diagnostics": {"images": 10}}
    configure(changes)
    assert main([*command, "--config", "tiny.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {PLACE}: tiny.yaml has another data.test_images ")
    assert line.endswith(f"`python -m bench data --config tiny.yaml --out {PLACE}`")


def test_the_same_images_from_another_folder_leave_the_record_as_it_is(tmp_path):
    # What is trained or evaluated by the workflow depends on its content.
    for part in ("train", "test"):
        path = tmp_path / "here" / part / "cat" / "1.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(png(picture(1, (6, 4))))
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    out, records = tmp_path / "out" / "data.safetensors", []
    for name in ("here", "there"):
        prepare(Data(source="folder", name="mine", path=str(tmp_path / name)), Needs(), out)
        records.append(out.with_suffix(".json").read_bytes())
        assert header(out)["spec"]["path"] == str(tmp_path / name)
    assert records[0] == records[1]

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from settings import settings

from bench.__main__ import main
from bench.config.experiment import experiment, spec_json

ROOT = Path(__file__).parents[2]
READ = experiment(settings())
TRAIN = json.dumps(spec_json(READ.train_spec("trades", 1)))
EVALUATION = json.dumps(spec_json(READ.evaluation_spec()))
DATA = json.dumps(spec_json(READ.data))
RUN = ("--method", "trades", "--seed", "1")
STAGES = {
    "bench.training.job": "train",
    "bench.evaluation.job": "evaluate",
    "bench.evaluation.reference": "evaluate_reference",
}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings()))
    return str(path)


@pytest.fixture
def calls(monkeypatch):
    """Every stage replaced by a note of what it was called with."""
    noted: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    for name, function in STAGES.items():
        module = ModuleType(name)

        def note(*given: Any, function: str = function, **named: Any) -> None:
            noted.append((function, given, named))

        setattr(module, function, note)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return noted


def error_of(capsys, *arguments: str) -> str:
    """Return the one line, or the list of problems, of a command which cannot go on."""
    assert main(list(arguments)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    first, *others = captured.err.splitlines()
    assert others == [] or first == f"error: {len(others)} problems"
    return captured.err.removeprefix("error: ").rstrip()


def usage_error_of(capsys, *arguments: str) -> str:
    """Return the last line of what is printed about arguments that cannot be read."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["data", "--spec", DATA], "--out"),
        (["train", "--spec", TRAIN, *RUN], "--data"),
        (["train", "--spec", TRAIN, *RUN, "--data", "d"], "--folder"),
        (["train", "--spec", TRAIN, *RUN, "--data", "d", "--folder", "f"], "--experiment"),
        (["evaluate", "--spec", EVALUATION, *RUN], "--data"),
        (["evaluate", "--spec", EVALUATION, *RUN, "--data", "d"], "--folder"),
        (["reference", "--spec", EVALUATION, "--name", "n"], "--data"),
        (["reference", "--spec", EVALUATION, "--name", "n", "--data", "d"], "--folder"),
    ],
)
def test_a_spec_alone_does_not_say_where(capsys, arguments, missing):
    assert error_of(capsys, *arguments) == f"{missing} is needed with --spec"


COMMANDS = [["data"], ["train", *RUN], ["evaluate", *RUN], ["reference", "--name", "n"]]
PLACES = {
    "data": ["--out", "o"],
    "train": ["--data", "d", "--folder", "f", "--experiment", "e"],
    "evaluate": ["--data", "d", "--folder", "f"],
    "reference": ["--data", "d", "--folder", "f"],
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_command_takes_either_a_config_or_a_spec(capsys, tmp_path, command):
    assert "--config --spec" in usage_error_of(capsys, *command)
    assert "argument --spec: " in usage_error_of(capsys, *command, "--spec", "{'a': 1}")
    for spec in ("{}", "[]", "3", '{"threat": {"eps": 8}}'):
        assert error_of(capsys, *command, "--spec", spec, *PLACES[command[0]])
    path = tmp_path / "missing.yaml"
    assert error_of(capsys, *command, "--config", str(path)).startswith(f"--config {path}: ")


@pytest.mark.parametrize(
    "content",
    [
        *(b"a: [1\nb: {", b"a: b: c", b"\xff\xfe\x00", b"\tx: 1"),  # not YAML
        *(b"", b"text", b"- a\n- b"),  # no keys
        None,  # a folder
    ],
)
def test_what_is_no_config_is_named(capsys, tmp_path, content):
    path = tmp_path / "broken.yaml"
    path.mkdir() if content is None else path.write_bytes(content)
    assert error_of(capsys, "plan", "--config", str(path)).startswith(f"--config {path}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("methods:\n  trades: {}\n  trades: {beta: 3}\n", "line 3: the key methods.trades"),
        ("a: 1\nb: {c: 2, c: 3}\n", "line 2: the key b.c"),
        ("a:\n- {x: 1}\n- {x: 1,\n  x: 2}\n", "line 4: the key a[1].x"),
    ],
)
def test_a_key_given_twice_is_named_with_its_line(capsys, tmp_path, content, said):
    path = tmp_path / "twice.yaml"
    path.write_text(content)
    message = error_of(capsys, "plan", "--config", str(path))
    assert message.startswith(f"--config {path}: {said}")


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_run_that_is_not_in_the_config_is_refused(capsys, config, command):
    message = error_of(capsys, command, "--config", config, "--method", "trade", "--seed", "0")
    assert message.startswith("methods: 'trade' ")
    message = error_of(capsys, command, "--config", config, "--method", "trades", "--seed", "7")
    assert message.startswith("seeds: 7 ")


@pytest.mark.parametrize("command", ["summarize", "tables"])
def test_results_that_are_not_there_are_named(capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(ROOT)
    assert str(tmp_path / "nothing") in error_of(
        capsys, command, "--folder", str(tmp_path / "nothing")
    )


def test_a_run_that_is_not_there_cannot_be_exported(capsys, tmp_path):
    arguments = ("--folder", str(tmp_path / "nothing"), "--out", str(tmp_path / "out"))
    assert "train.json" in error_of(capsys, "export", *arguments)


FOLDER = Path("results/tiny")
RUN_PATHS = {"data": FOLDER / "data.safetensors", "folder": FOLDER / "models/trades/seed1"}


@pytest.mark.parametrize(
    ("command", "spec", "call"),
    [
        (
            ["train", *RUN],
            ["--spec", TRAIN, "--experiment", "tiny"],
            (
                "train",
                (READ.train_spec("trades", 1),),
                {"experiment": "tiny", "label": "trades", **RUN_PATHS},
            ),
        ),
        (
            ["evaluate", *RUN],
            ["--spec", EVALUATION, "--train-spec", TRAIN],
            (
                "evaluate",
                (READ.evaluation_spec(),),
                {"training": READ.train_spec("trades", 1), "part": None, **RUN_PATHS},
            ),
        ),
        (
            ["reference", "--name", "RN18"],
            ["--spec", EVALUATION],
            (
                "evaluate_reference",
                ("RN18", READ.evaluation_spec()),
                {**RUN_PATHS, "folder": FOLDER / "reference/RN18"},
            ),
        ),
    ],
    ids=["train", "evaluate", "reference"],
)
def test_a_job_by_config_and_by_spec_is_the_same(calls, config, command, spec, call):
    assert main([*command, "--config", config]) == 0
    places = ["--data", str(call[2]["data"]), "--folder", str(call[2]["folder"])]
    assert main([*command, *spec, *places]) == 0
    assert calls == [call, call]


@pytest.mark.parametrize(
    "arguments", [["train", *RUN], ["evaluate", *RUN], ["reference", "--name", "RN18"]]
)
def test_a_job_asks_cublas_for_reproducible_sums_unless_told_otherwise(calls, config, arguments):
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    main([*arguments, "--config", config])
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":16:8"
    main([*arguments, "--config", config])
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_paths_that_are_given_are_taken(calls, config):
    places = ["--data", "other.safetensors", "--folder", "elsewhere"]
    for command in (["train", *RUN], ["evaluate", *RUN], ["reference", "--name", "RN18"]):
        assert main([*command, "--config", config, *places]) == 0
    for _, _, named in calls:
        assert named["data"] == Path("other.safetensors")
        assert named["folder"] == Path("elsewhere")


@pytest.mark.parametrize("given", [["--confg", "x.yaml"], ["--confg=x.yaml"]])
def test_a_misspelt_flag_is_named_before_the_one_that_is_missed(capsys, given):
    line = usage_error_of(capsys, "plan", *given)
    assert "error: unknown flag --confg; did you mean '--config'? known: --config, " in line


def test_the_beginning_of_a_flag_is_enough(capsys, tmp_path):
    assert str(tmp_path / "no") in error_of(capsys, "plan", "--conf", str(tmp_path / "no"))


def test_a_command_is_needed(capsys):
    assert usage_error_of(capsys).endswith("the following arguments are required: command")


def test_the_process_itself_ends_with_the_line_and_the_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bench", "train", "--config", str(tmp_path / "no"), *RUN],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: --config ")
    assert done.stderr.count("\n") == 1

from __future__ import annotations

import importlib.metadata
import re
import sys

import pytest

from bench.__main__ import main
from bench.config.method_options import PACKAGE
from bench.planning import doctor
from bench.planning.doctor import (
    Check,
    Torch,
    code_checks,
    device_checks,
    package_check,
    possible,
)

CUDA_13 = Torch(cuda="13.0", device="NVIDIA H200")


def name_of(requirement: str) -> str:
    return re.split("[<>=]", requirement)[0]


@pytest.fixture
def versions(monkeypatch):
    """Installed packages by name; all others are missing."""
    installed: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return installed


@pytest.mark.parametrize(
    ("requirement", "installed", "state", "says"),
    [
        ("torch==2.14.1", "2.14.1", "ok", "torch 2.14.1"),
        ("torch==2.14.1", "2.14.1+cpu", "ok", "torch 2.14.1+cpu"),
        ("torch==2.14.1", "2.11.0", "note", "required is ==2.14.1"),
        ("setuptools<81", "80.10.2", "ok", "setuptools 80.10.2"),
        ("setuptools<81", "81.0.0", "note", "required is <81"),
        ("pandas", "3.1.1", "ok", "pandas 3.1.1"),
    ],
)
def test_an_installed_version_is_held_to_what_is_required(
    versions, requirement, installed, state, says
):
    versions[name_of(requirement)] = installed
    check = package_check(requirement)
    assert check.state == state
    assert says in str(check)


@pytest.mark.parametrize(
    ("requirement", "state"),
    [("torch==2.14.1", "fail"), ("safetensors", "fail"), ("robustbench==1.1.1", "note")],
)
def test_a_missing_package_stops_the_digits_only_if_they_need_it(versions, requirement, state):
    check = package_check(requirement)
    assert check.state == state
    assert check.fix


def test_either_package_has_autoattack(versions):
    assert doctor.autoattack_check().state == "fail"
    versions["autoattack"] = "0.1"
    assert doctor.autoattack_check().state == "ok"


@pytest.mark.parametrize(
    ("torch", "driver", "state", "says"),
    [
        (CUDA_13, ("580.65.06", "NVIDIA H200"), "ok", "CUDA 13.0"),
        (Torch(cuda="13.0"), ("575.57.08", "NVIDIA A100"), "note", "at least 580"),
        (Torch(cuda="12.8"), ("470.1", "NVIDIA A100"), "note", "at least 525"),
        (Torch(cuda="13.0"), ("580.1", "NVIDIA A100"), "note", "CUDA_VISIBLE_DEVICES"),
        (Torch(), ("580.1", "NVIDIA A100"), "note", "built for a CPU"),
        (Torch(cuda="13.0"), None, "note", "no NVIDIA driver"),
    ],
)
def test_the_device_gets_a_fix_and_never_stops_the_digits(torch, driver, state, says):
    (check,) = device_checks(torch, driver)
    assert check.state == state
    assert says in str(check)


def test_an_old_driver_is_told_where_to_change_torch():
    (check,) = device_checks(Torch(cuda="13.0"), ("535.1", "NVIDIA A100"))
    for word in (".venv/bin/uv pip install", "environment.yml for --use-conda"):
        assert word in check.fix
    # .venv is built from requirements.lock: what pyproject.toml says changes nothing there.
    assert "pyproject.toml" not in check.fix


def test_a_torch_that_cannot_be_imported_stops_the_digits(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # an import of it fails
    asked = doctor.ask_torch()
    assert asked.error
    assert not possible(list(device_checks(asked, None)))


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10), "fail"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "note")]
)
def test_python_has_a_range(version, state):
    assert doctor.python_check(version).state == state


@pytest.mark.parametrize(("free", "state"), [(10**6, "fail"), (10**9, "note"), (10**11, "ok")])
def test_room_on_disk(free, state):
    assert doctor.disk_check(free).state == state


def test_cifar10_is_looked_for(tmp_path):
    assert doctor.data_check(tmp_path / "cifar10").state == "note"
    (tmp_path / "cifar10").mkdir()
    assert doctor.data_check(tmp_path / "cifar10").state == "note"
    (tmp_path / "cifar10" / "batch").touch()
    assert doctor.data_check(tmp_path / "cifar10").state == "ok"


def test_every_requirement_of_the_project_is_looked_at(versions, monkeypatch):
    monkeypatch.setattr(doctor, "ask_torch", Torch)
    monkeypatch.setattr(doctor, "ask_driver", lambda: None)
    text = "\n".join(map(str, doctor.all_checks()))
    for requirement in doctor.requirements():
        name = "AutoAttack" if requirement == "pyautoattack" else name_of(requirement)
        assert f"{name} is missing" in text


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("fail", 1)])
def test_the_exit_code_says_whether_the_digits_can_run(monkeypatch, capsys, state, code):
    monkeypatch.setattr(doctor, "all_checks", lambda: [Check(state, "something", "do this")])
    assert main(["doctor"]) == code
    assert f"{state:<4}  something: do this" in capsys.readouterr().out


def test_nothing_is_asked_of_a_driver_that_is_not_there(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert doctor.ask_driver() is None


@pytest.fixture
def methods(tmp_path):
    folder = tmp_path / "methods"
    folder.mkdir()
    (folder / "base.py").write_text("def register(name): ...\n")
    (folder / "fine.py").write_text("@register('fine')\nclass Fine:\n    beta: Amount = 1.0\n")
    return folder


def test_methods_that_can_be_read_share_a_line(methods):
    assert list(code_checks(methods)) == [Check("ok", "methods: fine")]


@pytest.mark.parametrize(
    ("source", "state", "said"),
    [
        ("class Mine(:\n", "fail", ", line 1: it is not Python ("),
        ("@register('other')\nclass Mine: ...\n", "fail", ": it registers 'other', and a file"),
        (
            "@register('mine')\nclass Mine:\n    a: Tensor = 1\n",
            "note",
            "give it a literal default",
        ),
        ("@register('mine')\nclass Mine:\n    a: int = f()\n", "note", "the option 'a' of the"),
        ("class Mine: ...\n", "note", """: it registers nothing: @register("mine") would"""),
    ],
)
def test_a_method_that_cannot_be_read_is_listed_with_a_fix(methods, source, state, said):
    path = methods / "mine.py"
    path.write_text(source)
    (check,) = (check for check in code_checks(methods) if check.state != "ok")
    assert check.state == state
    assert str(check).startswith(f"{state}  {path}")
    assert said in str(check)


def test_a_method_that_fails_is_not_among_those_that_are_fine(methods):
    source = (
        "@register('bad')\nclass Bad:\n    passes: ClassVar = ('a',)\n    networks = {'b': 'new'}\n"
    )
    (methods / "bad.py").write_text(source)
    states = {check.state for check in code_checks(methods)}
    assert "fail" in states
    assert Check("ok", "methods: fine") in list(code_checks(methods))


def test_doctor_reads_the_methods_and_models_of_the_suite():
    rooms = {"methods": "memloss", "attacks": "transfer_pgd", "models": "resnet18"}
    for room, known in rooms.items():
        (check,) = code_checks(PACKAGE / room)
        assert check.state == "ok"
        assert known in check.what

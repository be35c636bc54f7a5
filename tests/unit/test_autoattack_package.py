from __future__ import annotations

import importlib
import json
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import torch
from margins import Blocks, pixels

from bench.attacks import autoattack_package
from bench.attacks.autoattack_package import installed, provide, source
from bench.runtime.errors import BenchError

COMMIT = "a39220048b3c9f2cca9a4d3a54604793c68eca7e"


class Distribution:
    def __init__(self, version: str, origin: object = None) -> None:
        self.version, self.origin = version, origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self.origin is None else json.dumps(self.origin)


def pretend(monkeypatch: pytest.MonkeyPatch, **found: Distribution) -> None:
    def distribution(name: str) -> Distribution:
        if name not in found:
            raise metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(autoattack_package.metadata, "distribution", distribution)


def test_a_record_names_the_package_that_gave_the_number(monkeypatch):
    pretend(monkeypatch, pyautoattack=Distribution("0.2.0"))
    assert installed() == ("pyautoattack", "0.2.0")
    assert source() == "pyautoattack 0.2.0"


def test_gits_package_goes_first_and_its_commit_is_named(monkeypatch):
    origin = {"url": "elsewhere", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    both = {"pyautoattack": Distribution("0.2.0"), "autoattack": Distribution("0.1", origin)}
    pretend(monkeypatch, **both)
    assert source() == "autoattack 0.1 (a392200)"


def test_a_package_installed_from_a_folder_has_no_commit(monkeypatch):
    pretend(monkeypatch, autoattack=Distribution("0.1", {"url": "elsewhere", "dir_info": {}}))
    assert source() == "autoattack 0.1"


def test_neither_package_is_an_error_that_says_what_to_install(monkeypatch):
    pretend(monkeypatch)
    with pytest.raises(BenchError, match="pyautoattack"):
        installed()


@pytest.fixture
def shim(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that stands in for git's package, whichever package is installed here."""
    pytest.importorskip("pyautoattack")
    for name in [name for name in sys.modules if name.split(".")[0] == "autoattack"]:
        monkeypatch.delitem(sys.modules, name)
    # Names that provide() adds are taken away again only if monkeypatch has seen them.
    for name in ("autoattack", "autoattack.checks", "autoattack.state"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
        del sys.modules[name]
    monkeypatch.setattr(autoattack_package, "installed", lambda: ("pyautoattack", "0.2.0"))
    return provide()


def test_providing_the_name_twice_changes_nothing(shim):
    kept = shim.AutoAttack
    assert provide() is shim
    assert importlib.import_module("autoattack") is shim
    assert provide().AutoAttack is kept


def test_the_submodules_that_robustbench_imports_are_there(shim):
    state = importlib.import_module("autoattack.state")
    assert state.EvaluationState({"square"}).attacks_to_run == {"square"}
    assert importlib.util.find_spec("autoattack") is not None


def test_the_old_signature_returns_images_or_images_and_labels(shim, capsys):
    images = pixels([0, 1, 2], [6, 6, 20], (1, 16, 16)).float() / 255
    labels = torch.tensor([0, 1, 2])
    attack = shim.AutoAttack(
        Blocks((1, 16, 16)),
        norm="Linf",
        eps=8 / 255,
        seed=0,
        verbose=False,
        attacks_to_run=["apgd-ce"],
        version="custom",
        device="cpu",
    )
    found = attack.run_standard_evaluation(images, labels, bs=2)
    again, predicted = attack.run_standard_evaluation(images, labels, bs=2, return_labels=True)
    assert torch.equal(found, again)
    assert (predicted == labels).tolist() == [False, False, True]
    assert capsys.readouterr().out == ""


def test_a_log_file_is_written_as_by_gits_package(shim, tmp_path: Path, capsys):
    images = pixels([0, 1], [20, 20], (1, 16, 16)).float() / 255
    path = tmp_path / "log.txt"
    attack = shim.AutoAttack(
        Blocks((1, 16, 16)), eps=8 / 255, seed=0, device="cpu", log_path=path, version="rand"
    )
    attack.attacks_to_run = ["apgd-ce"]
    attack.apgd.eot_iter = 1
    attack.run_standard_evaluation(images, torch.tensor([0, 1]), bs=2)
    written = path.read_text(encoding="utf-8")
    assert "initial accuracy: 100.00%" in written
    assert "robust accuracy after APGD-CE: 100.00%" in written
    assert written in capsys.readouterr().out


def test_tensorflow_models_are_refused(shim):
    with pytest.raises(BenchError, match="TensorFlow"):
        shim.AutoAttack(Blocks((1, 16, 16)), is_tf_model=True)

"""Images that are too few for an attack are refused before anything is trained on them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from settings import settings
from synthetic import some_data

from bench.attacks.autoattack import TARGETS, require_classes
from bench.cli.main import main
from bench.config.experiment import experiment, spec_json
from bench.config.schema import Needs
from bench.data import job
from bench.data.dataset import Dataset, load
from bench.results.records import DataRecord


def few(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the source give as many classes as that."""
    whole = some_data()
    train, test = (replace(part, labels=part.labels % classes) for part in whole.parts().values())
    names = tuple(map(str, range(classes)))
    monkeypatch.setattr(job, "read", lambda *_, **__: Dataset("few", names, train, test))


@pytest.mark.parametrize(("classes", "attacked"), [(9, True), (10, True), (3, False)])
def test_autoattack_on_few_classes_ends_with_the_data(
    capsys, tmp_path, monkeypatch, classes, attacked
):
    few(classes, monkeypatch)
    changes = {"training.batch_size": 20} | ({"evaluation.autoattack": {}} if attacked else {})
    config, out = tmp_path / "config.yaml", tmp_path / "out" / "data.safetensors"
    config.write_text(yaml.safe_dump(settings(changes)))
    spec = experiment(settings(changes))
    by_hand = ("--classes-at-least", str(spec.evaluation.needs.classes))
    for what in (("--config", str(config)), ("--spec", json.dumps(spec_json(spec.data)), *by_hand)):
        arguments = ("data", *what, "--out", str(out))
        if attacked and classes < 10:
            assert main(list(arguments)) == 1
            (said,) = capsys.readouterr().err.splitlines()
            assert "AutoAttack standard targets 9 wrong classes, and 'few' has 9 classes" in said
            assert said.endswith("remove evaluation.autoattack from the configuration")
            assert not out.parent.exists()
        else:
            assert main(list(arguments)) == 0
            assert len(load(out).classes) == classes


def test_the_file_and_its_description_tell_a_part_from_the_whole_source(tmp_path, monkeypatch):
    few(10, monkeypatch)
    out, spec = tmp_path / "data.safetensors", {"source": "digits", "name": "few"}
    wanted = json.dumps({**spec, "train_images": 30, "test_images": 10})
    assert main(["data", "--spec", wanted, "--out", str(out)]) == 0
    about = json.loads(out.with_suffix(".json").read_text())
    whole = some_data()
    assert (about["train_images"], about["test_images"]) == (30, 10)
    assert (about["source_train_images"], about["source_test_images"]) == (
        *(len(part) for part in whole.parts().values()),
    )
    assert load(out).source_sizes() == {"train": len(whole.train), "test": len(whole.test)}


@pytest.mark.parametrize("images", [20, 21])
def test_an_attack_on_more_images_than_there_are_ends_with_the_data(
    capsys, tmp_path, monkeypatch, images
):
    few(10, monkeypatch)
    changes = {"evaluation.pgd.pgd20.images": images, "training.batch_size": 20}
    config, out = tmp_path / "config.yaml", tmp_path / "out" / "data.safetensors"
    config.write_text(yaml.safe_dump(settings(changes)))
    spec = experiment(settings(changes))
    by_hand = ("--test-images-at-least", str(spec.evaluation.needs.test_images))
    for what in (("--config", str(config)), ("--spec", json.dumps(spec_json(spec.data)), *by_hand)):
        assert main(["data", *what, "--out", str(out)]) == (images > 20)
        if images > 20:
            (said,) = capsys.readouterr().err.splitlines()
            assert "an attack is to see 21 images, and 'few' has 20 test images" in said
            assert said.endswith("lower `images` of the attack, or leave it out for all")
            assert not out.parent.exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluation.pgd.pgd20.images": 301}, "301 images, and 'digits' has 300 test images"),
        ({"evaluation.autoattack": {}, "data.classes": list("abcdefghi")}, "has 9 classes in all"),
    ],
)
def test_the_plan_refuses_them_too(capsys, tmp_path, changes, said):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings(changes)))
    assert main(["plan", "--config", str(config), "--results", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: evaluation")
    assert said in line


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"training.validation_images": 1497}, 1497),
        ({"methods.mart": {"training": {"validation_images": 2000}}}, 2000),
        ({"training.validation_images": 1496, "training.batch_size": 1}, None),
        ({"training.validation_images": 1497, "training.checkpoint_selection": "test"}, None),
    ],
)
def test_the_plan_refuses_to_hold_out_all_training_images(capsys, tmp_path, changes, held):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings(changes)))
    code = main(["plan", "--config", str(config), "--results", str(tmp_path)])
    assert code == (held is not None)
    if held:
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: training.validation_images: methods.")
        assert line.endswith(f" cannot hold out {held} of 1497 training images; ask for fewer")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training.crop_padding": 8}, "images of 8 x 8 pixels by up to 8; choose at most 7"),
        ({"training.crop_padding": 7}, None),
    ],
)
@pytest.mark.parametrize("command", ["plan", "train"])
def test_no_method_is_trained_on_images_that_its_shell_does_not_fit(
    capsys, tmp_path, monkeypatch, command, changes, said
):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(settings(changes)))
    about = DataRecord(
        **{"name": "digits", "fingerprint": "0" * 64, "classes": tuple("0123456789")},
        **{"train_images": 1497, "test_images": 300, "image_shape": (1, 8, 8)},
        **{"source_train_images": 1497, "source_test_images": 300},
    )
    about.write(Path("results/tiny/data.json"))
    stage = ModuleType("bench.training.job")
    vars(stage)["train"] = lambda *_, **__: None
    monkeypatch.setitem(sys.modules, "bench.training.job", stage)
    what = ("--method", "trades", "--seed", "0") if command == "train" else ()
    assert main([command, "--config", "config.yaml", *what]) == (said is not None)
    if said:
        (line,) = capsys.readouterr().err.splitlines()
        (key,) = changes
        assert line.startswith(f"error: {key}: methods.trades cannot ")
        assert said in line


def test_the_config_asks_for_what_its_attacks_need():
    attacked = experiment(settings({"evaluation.autoattack": {"images": 30}})).evaluation
    assert attacked.needs == Needs(classes=TARGETS + 1, test_images=30)
    require_classes(attacked.needs.classes)
    never = {"evaluation.autoattack": {"checkpoints": [], "images": 30}}
    assert experiment(settings(never)).evaluation.needs == Needs()

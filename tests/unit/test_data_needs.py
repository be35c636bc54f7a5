"""Images that are too few for an attack are refused before anything is trained on them."""

from __future__ import annotations

import json
from dataclasses import replace

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


def few(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the source give as many classes as that."""
    whole = some_data()
    train, test = (replace(part, labels=part.labels % classes) for part in whole.parts().values())
    names = tuple(map(str, range(classes)))
    monkeypatch.setattr(job, "read", lambda *_, **__: Dataset("few", names, train, test))


ATTACKED = {"evaluation.autoattack": {}}


@pytest.mark.parametrize(
    ("classes", "changes", "refused"),
    [
        (9, ATTACKED, "evaluation.autoattack"),
        (10, ATTACKED, None),
        (3, {}, None),
        (10, {"evaluation.pgd.pgd20.images": 20}, None),
        (10, {"evaluation.pgd.pgd20.images": 21}, "21 images"),
    ],
)
def test_what_is_too_little_for_an_attack_ends_with_the_data(
    capsys, tmp_path, monkeypatch, classes, changes, refused
):
    few(classes, monkeypatch)
    raw = settings({"training.batch_size": 20, **changes})
    config, out = tmp_path / "config.yaml", tmp_path / "out" / "data.safetensors"
    config.write_text(yaml.safe_dump(raw))
    spec = experiment(raw)
    needs = spec.evaluation.needs
    by_hand = ("--classes-at-least", str(needs.classes))
    by_hand += ("--test-images-at-least", str(needs.test_images))
    for what in (("--config", str(config)), ("--spec", json.dumps(spec_json(spec.data)), *by_hand)):
        assert main(["data", *what, "--out", str(out)]) == (refused is not None)
        if refused:
            (said,) = capsys.readouterr().err.splitlines()
            assert refused in said
            assert not out.parent.exists()
        else:
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


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"evaluation.pgd.pgd20.images": 301}, "evaluation.pgd.pgd20.images"),
        ({"evaluation.autoattack": {}, "data.classes": list("abcdefghi")}, "evaluation.autoattack"),
        ({"diagnostics": {}}, "diagnostics.images"),
        ({"training.validation_images": 1497}, "training.validation_images"),
        (
            {"methods.mart": {"training": {"validation_images": 2000}}},
            "training.validation_images: methods.mart",
        ),
        ({"training.validation_images": 1496, "training.batch_size": 1}, None),
        ({"training.validation_images": 1497, "training.checkpoint_selection": "test"}, None),
    ],
)
def test_the_plan_refuses_them_too(capsys, tmp_path, changes, key):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings(changes)))
    refused = key is not None
    assert main(["plan", "--config", str(config), "--results", str(tmp_path)]) == refused
    if refused:
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {key}")


def test_the_config_asks_for_what_its_attacks_need():
    attacked = experiment(settings({"evaluation.autoattack": {"images": 30}})).evaluation
    assert attacked.needs == Needs(classes=TARGETS + 1, test_images=30)
    require_classes(attacked.needs.classes)
    never = {"evaluation.autoattack": {"checkpoints": [], "images": 30}}
    assert experiment(settings(never)).evaluation.needs == Needs()

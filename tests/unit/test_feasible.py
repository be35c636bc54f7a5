"""Sizes of images and batches that a network cannot be trained with are told beforehand."""

from __future__ import annotations

import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from settings import settings
from synthetic import some_data, some_spec
from torch import nn

from bench.__main__ import main
from bench.config.experiment import Model
from bench.config.schema import WeightAveraging
from bench.data.dataset import save
from bench.models import base
from bench.runtime.errors import CodeError, ConfigError
from bench.training.feasible import check_network
from bench.training.job import train
from bench.training.run import Run
from bench.training.sizes import check_training, smallest_batch

DEEP = Model(name="resnet18", width=2)  # maps of 1 x 1 for images of 8 x 8
FLAT = Model(name="small_cnn", width=2)  # maps as large as the images


def shell(batch_size: int, held: int = 4):
    return some_spec(batch_size=batch_size, validation_images=held).training


def check(model: Model, batch_size: int, images: int = 40, side: int = 8) -> None:
    shape = (1, side, side)
    check_network(model, shell(batch_size), "mine", train_images=images, shape=shape, classes=10)


@pytest.mark.parametrize(
    ("images", "batch_size", "smallest"),
    [(40, 7, 1), (40, 6, 6), (40, 36, 36), (40, 100, 36), (40, 5, 1), (40, 1, 1), (5, 4, 1)],
)
def test_the_smallest_batch_is_what_an_epoch_really_has(images, batch_size, smallest):
    assert smallest_batch(shell(batch_size), images) == smallest
    spec = some_spec(batch_size=batch_size, validation_images=4)
    batches = Run(spec, some_data(images), torch.device("cpu")).batches(1)
    assert min(map(len, batches)) == smallest


@pytest.mark.parametrize(
    ("batch_size", "advice"), [(7, "6 or 8"), (5, "4 or 6"), (35, "34 or 36"), (1, "batch_size 2")]
)
def test_a_batch_of_one_image_is_refused_where_the_smallest_map_is_one_value(batch_size, advice):
    with pytest.raises(ConfigError, match=r"^training\.batch_size: methods\.mine: 36 ") as caught:
        check(DEEP, batch_size)
    assert advice in str(caught.value)
    for size in (int(word) for word in advice.split() if word.isdecimal()):
        check(DEEP, size)


def test_a_batch_of_one_image_is_fine_where_maps_are_larger():
    check(FLAT, 7)
    check(DEEP, 7, side=16)


def test_one_training_image_in_all_has_no_batch_size_that_works():
    with pytest.raises(ConfigError, match=r"^training\.batch_size: "):
        check(DEEP, 1, images=5)


def test_what_is_refused_fails_in_a_step_and_what_is_not_does_not():
    for size, fails in ((7, True), (6, False)):
        spec = some_spec(batch_size=size, validation_images=4)
        object.__setattr__(spec, "model", DEEP)
        run = Run(spec, some_data(40), torch.device("cpu"))
        if fails:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                run.epoch(1, lambda *_: None)
        else:
            run.epoch(1, lambda *_: None)


class Own(nn.Module):
    """A network whose pooling needs images of 4 x 4, with a fault of its own by `width`."""

    def __init__(self, *, classes: int, channels: int, width: int = 0) -> None:
        super().__init__()
        self.linear = nn.LazyLinear(classes + (width == 1))
        self.fault = width

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = self.linear(nn.functional.avg_pool2d(images, 4).mean((2, 3)))
        if self.fault == 2:
            raise ValueError("of its own")
        return {3: logits / 0, 4: logits.squeeze(), 5: [logits]}.get(self.fault, logits)


@pytest.fixture
def own(monkeypatch):
    base.names()  # all of the suite's are registered for good
    monkeypatch.setattr(base, "_BUILDERS", {**base._BUILDERS, "own": Own})
    return "own"


def test_images_that_a_network_cannot_take_are_refused(own):
    check(Model(name=own), 6)
    with pytest.raises(ConfigError, match=r"^model\.name: own .*1 x 2 x 2"):
        check(Model(name=own), 6, side=2)


@pytest.mark.parametrize("fault", [1, 2, 3, 4, 5])
def test_a_fault_of_the_network_is_told_with_its_file(own, fault):
    # 4 is one of a single image alone, of which a batch is left over.
    with pytest.raises(CodeError, match=rf"^{re.escape(__file__)}"):
        check(Model(name=own, width=fault), 7 if fault == 4 else 6)


@pytest.mark.parametrize(
    ("largest", "refused"),
    [({"batch_size": 36}, {"batch_size": 37}), ({"crop_padding": 7}, {"crop_padding": 8})],
)
def test_more_images_or_padding_than_there_is_room_for_is_refused(largest, refused):
    training = shell(36)
    check_training(replace(training, **largest), "mine", 40, (1, 8, 8))
    (key,) = refused
    with pytest.raises(ConfigError, match=rf"^training\.{key}: methods\.mine "):
        check_training(replace(training, **refused), "mine", 40, (1, 8, 8))


@pytest.mark.parametrize(("decay", "refused"), [(0.5, False), (0.99, True)])
def test_an_average_of_initial_weights_is_refused(decay, refused):
    # Two epochs of six steps leave 0.5 ** 12 or 0.99 ** 12 of the initial weights.
    averaging = WeightAveraging(decay=decay)
    training = some_spec(epochs=2, batch_size=6, validation_images=4, weight_averaging=averaging)
    message = pytest.raises(ConfigError, match=r"^training\.weight_averaging\.decay: methods\.mine")
    with message if refused else nullcontext():
        check_training(training.training, "mine", 40, (1, 8, 8))


def test_selection_on_the_test_set_leaves_all_images_to_train_on():
    training = some_spec(batch_size=13, checkpoint_selection="test").training
    assert smallest_batch(training, 40) == 1
    check_training(replace(training, batch_size=40), "mine", 40, (1, 8, 8))


@pytest.mark.parametrize(
    ("change", "key"),
    [({"batch_size": 100}, "training.batch_size"), ({"crop_padding": 8}, "training.crop_padding")],
)
def test_a_training_says_so_itself_where_no_record_describes_its_images(tmp_path, change, key):
    save(some_data(), tmp_path / "data.safetensors")
    with pytest.raises(ConfigError, match=key):
        train(
            some_spec(**change),
            experiment="tiny",
            label="mine",
            data=tmp_path / "data.safetensors",
            folder=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["plan", "data", "train"])
def test_every_command_before_a_training_says_it(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    changes = {
        "data.train_images": 40,
        "model": {"name": "resnet18", "width": 2},
        "training.batch_size": 7,
        "training.crop_padding": 1,
    }
    Path("config.yaml").write_text(yaml.safe_dump(settings(changes)))
    if command == "train":
        main(["data", "--config", "config.yaml"])
        capsys.readouterr()
    run = ("--method", "trades", "--seed", "0") if command == "train" else ()
    assert main([command, "--config", "config.yaml", *run]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: training.batch_size: methods.trades: ")
    assert not Path("results/tiny/models").exists()

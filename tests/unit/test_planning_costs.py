from __future__ import annotations

from pathlib import Path

import pytest
from factory import edit_json
from planned import tiny, write_data, write_run
from torch import nn

from bench.config.experiment import Model
from bench.config.loading import read_config
from bench.data.sources import read
from bench.planning.costs import (
    evaluation_seconds,
    kind_of,
    method_kind,
    recorded_rates,
    without_rate,
)
from bench.planning.counted import counted_rates, device_bytes, operations
from bench.planning.sizes import Size, disk_bytes, size_of
from bench.planning.text import amount, hours, table
from bench.results.staleness import Staleness
from bench.runtime.files import read_json
from bench.training.held_out import ENOUGH, held_out

ROOT = Path(__file__).parents[2]
CNN = Model(name="small_cnn", width=4)
DIGITS = Size(train=1497, test=300, shape=(1, 8, 8), classes=10)


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path, tiny())
    return tmp_path


def test_a_comparable_run_gives_seconds_for_each_image_and_step(results):
    rates = recorded_rates(tiny(), DIGITS, results)
    (training,) = rates.training.values()
    assert training == [pytest.approx(60 / (2 * 1348))]
    assert (
        rates.attacks[tiny().model.label, "trades", "pgd"] == [pytest.approx(30 / (300 * 20))] * 2
    )
    assert rates.devices == {"cpu"}


def seconds_and_unknown(results, changes):
    of = tiny(changes)
    rates, (method,) = recorded_rates(of, DIGITS, results), of.methods
    unknown = without_rate(of.evaluation, method, rates)
    return evaluation_seconds(of.evaluation, method, DIGITS, rates), unknown


def test_a_registered_attack_counts_once_it_has_been_recorded(results):
    path = results / "tiny" / "models" / "trades" / "seed0" / "evaluation.json"
    asked = {"evaluation.attacks.slow": {"attack": "apgd_eot", "images": 30}}
    before, _ = seconds_and_unknown(results, {})
    assert seconds_and_unknown(results, asked) == (before, ["slow"])
    # Recorded under another label.
    details = {"attack": "apgd_eot", "options": {"iterations": 20}}
    attack = read_json(path)["checkpoints"]["best"]["attacks"]["pgd20"]
    edit_json(
        path, checkpoints__best__attacks__other={**attack, "details": details, "seconds": 60.0}
    )
    assert seconds_and_unknown(results, asked) == (pytest.approx(before + 60 * 30 / 300), [])
    other = {"evaluation.attacks.slow": {"attack": "apgd_eot", "iterations": 2}}
    assert seconds_and_unknown(results, other) == (before, ["slow"])


def test_every_seed_of_pgd_costs_as_much_as_the_first(results):
    one, _ = seconds_and_unknown(results, {})
    clean, _ = seconds_and_unknown(results, {"evaluation.pgd": {}})
    three, _ = seconds_and_unknown(results, {"evaluation.pgd.pgd20.seeds": 3})
    assert three - clean == pytest.approx(3 * (one - clean))


def test_the_targeted_margin_costs_nine_attempts(results):
    clean, _ = seconds_and_unknown(results, {"evaluation.pgd": {}})
    one, nine = (
        seconds_and_unknown(results, {"evaluation.pgd.pgd20.loss": loss})[0] - clean
        for loss in ("margin", "targeted_margin")
    )
    assert nine == pytest.approx(9 * one)


@pytest.mark.parametrize(
    "changes",
    [
        {"compute": {"device": "cuda"}},
        {"compute.threads": 2},
        {"model.name": "resnet18"},
        {"model.width": 8},
    ],
)
def test_what_runs_elsewhere_or_on_another_model_tells_nothing(results, changes):
    rates = recorded_rates(tiny(changes), DIGITS, results)
    assert not rates.training
    assert not rates.attacks


def test_images_of_another_shape_tell_nothing(results):
    larger = Size(train=1497, test=300, shape=(3, 32, 32), classes=10)
    assert not recorded_rates(tiny(), larger, results).training


def test_a_record_of_another_version_is_passed_over(results):
    write_run(results, tiny(), seed=1)
    path = results / "tiny" / "models" / "trades" / "seed1" / "train.json"
    edit_json(path, spec={"method": "trades"})
    (training,) = recorded_rates(tiny(), DIGITS, results).training.values()
    assert len(training) == 1


def test_factors_cost_nothing_and_variants_do():
    shell = tiny().training
    assert kind_of("trades", {"beta": 1.0}, shell, CNN) == kind_of(
        "trades", {"beta": 6.0}, shell, CNN
    )
    assert kind_of("memloss", {"variant": "v1"}, shell, CNN) != kind_of(
        "memloss", {"variant": "v2"}, shell, CNN
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attack.steps", 7),
        ("validation_attack.loss", "targeted_margin"),
        ("engine", "eager"),
        ("precision", "bfloat16"),
    ],
)
def test_steps_engine_and_precision_decide_what_a_training_costs(key, value):
    other = tiny({f"training.{key}": value}).training
    assert kind_of("trades", {}, tiny().training, CNN) != kind_of("trades", {}, other, CNN)


def test_as_many_images_are_held_out_as_training_does():
    shell = tiny().training
    assert held_out(shell, ENOUGH) == 1000
    assert held_out(shell, ENOUGH - 10) == (ENOUGH - 10) // 10
    assert held_out(tiny({"training.validation_images": 7}).training, 50_000) == 7
    assert held_out(tiny({"training.checkpoint_selection": "test"}).training, 50_000) == 0


def test_size_comes_from_the_source_the_config_or_what_was_read(tmp_path):
    assert size_of(tiny(), None) == DIGITS
    fewer = tiny({"data": {"source": "digits", "name": "digits", "train_images": 100}})
    size = size_of(fewer, None)
    assert size is not None
    assert (size.train, size.test) == (100, 300)
    folder = tiny({"data": {"source": "folder", "name": "mine", "path": "data/mine"}})
    assert size_of(folder, None) is None
    write_data(tmp_path, folder)
    assert size_of(folder, Staleness(folder, tmp_path).images) == DIGITS


def test_the_memory_counts_while_training():
    plain = disk_bytes(tiny(), DIGITS, 1000)
    recycled = tiny(
        {"methods": {"memloss": {"variant": "v1", "beta": 3, "memory_beta": 2}}},
    )
    disk = disk_bytes(recycled, DIGITS, 1000)
    assert plain["while_training"] == 12_000
    assert disk["while_training"] - plain["while_training"] == 1497 * (64 + 8)
    assert disk["data"] == (1497 + 300) * (64 + 8)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "?"), (0.0, "0"), (1.0, "<0.001"), (5400.0, "1.5"), (72e3, "20")]
)
def test_hours_are_short(seconds, text):
    assert hours(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (89_391_696, "89.4 MB"), (5 * 10**12, "5000 GB")]
)
def test_bytes_are_short(size, text):
    assert amount(size) == text


def test_columns_line_up():
    assert table(["a", "n", "z"], [["bb", "1", "x"], ["c", "22", "yy"]]) == [
        "a    n  z",
        "bb   1  x",
        "c   22  yy",
    ]


def test_the_digits_are_as_many_as_the_source_has():
    dataset = read("digits", path=None, name="digits")
    size = size_of(tiny(), None)
    assert size is not None
    assert (size.train, size.test) == (len(dataset.train), len(dataset.test))
    assert size.shape == tuple(dataset.train.pixels.shape[1:])
    assert size.classes == len(dataset.classes)


def test_what_adds_a_pass_is_another_kind_of_training():
    shell = tiny().training
    usual = kind_of("cure", {"gamma": 1.0, "percentile": 0.3, "natural_epochs": 0}, shell, CNN)
    for changed in ({"percentile": 0.0}, {"natural_epochs": 5}):
        options = {"gamma": 1.0, "percentile": 0.3, "natural_epochs": 0, **changed}
        assert kind_of("cure", options, shell, CNN) != usual
    other = {"gamma": 0.5, "percentile": 0.2, "natural_epochs": 0}
    assert kind_of("cure", other, shell, CNN) == usual
    assert kind_of("dynat", {"clean_pass": True}, shell, CNN) != kind_of(
        "dynat", {"clean_pass": False}, shell, CNN
    )


@pytest.mark.parametrize(
    ("method", "kept"),
    [
        ({"method": "dynat"}, 5),
        ({"method": "cure"}, 4),
        ({"method": "dynat", "training": {"weight_averaging": {"decay": 0.9}}}, 6),
    ],
)
def test_networks_beside_the_trained_one_count_while_training(method, kept):
    disk = disk_bytes(tiny({"methods": {"mine": method}}), DIGITS, 1000)
    assert disk["while_training"] == kept * 4000


# Hours and memory counted from operations, where no device can be asked


@pytest.fixture(scope="module")
def digits():
    return read_config(ROOT / "config" / "digits.yaml")


def test_operations_are_those_that_a_hand_counts(digits):
    size = size_of(digits, None)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 10))
    # A multiplication and an addition for each weight and place.
    assert operations(network, size) == 2 * (4 * 9 * 64 + 256 * 10)


def test_a_training_costs_its_attack_its_passes_and_its_selection(digits):
    size = size_of(digits, None)
    rates = counted_rates(digits, size, 1.0)
    (image,) = rates.attacks["small_cnn", "", "clean"]
    methods = {method.label: method for method in digits.methods}
    cost = {label: rates.training[method_kind(one)][0] / image for label, one in methods.items()}
    selection = 41 * 149 / 1348
    assert cost["standard"] == pytest.approx(3 + selection)
    assert cost["pgd_at"] == pytest.approx(3 + 20 + selection)
    assert cost["trades"] == pytest.approx(6 + 20 + 1 + selection)
    assert cost["memloss_v1"] == pytest.approx(9 + 20 + 1 + selection)
    assert rates.attacks["small_cnn", "", "pgd"] == [2 * image]


def test_hours_fall_with_the_stated_rate_and_memory_does_not(digits):
    size = size_of(digits, None)
    slow, fast = (
        counted_rates(digits, size, rate).attacks["small_cnn", "", "autoattack"][0]
        for rate in (1.0, 4.0)
    )
    assert slow == pytest.approx(4 * fast)
    assert device_bytes(digits, size) > size.train * size.values

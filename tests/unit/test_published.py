"""Published numbers stand beside the published images alone, whatever else has their name."""

from __future__ import annotations

import re

import paged
import pytest
from factory import published
from summed import CONFIG, table, written

from bench.analysis.plots.context import Context
from bench.config.parsing import parse
from bench.data.published import PUBLISHED, difference, robustbench_name
from bench.results.experiment import ExperimentResults
from bench.results.flags import OTHER_IMAGES
from bench.results.published import Published, read_reported
from bench.results.records import DataRecord

FILES = (CONFIG / "reported.csv", CONFIG / "robustbench.csv")
# Measured on CIFAR-10 as JPEG of quality 75.
JPEG = {
    "channel_mean": (0.491250, 0.482090, 0.446521),
    "channel_std": (0.245232, 0.242782, 0.260629),
}


def data(name="cifar10", **changes):
    sizes = {
        f"{source}{part}_images": 20 for source in ("", "source_") for part in ("train", "test")
    }
    shown = {**published("cifar10"), **changes, **sizes}
    return parse(
        DataRecord, {**shown, "name": name, "fingerprint": "f", "classes": []}, where="data"
    )


def counts(train, test):
    return {"class_counts": {"train": train, "test": test}}


def near(name, by):
    value = published("cifar10")[name]
    return {name: [value[0] + by, *value[1:]]}


def test_the_published_images_are_known_whatever_their_source():
    assert difference(data()) == ""
    assert difference(data(source="parquet")) == ""
    assert difference(data(**near("channel_mean", 4e-5))) == ""


def test_a_name_of_which_nothing_is_published_promises_nothing():
    assert difference(data("cifar10-jpeg", lossless=None)) == ""


@pytest.mark.parametrize(
    ("name", "listed"),
    [
        *((name, name.split("-")[0]) for name in ("cifar10", "cifar10-jpeg", "cifar100-jpeg")),
        *((other, None) for other in ("cifar10.1", "cifar10c", "cifar100_coarse", "my-cifar10")),
    ],
)
def test_only_a_listed_name_or_its_variant_behind_a_hyphen_is_robustbenchs(name, listed):
    assert robustbench_name(name) == listed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_shape": (3, 64, 64)}, r"images are \(3, 64, 64\)"),
        ({"image_shape": (1, 32, 32)}, r"images are \(1, 32, 32\)"),
        (counts([2] * 10, [1000] * 10), "train has 20 images, not 50000"),
        (counts([5000] * 10, [999] + [1000] * 9), "test has 9999 images, not 10000"),
        (
            counts([5001, 4999] + [5000] * 8, [1000] * 10),
            "train has 4999 to 5001 images of a class",
        ),
        (counts([5000] * 10, [1000] * 9 + [500] * 2), "test has 11 classes, not 10"),
        ({"class_counts": {"train": [5000] * 10}}, "test has 0 classes"),
        ({"lossless": False}, "with losses"),
        (near("channel_mean", 1e-4), "the means of"),
        (near("channel_std", -1e-4), "the standard deviations of"),
        ({"channel_std": (0.24703223,)}, "the standard deviations of"),
        (JPEG, "the means of the training images' channels"),
        ({"channel_std": JPEG["channel_std"]}, "the standard deviations of"),
        ({"lossless": None}, "does not tell"),
        ({"class_counts": {}}, "does not tell"),
        ({"image_shape": ()}, "does not tell"),
        ({"name": "cifar100"}, "train has 10 classes, not 100"),
    ],
)
def test_other_images_of_that_name_are_told_apart(change, said):
    name = change.pop("name", "cifar10")
    assert re.search(said, difference(data(name, **change)))


def test_what_is_unbalanced_is_counted_in_all():
    svhn = {"channel_mean": [], "channel_std": [], **counts([73_248] + [1] * 9, [26_023] + [1] * 9)}
    assert difference(data("svhn", **svhn)) == ""
    svhn |= counts([73_247] + [1] * 9, [26_023] + [1] * 9)
    assert "train has 73256 images" in difference(data("svhn", **svhn))


def test_every_data_set_of_reported_numbers_is_known():
    known = read_reported(CONFIG / "reported.csv")
    assert {row.dataset for row in known} <= set(PUBLISHED)


@pytest.fixture
def noise(results_factory):
    """Two images a class that are called cifar10."""
    results_factory.dataset = "cifar10"
    results_factory.origin = {**published("cifar10"), **counts([2] * 10, [2] * 10)}
    results_factory.run("trades")
    results_factory.reference("Rice2020Overfitting")
    return results_factory.folder


def test_no_number_stands_beside_other_images_and_every_row_says_why(noise, capsys):
    rows = written(noise, *FILES)
    assert {row["engine"] for row in rows} == {"folded", "robustbench"}
    assert all(OTHER_IMAGES in row["flags"] for row in rows)
    assert {row["reported"] for row in rows} == {""}
    assert "train has 20 images, not 50000" in capsys.readouterr().out
    context = Context(ExperimentResults(noise), Published.read(*FILES))
    assert (context.reported("autoattack"), context.cards("autoattack")) == ([], [])


def test_beside_the_published_images_it_does(results_factory):
    results_factory.dataset = "cifar10"
    results_factory.run("trades")
    rows = table(results_factory.folder, read_reported(CONFIG / "reported.csv"))
    compared = rows.dropna(subset="reported")
    assert set(compared["attack"]) == {"clean", "pgd20", "autoattack"}
    assert not any(OTHER_IMAGES in flags for flags in rows["flags"])
    written(results_factory.folder, *FILES)
    context = Context(ExperimentResults(results_factory.folder), Published.read(*FILES))
    assert context.reported("autoattack")
    assert context.cards("autoattack")


def test_page_and_claims_say_that_the_images_are_others(results_factory):
    results_factory.dataset = "cifar10"
    results_factory.origin = {**published("cifar10"), "lossless": False}
    folder = results_factory.all()
    for command in ("summarize", "statistics", "claims"):
        paged.command(command, folder)
    with (folder / "claims.csv").open() as file:
        assert "not the published ones (not_the_published_images)" in file.read()
    page = paged.shown(folder)
    assert "called CIFAR-10 and are not shown to be the published ones" in page.text
    frontier = [chart for name, chart in page.charts.items() if name.startswith("frontier")]
    kinds = {trace["meta"].get("kind") for chart in frontier for trace in chart["data"]}
    assert "mean" in kinds
    assert not kinds & {"paper", "card"}

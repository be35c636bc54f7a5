"""The functions that other programs call, and the examples of docs/api.md."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import matplotlib.figure
import pandas as pd
import pytest
import torch
from synthetic import EPS
from torch import nn

from bench import api
from bench.attacks.pgd import pgd
from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Pgd, Threat, with_step
from bench.config.schema import Compute
from bench.data.dataset import Images, save, to_unit
from bench.evaluation.export import export
from bench.evaluation.per_example import evaluate_attack
from bench.numerics.seeding import stream

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference" / "digits"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/api.md").read_text(), re.M | re.S)


@pytest.fixture
def data(trained_run):
    return api.load_data(trained_run / "data.safetensors")


@pytest.fixture
def network(trained_run):
    return api.load_network(trained_run)


@pytest.fixture(scope="module")
def experiment():
    return api.read_experiment(REFERENCE)


def test_an_export_is_the_network_of_its_run(trained_run, tmp_path, network, data):
    out = export(trained_run, "last", tmp_path / "out").parent
    last, exported = api.load_network(trained_run, "last"), api.load_network(out)
    images = to_unit(data.test.pixels)
    assert not network.training
    assert not exported.training
    with torch.no_grad():
        assert torch.equal(exported(images), last(images))
    with pytest.raises(api.BenchError, match="best"):
        api.load_network(out, "best")


def test_a_network_that_is_not_the_recorded_one_is_refused(trained_run, tmp_path):
    with pytest.raises(api.BenchError, match="bset"):
        api.load_network(trained_run, "bset")
    shutil.copy(trained_run / "last.safetensors", trained_run / "best.safetensors")
    with (trained_run / "best.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(api.BenchError, match=r"best\.safetensors"):
        api.load_network(trained_run)
    with pytest.raises(api.BenchError, match="nowhere"):
        api.load_network(tmp_path / "nowhere")


class Rows(nn.Module):
    """A network of a user's: the class is the brightest row, as in the synthetic images."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images.mean(dim=(1, 3))
        return self.scale * torch.cat([rows, torch.zeros_like(rows[:, :2])], dim=1)


def test_pgd_is_that_of_an_evaluation_with_this_seed_and_batch_size(data):
    network, images, labels = Rows(), data.test.pixels, data.test.labels
    given = {"eps": EPS, "steps": 4, "restarts": 2, "loss": "margin"}
    found = api.pgd(network, images, labels, seed=3, batch_size=15, **given)
    for first, part in ((0, slice(0, 15)), (15, slice(15, None))):
        generator = stream(3, "pgd", first)
        batch = (to_unit(images[part]), labels[part])
        moved = pgd(network, *batch, step=EPS / 4, generator=generator, **given)
        assert torch.equal(found.adversarial[part], moved)
    again = api.pgd(network, to_unit(images), labels, seed=3, batch_size=15, **given)
    assert torch.equal(again.adversarial, found.adversarial)


@pytest.mark.parametrize("attack", [api.pgd, api.autoattack])
def test_adversarial_images_are_in_the_ball_and_show_the_results(data, attack):
    network, images, labels = Rows().train(), data.test.pixels[:8], data.test.labels[:8]
    found = attack(network, images, labels, eps="15/255")
    assert network.training
    assert (found.adversarial - to_unit(images)).abs().max() <= 15 / 255 + 1e-6
    assert found.adversarial.min() >= 0
    assert found.adversarial.max() <= 1
    with torch.no_grad():
        right = network(found.adversarial).argmax(dim=1) == labels
    assert torch.equal(found.robust, found.clean & right)
    assert 0 < found.robust.sum() < found.clean.sum()
    assert [not by for by in found.broken_by] == found.robust.tolist()


@pytest.mark.parametrize("name", ["pgd", "autoattack"])
def test_results_are_those_of_an_evaluation(data, name):
    network, test = Rows(), Images(data.test.pixels[:6], data.test.labels[:6])
    attack = with_step(Pgd(steps=20), EPS, where="pgd")
    spec = EvaluationSpec(
        threat=Threat(eps=EPS),
        evaluation=Evaluation(batch_size=4, pgd={"pgd": attack}, autoattack=AutoAttack()),
        compute=Compute(device="cpu", threads=1, tf32=False),
    )
    expected = evaluate_attack(network, test, name, spec)
    found = getattr(api, name)(network, test.pixels, test.labels, eps=EPS, batch_size=4)
    assert found.broken_by == expected.broken_by
    assert torch.equal(found.robust, expected.robust)
    assert torch.equal(found.clean, expected.clean)


@pytest.mark.parametrize("wrong", [2.0, -0.1, float("nan")])
def test_images_outside_the_range_are_refused(data, wrong):
    images = to_unit(data.test.pixels)
    images[0, 0, 0, 0] = wrong
    with pytest.raises(ValueError, match="images"):
        api.pgd(Rows(), images, data.test.labels, eps=EPS)


def test_images_and_labels_must_fit(data):
    images, labels = data.test.pixels, data.test.labels
    for attack in (api.pgd, api.autoattack):
        with pytest.raises(ValueError, match="images"):
            attack(Rows(), images.double(), labels, eps=EPS)
        with pytest.raises(ValueError, match="labels"):
            attack(Rows(), images, labels[1:], eps=EPS)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"eps": 8}, "eps"),
        ({"eps": EPS, "steps": 0}, "steps"),
        ({"eps": EPS, "loss": "dlr"}, "loss"),
        ({"eps": EPS, "steps": 2, "step_size": 0.001}, "step"),
        ({"eps": EPS, "batch_size": 0}, "batch_size"),
    ],
)
def test_an_argument_out_of_its_range_is_named(network, data, given, key):
    with pytest.raises(api.ConfigError, match=key):
        api.pgd(network, data.test.pixels, data.test.labels, **given)


def test_frames_and_verdicts_are_those_of_the_files(experiment):
    published = pd.read_csv(REFERENCE / "claims.csv", index_col="id")
    judged = api.judge_claims(experiment)
    assert judged["verdict"].to_dict() == published["verdict"].to_dict()
    assert len(experiment.summary) == len(pd.read_csv(REFERENCE / "summary.csv"))


def test_claims_of_a_users_file_are_judged(experiment, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "scope: {dataset: digits, model: small_cnn, eps: 0.2}\n"
        "methods: {TRADES: {method: trades, beta: 6}}\n"
        "claims: [{id: mine, text: above chance, source: here, kind: order, rule: value,\n"
        "  method: TRADES, metric: clean, above: 10}]\n"
    )
    assert list(api.judge_claims(experiment, [path]).index) == ["mine"]


def test_the_frontier_is_a_figure_and_an_attack_that_was_not_run_is_named(experiment, tmp_path):
    figure = api.plot_frontier(experiment, "pgd20", "last")
    assert isinstance(figure, matplotlib.figure.Figure)
    assert "PGD-20" in figure.axes[0].get_ylabel()
    with pytest.raises(api.BenchError, match="pgd2"):
        api.plot_frontier(experiment, "pgd2")
    with pytest.raises(api.BenchError, match=r"summary\.csv"):
        api.read_experiment(tmp_path)


@pytest.fixture
def minimal(trained_run, data, tmp_path, monkeypatch):
    """A working directory with what the examples read."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results/minimal/models/trades").mkdir(parents=True)
    shutil.copytree(trained_run, "results/minimal/models/trades/seed0")
    save(data, Path("results/minimal/data.safetensors"))
    Path("results/reference").symlink_to(REFERENCE.parent)


@pytest.mark.usefixtures("minimal")
@pytest.mark.parametrize("example", EXAMPLES, ids=["results", "attacks"])
def test_the_examples_of_the_documents_run(example):
    exec(compile(example, "docs/api.md", "exec"), {})

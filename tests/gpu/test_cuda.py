"""What a CPU cannot show: the same promises on a CUDA device, with TF32 where it is allowed."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from margins import Blocks, pixels
from stopping import stopping_in
from synthetic import EPS, MEMLOSS, some_data, some_images, some_spec
from torch import Tensor, nn

from bench.attacks import autoattack
from bench.attacks.autoattack import AutoAttackState, source
from bench.config.experiment import (
    AutoAttack,
    Compute,
    Evaluation,
    EvaluationSpec,
    Model,
    Pgd,
    RegisteredAttack,
    Threat,
)
from bench.config.method_options import needs
from bench.data.dataset import Images, save, to_unit
from bench.evaluation.job import evaluate
from bench.evaluation.per_example import correct, evaluate_attack
from bench.evaluation.random_networks import is_random
from bench.methods.base import names
from bench.models import checkpoint as weights
from bench.models.base import build
from bench.numerics.device import convolutions, describe, prepare
from bench.results.evaluated import read_runs
from bench.results.paths import Paths
from bench.runtime.signals import InterruptedJobError
from bench.training.job import train
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.run import Run
from bench.training.step import TrainingStep

pytestmark = pytest.mark.gpu
# cuBLAS reads it when it starts; the command line sets it too.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
GPU = torch.device("cuda")
TF32 = Compute(device="cuda", tf32=True)
FLOAT32 = Compute(device="cuda", tf32=False)
SHAPE = (1, 16, 16)
LEVELS = [6, 20, 6, 20, 6, 20, 6, 20, 6, 20]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    save(some_data(), tmp_path / "digits" / "data.safetensors")
    return tmp_path / "digits" / "data.safetensors"


def quiet(_step: int, _metrics: EpochMetrics) -> None:
    pass


def flags() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def trained(data: Path, name: str, method: str = "trades", **spec: Any) -> Path:
    folder = data.parent / "models" / name / "seed0"
    given = some_spec(method, compute=TF32)
    for label in needs(given.method, given.options, None).values():
        if not (data.parent / "models" / label).exists():
            trained(data, label, label)
    train(replace(given, **spec), experiment="digits", label=name, data=data, folder=folder)
    return folder


def tensors(folder: Path) -> list[bytes]:
    return [(folder / f"{name}.safetensors").read_bytes() for name in ("best", "last")]


def run_by(engine: str, precision: str, **training: Any) -> dict[str, Any]:
    shell = some_spec().training
    return {"training": replace(shell, engine=engine, precision=precision, **training)}


@pytest.mark.parametrize(
    ("method", "engine", "precision"),
    [
        *((method, "cuda_graph", "bfloat16") for method in names()),
        *((method, "folded", "float32") for method in ("trades", "memloss")),
    ],
)
def test_the_same_seed_trains_the_same_bytes_with_tf32(data, method, engine, precision):
    before, how = flags(), run_by(engine, precision)
    one, other = (trained(data, name, method, **how) for name in ("one", "other"))
    assert tensors(one) == tensors(other)
    assert flags() == before


@pytest.mark.parametrize(
    ("engine", "precision"), [("folded", "float32"), ("cuda_graph", "bfloat16")]
)
def test_stopped_and_resumed_equals_undisturbed(data, monkeypatch, engine, precision):
    how = run_by(engine, precision, epochs=4)
    whole = trained(data, "whole", "memloss", **how)
    for epoch in (2, 4):
        with monkeypatch.context() as patch:
            stopping_in(patch, epoch)
            with pytest.raises(InterruptedJobError, match=r"SIGTERM.*same command"):
                trained(data, "stopped", "memloss", **how)
    assert tensors(trained(data, "stopped", "memloss", **how)) == tensors(whole)


def test_another_seed_trains_other_bytes(data):
    one, other = (trained(data, name, seed=seed) for seed, name in enumerate(("one", "other")))
    assert not set(tensors(one)) & set(tensors(other))


def test_a_residual_network_trains_the_same_bytes_too(data):
    save(some_data(channels=3, side=16), data)
    model = Model(name="resnet18", width=8)
    one, other = (trained(data, name, "memloss", model=model) for name in ("one", "other"))
    assert tensors(one) == tensors(other)


def test_the_record_names_the_device_and_its_memory(data):
    folder = trained(data, "one")
    record = json.loads((folder / "train.json").read_text())
    assert (record["device"], record["tf32"]) == (describe(GPU), True)
    assert record["peak_memory_mb"] > 0
    with (folder / "history.csv").open(newline="") as file:
        assert all(row["peak_memory_mb"] for row in csv.DictReader(file))
    model, _ = weights.load(folder / "last.safetensors")
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}


@pytest.mark.parametrize("method", names())
def test_a_run_meets_the_same_weights_batches_and_views_as_on_a_cpu(method):
    spec, data = some_spec(method), some_data()
    there, here = (untrained(spec, data, torch.device(kind)) for kind in ("cuda", "cpu"))
    for name, value in here.model.state_dict().items():
        assert torch.equal(there.model.state_dict()[name].cpu(), value), name
    for epoch in (1, 2, 3):
        for ours, theirs in zip(there.batches(epoch), here.batches(epoch), strict=True):
            assert ours.device.type == "cuda"
            assert torch.equal(ours.cpu(), theirs)
            views = [
                run.views.frame(epoch, index_B).apply(run.pixels_NCHW[index_B]).cpu()
                for run, index_B in ((there, ours), (here, theirs))
            ]
            assert torch.equal(*views)


@pytest.mark.parametrize("storage", ["int8", "float16", "float32"])
@pytest.mark.parametrize("alignment", ["as_seen", "realigned", "clean_crop"])
def test_the_memory_on_the_device_gives_back_what_its_alignment_says(alignment, storage):
    options = MEMLOSS | {"alignment": alignment, "storage": storage}
    run = Run(some_spec("memloss", options=options, compute=TF32), some_data(), GPU)
    assert all(value.device.type == "cuda" for value in run.memory.state_dict().values())
    seen: list[dict[int, dict[str, Tensor]]] = [{}, {}]
    original = run.step

    def step(epoch: int, number: int, index_B: Tensor, metrics: EpochMetrics) -> TrainingStep:
        made = original(epoch, number, index_B, metrics)
        for place, index in enumerate(index_B.tolist()):
            shown = {name: batch[place].clone() for name, batch in made.images.items()}
            seen[epoch - 1][index] = shown
        return made

    run.step = step  # type: ignore[method-assign]
    run.epoch(1, quiet)
    run.epoch(2, quiet)
    first, second = seen
    assert first.keys() == second.keys() == set(run.index_N.tolist())
    for index, now in second.items():
        assert (now["adversarial"] - now["clean"]).abs().max() <= EPS + 1e-6
        if alignment == "realigned":
            assert (now["memory"] - now["clean"]).abs().max() <= EPS + 1e-6
        else:
            name = "adversarial" if alignment == "as_seen" else "clean"
            assert (now["memory"] - first[index][name]).abs().max() <= EPS / 254 + 1e-6


@pytest.mark.parametrize("tf32", [True, False])
def test_only_convolutions_use_tf32_and_only_where_it_is_asked_for(tf32):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 64, 16, 16, generator=generator)
    kernels = torch.randn(64, 64, 3, 3, generator=generator)
    left, right = images.flatten(2)[0], kernels.flatten(1)[:, :64]
    before = flags()
    with convolutions(tf32=tf32):
        maps = torch.nn.functional.conv2d(images.to(GPU), kernels.to(GPU)).cpu()
        product = (right.to(GPU) @ left.to(GPU)).cpu()
    assert flags() == before
    # TF32 keeps 10 bits of a factor, float32 23: their errors lie on two sides of this.
    exact = torch.nn.functional.conv2d(images.double(), kernels.double())
    # Older devices have no TF32.
    seen = tf32 and torch.cuda.get_device_capability() >= (8, 0)
    assert bool((maps - exact).abs().max() > 1e-4 * exact.std()) == seen
    exact = right.double() @ left.double()
    assert (product - exact).abs().max() < 1e-4 * exact.std()


def spec(compute: Compute = TF32, *, eps: float = 8 / 255, **evaluation: Any) -> EvaluationSpec:
    settings: dict[str, Any] = {"batch_size": 4, "pgd": {"pgd20": Pgd(steps=6, step_size=eps / 4)}}
    settings |= {"autoattack": AutoAttack()} | evaluation
    return EvaluationSpec(
        threat=Threat(eps=eps), evaluation=Evaluation(**settings), compute=compute
    )


def on_device(levels: list[int]) -> Images:
    labels = torch.arange(10)
    shown = pixels(labels.tolist(), levels, SHAPE)
    labels[3] = 0
    return Images(shown.to(GPU), labels.to(GPU))


@pytest.mark.parametrize("compute", [TF32, FLOAT32])
def test_results_are_what_paper_and_pencil_say(compute):
    before = flags()
    prepare(compute)
    results = evaluate_attack(Blocks(SHAPE).to(GPU), on_device(LEVELS), "pgd20", spec(compute))
    fate = {6: "pgd20", 20: ""}
    expected = ["clean" if i == 3 else fate[level] for i, level in enumerate(LEVELS)]
    assert results.broken_by == expected
    assert results.clean.device.type == results.robust.device.type == "cpu"
    clean = evaluate_attack(Blocks(SHAPE).to(GPU), on_device(LEVELS), "clean", spec(compute))
    assert torch.equal(clean.clean, results.clean)
    assert flags() == before


def test_autoattack_runs_on_the_device_and_gives_the_network_back():
    model = nn.Sequential(Blocks(SHAPE), nn.BatchNorm1d(10)).to(GPU)
    model[0].eval()
    kept, before = {k: v.clone() for k, v in model.state_dict().items()}, flags()
    random = torch.get_rng_state(), torch.cuda.get_rng_state()
    results = evaluate_attack(model, on_device([6] * 10), "autoattack", spec(batch_size=5))
    assert results.broken_by == ["clean" if i == 3 else "apgd-ce" for i in range(10)]
    assert results.source == source()
    assert flags() == before
    assert torch.equal(torch.get_rng_state(), random[0])
    assert torch.equal(torch.cuda.get_rng_state(), random[1])
    assert [part.training for part in model] == [False, True]
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_an_attack_from_another_network_runs_on_the_device_and_leaves_its_random_state():
    asked = {"other": RegisteredAttack(attack="transfer_pgd", options={"steps": 6})}
    random, others = torch.cuda.get_rng_state(), {"blocks": Blocks(SHAPE).to(GPU)}
    model, shown = Blocks(SHAPE).to(GPU), on_device(LEVELS)
    results = evaluate_attack(model, shown, "other", spec(attacks=asked), None, others)
    fate = {6: "other", 20: ""}
    expected = ["clean" if i == 3 else fate[level] for i, level in enumerate(LEVELS)]
    assert results.broken_by == expected
    assert torch.equal(torch.cuda.get_rng_state(), random)
    assert not is_random(model, shown)


def test_autoattack_goes_on_on_the_device_from_a_state_in_host_memory():
    shown = on_device([6] * 10)
    given: dict[str, Any] = {"eps": 8 / 255, "seed": 0, "batch_size": 4, "device": GPU}
    given |= {"model": Blocks(SHAPE).to(GPU), "images": to_unit(shown.pixels)}
    reported: list[AutoAttackState] = []
    whole = autoattack.run_standard(labels=shown.labels, **given, report=reported.append)
    start = replace(reported[0], adversarial=reported[0].adversarial.cpu())
    resumed = autoattack.run_standard(labels=shown.labels, **given, start=start)
    assert resumed.broken_by == whole.broken_by
    assert torch.equal(resumed.adversarial.cpu(), whole.adversarial.cpu())


def test_a_search_in_tf32_ends_in_results_of_float32():
    modes: list[bool] = []

    class Watched(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, images: Tensor) -> Tensor:
            modes.append(torch.backends.cudnn.allow_tf32)
            return self.inner(images)

    inner = build("small_cnn", classes=10, channels=1, seed=0).to(GPU).eval()
    shown = some_images(64, seed=5)
    images = to_unit(shown.pixels.to(GPU))
    with torch.no_grad(), convolutions(tf32=False):
        labels = torch.cat([inner(part).argmax(dim=1) for part in images.split(4)])
    results = evaluate_attack(Watched(inner), Images(shown.pixels.to(GPU), labels), "pgd20", spec())
    assert results.clean.all()
    assert True in modes
    assert modes[0] is False
    assert modes[-1] is False
    with convolutions(tf32=True):
        assert correct(inner, images, labels, 4).all(), "a result must not follow the setting"


def test_a_run_is_trained_and_evaluated_from_end_to_end(data):
    # AutoAttack spends nothing on images that are wrong to begin with, as most are here.
    small = some_data(test=12)
    wrong = Images(small.test.pixels, (small.test.labels + 5) % 10)
    save(replace(small, test=wrong), data)
    for method in ("standard", "memloss"):
        folder = trained(data, method, method)
        evaluate(spec(eps=EPS), data=data, folder=folder)
    for run in read_runs(Paths(data.parent)):
        assert run.evaluation.device == describe(GPU)
        for attacks in run.results.values():
            attacked = [one.record for name, one in attacks.items() if name != "clean"]
            assert all(record.details["search_tf32"] is True for record in attacked)
            assert all(one.record.peak_memory_mb > 0 for one in attacks.values())
            clean = attacks["clean"].examples["robust"]
            assert not any((one.examples["robust"] & ~clean).any() for one in attacks.values())
    again = Path(shutil.copytree(folder, data.parent / "again" / "seed0"))
    for made in ("examples", "cache"):
        shutil.rmtree(again / made)
    evaluate(spec(eps=EPS), data=data, folder=again)
    for path in again.rglob("*.csv"):
        assert path.read_bytes() == (folder / path.relative_to(again)).read_bytes()

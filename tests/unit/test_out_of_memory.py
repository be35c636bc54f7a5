"""Memory too small for a batch: evaluated again with half of it, trained with none of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import CPU, EPS, some_data, some_spec
from torch import Tensor, nn

from bench.attacks import autoattack
from bench.attacks.autoattack import AutoAttackState
from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import save
from bench.evaluation import state
from bench.evaluation.job import evaluate
from bench.models.small_cnn import SmallCNN
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json
from bench.training.job import train
from bench.training.run import Run

pytestmark = pytest.mark.slow

SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(
        batch_size=4, pgd={"pgd20": Pgd(steps=2, step_size=EPS / 2)}, autoattack=AutoAttack()
    ),
    compute=CPU,
)
FORWARD = SmallCNN.forward
CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
OLDER = RuntimeError("CUDA error: out of memory")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the network raise as CUDA does for more images at once than there is room for."""

    def limit(images: int, error: Exception = CUDA) -> None:
        def forward(self: SmallCNN, images_BCHW: Tensor) -> Tensor:
            if len(images_BCHW) > images:
                raise error
            return FORWARD(self, images_BCHW)

        monkeypatch.setattr(SmallCNN, "forward", forward)

    return limit


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """AutoAttack that goes batch by batch and finds nothing; the batch size and resumption of each.

    It tells where it is before the batch that may be too large.
    """
    begun: list[tuple[int, bool]] = []

    def idle(
        model: nn.Module, images: Tensor, labels: Tensor, *, batch_size: int, **given: Any
    ) -> AutoAttackState:
        begun.append((batch_size, given["start"] is not None))
        nothing = AutoAttackState(
            adversarial=images,
            clean=torch.ones(len(images), dtype=torch.bool),
            robust=torch.ones(len(images), dtype=torch.bool),
            broken_by=[""] * len(images),
        )
        given["report"](nothing)
        with torch.no_grad():
            right = torch.cat([model(part) for part in images.split(batch_size)]).argmax(dim=1)
        fine = right == labels
        by = ["" if one else "clean" for one in fine.tolist()]
        return replace(nothing, clean=fine, robust=fine, broken_by=by)

    monkeypatch.setattr(autoattack, "run_standard", idle)
    monkeypatch.setattr(state, "EVERY", 0.0)
    return begun


@pytest.fixture
def run(trained_run: Path) -> Path:
    return trained_run


def evaluated(run: Path, spec: EvaluationSpec = SPEC) -> dict[str, Any]:
    """Evaluate again; return what the record says of the attacks on `best`, without the clock."""
    shutil.rmtree(run / "cache", ignore_errors=True)
    evaluate(spec, data=run / "data.safetensors", folder=run)
    attacks = read_json(run / "evaluation.json")["checkpoints"]["best"]["attacks"]
    for attack in attacks.values():
        del attack["seconds"]
    return attacks  # type: ignore[no-any-return]


def examples(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "examples" / "best").iterdir()}


@pytest.mark.parametrize(("images", "error"), [(3, CUDA), (1, OLDER)])
def test_every_attack_is_what_it_is_with_the_batch_that_fits(run, room, starts, images, error):
    fits = {3: 2, 1: 1}[images]
    small = replace(SPEC, evaluation=replace(SPEC.evaluation, batch_size=fits))
    alone, files = evaluated(run, small), examples(run)
    assert all(attack["flags"] == [] for attack in alone.values())

    room(images, error)
    halved = evaluated(run)
    assert examples(run) == files
    for name, attack in halved.items():
        assert attack["details"]["batch_size"] == fits
        assert attack == {**alone[name], "flags": ["batch_halved"]}


def test_the_state_of_the_larger_batch_is_not_taken_up(run, starts, monkeypatch):
    idle = autoattack.run_standard

    def short_of_gradients(*given: Any, batch_size: int, **named: Any) -> AutoAttackState:
        found = idle(*given, batch_size=batch_size, **named)
        if batch_size > 3:
            raise CUDA
        return found

    monkeypatch.setattr(autoattack, "run_standard", short_of_gradients)
    attacks = evaluated(run)
    first, *smaller = starts
    assert (first, set(smaller)) == ((4, False), {(2, False)})
    sizes = {name: attack["details"]["batch_size"] for name, attack in attacks.items()}
    assert sizes == {"clean": 4, "pgd20": 4, "autoattack": 2}
    flags = [attack["flags"] for attack in attacks.values()]
    assert flags == [[], [], ["batch_halved"]]


def test_a_batch_that_fits_is_neither_halved_nor_flagged(run, room, starts):
    room(4)
    for attack in evaluated(run).values():
        assert (attack["details"]["batch_size"], attack["flags"]) == (4, [])


def test_a_network_that_is_too_large_for_one_image_is_one_sentence(run, room, starts):
    room(0)
    with pytest.raises(BenchError, match="clean: out of memory"):
        evaluated(run)
    assert not (run / "evaluation.json").exists()


def test_other_errors_of_the_network_are_not_tried_again(run, room, starts):
    room(3, RuntimeError("sizes differ"))
    with pytest.raises(RuntimeError, match="sizes differ"):
        evaluated(run)


@pytest.mark.parametrize("error", [CUDA, OLDER])
def test_training_names_its_batch_size_and_writes_nothing(tmp_path, room, error):
    save(some_data(), tmp_path / "data.safetensors")
    room(15, error)
    with pytest.raises(BenchError, match=r"mine: .*training\.batch_size 16"):
        trained(some_spec(), tmp_path)
    assert not (tmp_path / "seed0").exists()


def test_training_that_runs_short_later_keeps_its_epochs(tmp_path, room, monkeypatch):
    save(some_data(), tmp_path / "data.safetensors")
    real = Run.epoch

    def epoch(self: Run, number: int, watch: Any) -> Any:
        if number == 2:
            raise CUDA
        return real(self, number, watch)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "epoch", epoch)
        with pytest.raises(BenchError, match="out of memory"):
            trained(some_spec(), tmp_path)
    assert (tmp_path / "seed0" / "state" / "training.safetensors").is_file()
    trained(some_spec(), tmp_path)
    assert (tmp_path / "seed0" / "train.json").is_file()


def test_other_errors_of_a_training_are_not_taken_for_it(tmp_path, room):
    save(some_data(), tmp_path / "data.safetensors")
    room(3, RuntimeError("sizes differ"))
    with pytest.raises(RuntimeError, match="sizes differ"):
        trained(some_spec(), tmp_path)


def trained(spec: Any, folder: Path) -> None:
    data = folder / "data.safetensors"
    train(spec, experiment="digits", label="mine", data=data, folder=folder / "seed0")

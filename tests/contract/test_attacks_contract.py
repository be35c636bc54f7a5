"""What every registered attack keeps to; a new attack is held to it without another test.

Each promise is a check of its own, and an attack that breaks it is refused.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from brief import brief_autoattack
from synthetic import CPU, EPS
from torch import Tensor, nn

from bench.attacks.base import Attack, SearchResult, Target, create
from bench.attacks.linf import project
from bench.attacks.mode import evaluating
from bench.config.attack_options import attack_names
from bench.config.experiment import Evaluation, EvaluationSpec, RegisteredAttack, Threat
from bench.data.dataset import Images, to_unit
from bench.evaluation import state as states
from bench.evaluation.per_example import correct, evaluate_attack
from bench.evaluation.search import registered_search
from bench.evaluation.state import State
from bench.models.base import build
from bench.runtime.errors import CodeError

COUNT, BATCH = 6, 3
EVERY = pytest.mark.parametrize("name", attack_names())


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"n_iter": 4}
    brief_autoattack(
        monkeypatch,
        apgd=few | {"eot_iter": 2},
        apgd_targeted=few | {"n_target_classes": 2},
        fab={"n_iter": 2, "n_target_classes": 2},
        square={"n_queries": 5},
    )


def some_pixels() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (COUNT, 1, 8, 8), generator=generator, dtype=torch.uint8)


def network(seed: int) -> nn.Module:
    """A network in train mode, but for one batch-norm, that some steps can fool."""
    model = build("small_cnn", classes=10, channels=1, seed=seed, width=4).eval()
    with torch.no_grad():
        model.linear.weight.mul_(50)
        model.linear.bias.sub_(model(to_unit(some_pixels())).mean(dim=0))
    model.train().bn2.eval()
    model.conv1.weight.requires_grad_(False)
    return model


def data(model: nn.Module) -> Images:
    """Images that `model` gets right, but for the last."""
    pixels = some_pixels()
    with evaluating(model), torch.no_grad():
        labels = model(to_unit(pixels)).argmax(dim=1)
    labels[-1] = (labels[-1] + 1) % 10
    return Images(pixels, labels)


@dataclass
class Case:
    """An attack with a network, other networks and images to attack."""

    attack: Attack
    seed: int = 0

    def __post_init__(self) -> None:
        self.model = network(0)
        self.others = {"first": network(1), "second": network(2)}
        self.test = data(self.model)

    @property
    def spec(self) -> EvaluationSpec:
        asked = RegisteredAttack(attack=self.attack.name, seed=self.seed)
        evaluation = Evaluation(batch_size=BATCH, attacks={"label": asked})
        return EvaluationSpec(threat=Threat(eps=EPS), evaluation=evaluation, compute=CPU)

    def search(self, state: State | None = None) -> SearchResult:
        others = self.others if self.attack.other_networks else {}
        search = registered_search(self.attack, "label", self.spec, self.model, others, state)
        return search(self.model, to_unit(self.test.pixels), self.test.labels, False)


def some_attack(name: str) -> Attack:
    options = {"iterations": 2} if name == "apgd_eot" else {}
    options |= {"queries": 5} if name == "autoattack_few_classes" else {}
    return create(name, options)


def check_images(case: Case) -> None:
    found, clean = case.search().images, to_unit(case.test.pixels)
    assert found.shape == clean.shape
    assert not found.requires_grad
    assert (found - clean).abs().max() <= EPS + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def check_network(case: Case) -> None:
    networks = [case.model, *case.others.values()]

    def now() -> list[object]:
        found: list[object] = [random.getstate()]
        for one in networks:
            found += [module.training for module in one.modules()]
            found += [(p.requires_grad, p.grad) for p in one.parameters()]
        return found

    def tensors() -> list[Tensor]:
        weights = [value.clone() for one in networks for value in one.state_dict().values()]
        return [*weights, torch.get_rng_state()]

    before, kept = now(), tensors()
    case.search()
    assert now() == before
    assert all(map(torch.equal, tensors(), kept))


def check_seed(case: Case) -> None:
    first = case.search()
    torch.rand(7)
    again = case.search()
    assert torch.equal(again.images, first.images)
    assert (again.by, again.warnings) == (first.by, first.warnings)


def check_batches(case: Case, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """A search that stops in its second batch goes on to what an undisturbed one finds."""
    whole, attack = case.search(), case.attack
    patch.setattr(states, "EVERY", 0.0)
    state, calls = State(folder, folder / "kept", "identity"), itertools.count()
    original = type(attack).search

    def stopping(self: Attack, target: Target) -> Tensor | SearchResult:
        if next(calls) == 1:
            raise KeyboardInterrupt
        return original(self, target)

    patch.setattr(type(attack), "search", stopping)
    with pytest.raises(KeyboardInterrupt):
        case.search(state)
    torch.rand(7)
    resumed = case.search(state)
    assert next(calls) == 3, "the first batch was made again"
    assert torch.equal(resumed.images, whole.images)
    assert resumed.by == whole.by


def check_broken(case: Case) -> None:
    """What a search says it broke, the network gets wrong."""
    found = case.search()
    right = correct(case.model, found.images, case.test.labels, BATCH).tolist()
    assert all(by == "" or not kept for by, kept in zip(found.by, right, strict=True))


CHECKS: dict[str, Callable[[Case], None]] = {
    "images": check_images,
    "network": check_network,
    "seed": check_seed,
    "broken": check_broken,
}


@EVERY
@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_to_what_every_attack_promises(name, check):
    CHECKS[check](Case(some_attack(name)))


@EVERY
def test_it_resumes_after_the_batches_that_are_kept(name, tmp_path, monkeypatch):
    check_batches(Case(some_attack(name)), tmp_path, monkeypatch)


@EVERY
def test_an_image_is_broken_where_the_network_itself_is_wrong_on_what_was_found(name):
    case = Case(some_attack(name))
    results = evaluate_attack(case.model, case.test, "label", case.spec, None, case.others)
    right = correct(case.model, case.search().images, case.test.labels, BATCH)
    assert torch.equal(results.robust, results.clean & right)
    assert not results.clean[-1]
    assert results.details["about"]


@pytest.mark.parametrize("name", ["apgd_eot", "autoattack_few_classes", "transfer_pgd"])
def test_another_seed_begins_elsewhere(name):
    first, second = (Case(some_attack(name), seed=seed).search().images for seed in (0, 1))
    assert not torch.equal(first, second)


@dataclass(frozen=True, kw_only=True)
class Bad(Attack):
    name: ClassVar[str] = "bad"
    calls: ClassVar[itertools.count[int]] = itertools.count()

    def search(self, target: Target) -> Tensor | SearchResult:
        return target.images


class Far(Bad):
    def search(self, target: Target) -> Tensor:
        return (target.images + 2 * EPS).clamp(max=1)


class OutOfRange(Bad):
    def search(self, target: Target) -> Tensor:
        return target.images + EPS


class NotANumber(Bad):
    def search(self, target: Target) -> Tensor:
        return target.images * torch.nan


class OneImage(Bad):
    def search(self, target: Target) -> Tensor:
        return target.images[:1]


class Nothing(Bad):
    def search(self, target: Target) -> Tensor:
        return None  # type: ignore[return-value]


class Trains(Bad):
    """Leaves other weights, as one does that trains the network."""

    def search(self, target: Target) -> Tensor:
        target.network.linear.weight.data += 1
        return target.images


class Unseeded(Bad):
    def search(self, target: Target) -> Tensor:
        noise = torch.rand(target.images.shape, generator=torch.Generator().manual_seed(9))
        noise = noise.roll(next(self.calls) % 7)
        return project(target.images + EPS * (noise - 0.5), target.images, EPS)


class Fails(Bad):
    def search(self, target: Target) -> Tensor:
        raise ZeroDivisionError


class Boasts(Bad):
    def search(self, target: Target) -> SearchResult:
        return SearchResult(images=target.images, by=["me"] * len(target.images))


@pytest.mark.parametrize(
    ("bad", "check", "refusal"),
    [
        (Far, "images", CodeError),
        (OutOfRange, "images", CodeError),
        (NotANumber, "images", CodeError),
        (OneImage, "images", CodeError),
        (Nothing, "images", CodeError),
        (Fails, "images", CodeError),
        (Trains, "network", CodeError),
        (Unseeded, "seed", AssertionError),
        (Boasts, "broken", AssertionError),
    ],
)
def test_an_attack_that_breaks_a_promise_is_refused(bad, check, refusal):
    with pytest.raises(refusal) as caught:
        CHECKS[check](Case(bad()))
    if refusal is CodeError:
        assert str(caught.value).startswith(__file__)


def test_a_batch_that_depends_on_those_before_it_is_refused(tmp_path, monkeypatch):
    with pytest.raises(AssertionError):
        check_batches(Case(Unseeded()), tmp_path, monkeypatch)


class Careless(Bad):
    """Leaves its traces in everything that is put back."""

    def search(self, target: Target) -> Tensor:
        target.network.train().requires_grad_(True)
        torch.manual_seed(3)
        random.seed(3)
        return target.images


def test_mode_flags_and_global_random_state_are_put_back_for_a_careless_attack():
    check_network(Case(Careless()))


def test_what_an_attack_says_it_broke_without_an_adversarial_image_stays_robust():
    case = Case(Boasts())
    search = registered_search(case.attack, "label", case.spec, case.model, {}, None)
    found = search(case.model, to_unit(case.test.pixels), case.test.labels, False)
    assert set(found.by) == {"me"}
    robust = correct(case.model, found.images, case.test.labels, BATCH)
    assert robust.tolist() == [True] * (COUNT - 1) + [False]

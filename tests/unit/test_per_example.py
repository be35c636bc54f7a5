"""ExampleResults on images whose robustness is known on paper, and on how a search is checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from margins import Blocks, pixels
from torch import Tensor, nn

from bench.attacks.pgd import pgd
from bench.config.experiment import Compute, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import Images, to_unit
from bench.evaluation import per_example as module
from bench.evaluation.per_example import ExampleResults, correct, evaluate_attack
from bench.numerics.device import convolutions
from bench.runtime.errors import BenchError

SHAPE = (1, 16, 16)
EPS = 8 / 255
# Images of level 6 fall at this eps, those of level 10 and 20 stand; 3 and 10 are mislabelled.
LABELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
LEVELS = [6, 20, 6, 20, 10, 20, 6, 10, 6, 20, 20, 10]
WRONG = (3, 10)
PGD = Pgd(steps=6, step_size=EPS / 4)
CPU = Compute(device="cpu", threads=1, tf32=False)
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS), evaluation=Evaluation(batch_size=5, pgd={"pgd20": PGD}), compute=CPU
)
TF32 = replace(SPEC, compute=replace(CPU, tf32=True))


class Wavering(Blocks):
    """Blocks whose highest logit is lowered wherever convolutions may use TF32."""

    def __init__(self, *, lowered: float) -> None:
        super().__init__(SHAPE)
        self.lowered = lowered

    def forward(self, images: Tensor) -> Tensor:
        logits_BK = super().forward(images)
        if not torch.backends.cudnn.allow_tf32:
            return logits_BK
        top_B1 = logits_BK.argmax(dim=1, keepdim=True)
        return logits_BK.scatter_add(1, top_B1, torch.full(top_B1.shape, -self.lowered))


@pytest.fixture
def data() -> Images:
    labels = torch.tensor(LABELS)
    for index in WRONG:
        labels[index] = (labels[index] + 5) % 10
    return Images(pixels(LABELS, LEVELS, SHAPE), labels)


def with_pgd(**keys: Any) -> EvaluationSpec:
    attack = replace(PGD, **keys)
    return replace(SPEC, evaluation=replace(SPEC.evaluation, pgd={"pgd20": attack}))


def expected() -> list[str]:
    fate = {6: "pgd20", 10: "", 20: ""}
    return ["clean" if i in WRONG else fate[level] for i, level in enumerate(LEVELS)]


def check(results: ExampleResults) -> None:
    """What holds for every attack."""
    rows = zip(results.clean.tolist(), results.robust.tolist(), results.broken_by, strict=True)
    for clean, robust, broken_by in rows:
        assert clean or not robust
        assert (broken_by == "clean") == (not clean)
        assert (broken_by == "") == robust


def test_clean_results_are_the_argmax_of_the_network(data):
    results = evaluate_attack(Blocks(SHAPE), data, "clean", SPEC)
    logits_NK = Blocks(SHAPE)(to_unit(data.pixels))
    assert torch.equal(results.clean, logits_NK.argmax(dim=1) == data.labels)
    assert results.clean.logical_not().nonzero().flatten().tolist() == list(WRONG)
    assert torch.equal(results.robust, results.clean)
    assert (results.source, results.seed, results.eps) == ("suite", None, 0.0)
    check(results)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_pgd_results_are_what_paper_and_pencil_say(data, batch_size):
    spec = replace(SPEC, evaluation=replace(SPEC.evaluation, batch_size=batch_size))
    results = evaluate_attack(Blocks(SHAPE), data, "pgd20", spec)
    assert results.broken_by == expected()
    check(results)


def test_pgd_results_say_how_they_came_about(data):
    results = evaluate_attack(Blocks(SHAPE), data, "pgd20", with_pgd(seed=3, restarts=2))
    assert (results.source, results.seed, results.eps) == ("suite", 3, EPS)
    assert results.seconds > 0
    assert results.details == {
        "steps": 6,
        "step_size": EPS / 4,
        "restarts": 2,
        "loss": "ce",
        "start": "uniform",
        "batch_size": 5,
        "search_tf32": False,
        "search_engine": "eager",
    }


@pytest.fixture
def searches(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What PGD was called with, call by call."""
    calls: list[dict[str, Any]] = []

    def spy(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Tensor:
        generator: torch.Generator = given["generator"]
        started = generator.get_state().clone()
        moved = pgd(model, images, labels, **given)
        tf32 = torch.backends.cudnn.allow_tf32
        calls.append(given | {"images": images, "moved": moved, "tf32": tf32, "start": started})
        return moved

    monkeypatch.setattr(module, "pgd", spy)
    return calls


def test_pgd_is_run_once_as_configured_and_stays_in_the_ball(data, searches):
    spec = with_pgd(seed=3, restarts=2, loss="margin", step_size=EPS / 3)
    evaluate_attack(Blocks(SHAPE), data, "pgd20", spec)
    assert [len(call["images"]) for call in searches] == [5, 5, 2]
    shown = torch.cat([call["images"] for call in searches])
    assert torch.equal(shown, to_unit(data.pixels))
    for call in searches:
        assert (call["eps"], call["step"], call["steps"]) == (EPS, EPS / 3, 6)
        assert (call["restarts"], call["loss"], call["tf32"]) == (2, "margin", False)
        assert (call["moved"] - call["images"]).abs().max() <= EPS + 1e-6
        assert call["moved"].min() >= 0
        assert call["moved"].max() <= 1


def test_starts_depend_on_the_seed_and_on_the_place_of_the_batch(data, searches):
    for seed in (0, 0, 1):
        evaluate_attack(Blocks(SHAPE), data, "pgd20", with_pgd(seed=seed))
    starts = [call["start"] for call in searches]
    assert all(map(torch.equal, starts[:3], starts[3:6]))
    different = starts[:3] + starts[6:]
    same = [torch.equal(one, other) for one in different for other in different]
    assert sum(same) == len(different)


@pytest.mark.parametrize("count", [1, 7, 12])
def test_a_subset_is_the_first_images_of_the_test_set(data, count):
    results = evaluate_attack(Blocks(SHAPE), data, "pgd20", with_pgd(images=count))
    assert results.broken_by == expected()[:count]
    assert len(results.clean) == len(results.robust) == count


def test_more_images_than_the_test_set_has_are_refused(data):
    with pytest.raises(BenchError, match="13 images"):
        evaluate_attack(Blocks(SHAPE), data, "pgd20", with_pgd(images=13))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda images: (images + 2 * EPS).clamp(0, 1),
        lambda images: (images + EPS + 1e-5).clamp(0, 1),
        lambda images: images - images.max() - 1e-3,
        lambda images: images + float("nan"),
    ],
)
def test_an_image_outside_its_ball_stops_the_evaluation(monkeypatch, data, spoil):
    monkeypatch.setattr(module, "pgd", lambda model, images, labels, **_: spoil(images))
    with pytest.raises(BenchError, match=r"^pgd20: .*left its ball"):
        evaluate_attack(Blocks(SHAPE), data, "pgd20", SPEC)


def test_an_image_outside_the_unit_range_stops_the_evaluation(monkeypatch, data):
    data.pixels[0, 0, 0, 0] = 0
    monkeypatch.setattr(module, "pgd", lambda model, images, labels, **_: images - EPS / 2)
    with pytest.raises(BenchError, match=r"values -0\.0\d* to"):
        evaluate_attack(Blocks(SHAPE), data, "pgd20", SPEC)


def test_what_only_tf32_saw_fall_is_attacked_again_without_it_and_nothing_else_is(data, searches):
    # Under TF32 the margin of every image is smaller by 8 levels, so those of level 10 fall too.
    results = evaluate_attack(Wavering(lowered=8 / 255), data, "pgd20", TF32)
    assert [call["tf32"] for call in searches] == [True, True, True, False]
    again = [index for index, level in enumerate(LEVELS) if level == 10]
    assert torch.equal(searches[-1]["images"], to_unit(data.pixels[again]))
    assert results.broken_by == expected()
    assert results.details["search_tf32"] is True
    check(results)


@pytest.mark.parametrize("lowered", [8 / 255, -1.0])
def test_the_network_itself_has_the_last_word_on_what_a_faster_copy_saw(
    monkeypatch, data, searches, lowered
):
    # The copy sees every margin smaller by 8 levels, or sees every image stand.
    model, copied = Blocks(SHAPE), Wavering(lowered=lowered)
    monkeypatch.setattr(module, "searched", lambda _model, engine: {"folded": copied}[engine])
    fast = replace(SPEC, evaluation=replace(SPEC.evaluation, engine="folded"))
    with convolutions(tf32=True):
        results = evaluate_attack(model, data, "pgd20", replace(fast, compute=TF32.compute))
    again = [index for index, level in enumerate(LEVELS) if level == 10 and lowered > 0]
    assert len(searches) == 3 + (len(again) > 0)
    assert results.broken_by == expected()
    assert results.details["search_engine"] == "folded"
    check(results)


def test_a_faster_copy_finds_what_the_network_itself_would(data):
    fast = replace(SPEC, evaluation=replace(SPEC.evaluation, engine="folded"))
    assert evaluate_attack(Blocks(SHAPE), data, "pgd20", fast).broken_by == expected()


def test_what_the_second_search_finds_counts(monkeypatch, data):
    claimed = {"tf32": 0}

    def search(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Tensor:
        if torch.backends.cudnn.allow_tf32:
            claimed["tf32"] += 1
            return images.clone()
        return pgd(model, images, labels, **given)

    monkeypatch.setattr(module, "pgd", search)
    # Under TF32 nothing is right, so each image was "broken" without having been moved.
    results = evaluate_attack(Wavering(lowered=1.0), data, "pgd20", TF32)
    assert claimed["tf32"] == 3
    assert results.broken_by == expected()
    check(results)


def test_what_tf32_saw_stand_falls_where_float32_says_so(data, searches):
    # Under TF32 every image stands.
    results = evaluate_attack(Wavering(lowered=-1.0), data, "pgd20", TF32)
    assert [call["tf32"] for call in searches] == [True] * 3
    assert results.broken_by == expected()
    check(results)


def test_an_image_that_the_attack_puts_right_stays_wrong(monkeypatch):
    # Labelled as its rival, this image is wrong by 6 levels, which is within the ball.
    shown = Images(pixels([0], [6], SHAPE), torch.tensor([1]))
    right = to_unit(pixels([0], [-1], SHAPE))
    monkeypatch.setattr(module, "pgd", lambda *_, **__: right)
    assert correct(Blocks(SHAPE), right, shown.labels, 1).all()
    results = evaluate_attack(Blocks(SHAPE), shown, "pgd20", SPEC)
    assert results.broken_by == ["clean"]
    check(results)


def test_a_result_is_never_given_under_tf32(data):
    with convolutions(tf32=True):
        right = correct(Wavering(lowered=1.0), to_unit(data.pixels), data.labels, 5)
        clean = evaluate_attack(Wavering(lowered=1.0), data, "clean", TF32).clean
        assert torch.backends.cudnn.allow_tf32
    assert torch.equal(right, clean)
    assert right.sum() == len(LABELS) - len(WRONG)


@pytest.mark.parametrize("name", ["clean", "pgd20"])
@pytest.mark.parametrize("spec", [SPEC, TF32])
def test_the_model_the_backends_and_the_random_state_are_given_back(data, name, spec):
    model = nn.Sequential(Blocks(SHAPE), nn.BatchNorm1d(10), nn.Dropout())
    model[2].eval()
    model[1].bias.requires_grad_(False)
    model[0].linear.weight.grad = torch.ones_like(model[0].linear.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    backends = torch.backends
    flags = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    random = torch.get_rng_state()
    evaluate_attack(model, data, name, spec)
    assert torch.equal(torch.get_rng_state(), random)
    assert (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32) == flags
    assert [part.training for part in model.modules()] == [True, True, True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False]
    assert torch.equal(model[0].linear.weight.grad, torch.ones(10, 256))
    assert model[1].weight.grad is None
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

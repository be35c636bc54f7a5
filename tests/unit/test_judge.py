"""Verdicts on images whose robustness is known on paper, and on how a search is checked."""

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
from bench.evaluation import judge as module
from bench.evaluation.judge import Verdicts, correct, judge
from bench.numerics.device import convolutions
from bench.runtime.errors import BenchError

SHAPE = (1, 16, 16)
EPS = 8 / 255
# Images of level 6 fall at this eps, those of level 10 and 20 stand; 3 and 10 are mislabelled.
LABELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
LEVELS = [6, 20, 6, 20, 10, 20, 6, 10, 6, 20, 20, 10]
WRONG = (3, 10)
PGD = Pgd(steps=6, step=EPS / 4)
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
def judged() -> Images:
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


def check(verdicts: Verdicts) -> None:
    """What holds for every attack."""
    rows = zip(verdicts.clean.tolist(), verdicts.robust.tolist(), verdicts.broken_by, strict=True)
    for clean, robust, broken_by in rows:
        assert clean or not robust
        assert (broken_by == "clean") == (not clean)
        assert (broken_by == "") == robust


def test_clean_verdicts_are_the_argmax_of_the_network(judged):
    verdicts = judge(Blocks(SHAPE), judged, "clean", SPEC)
    logits_NK = Blocks(SHAPE)(to_unit(judged.pixels))
    assert torch.equal(verdicts.clean, logits_NK.argmax(dim=1) == judged.labels)
    assert verdicts.clean.logical_not().nonzero().flatten().tolist() == list(WRONG)
    assert torch.equal(verdicts.robust, verdicts.clean)
    assert (verdicts.source, verdicts.seed, verdicts.eps) == ("suite", None, 0.0)
    check(verdicts)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 100])
def test_pgd_verdicts_are_what_paper_and_pencil_say(judged, batch_size):
    spec = replace(SPEC, evaluation=replace(SPEC.evaluation, batch_size=batch_size))
    verdicts = judge(Blocks(SHAPE), judged, "pgd20", spec)
    assert verdicts.broken_by == expected()
    check(verdicts)


def test_pgd_verdicts_say_how_they_came_about(judged):
    verdicts = judge(Blocks(SHAPE), judged, "pgd20", with_pgd(seed=3, restarts=2))
    assert (verdicts.source, verdicts.seed, verdicts.eps) == ("suite", 3, EPS)
    assert verdicts.seconds > 0
    assert verdicts.details == {
        "steps": 6,
        "step": EPS / 4,
        "restarts": 2,
        "loss": "ce",
        "start": "uniform",
        "batch_size": 5,
        "shards": 1,
        "search_tf32": False,
        "search_engine": "plain",
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


def test_pgd_is_run_once_as_configured_and_stays_in_the_ball(judged, searches):
    spec = with_pgd(seed=3, restarts=2, loss="margin", step=EPS / 3)
    judge(Blocks(SHAPE), judged, "pgd20", spec)
    assert [len(call["images"]) for call in searches] == [5, 5, 2]
    shown = torch.cat([call["images"] for call in searches])
    assert torch.equal(shown, to_unit(judged.pixels))
    for call in searches:
        assert (call["eps"], call["step"], call["steps"]) == (EPS, EPS / 3, 6)
        assert (call["restarts"], call["loss"], call["tf32"]) == (2, "margin", False)
        assert (call["moved"] - call["images"]).abs().max() <= EPS + 1e-6
        assert call["moved"].min() >= 0
        assert call["moved"].max() <= 1


def test_starts_depend_on_the_seed_and_on_the_place_of_the_batch(judged, searches):
    for seed in (0, 0, 1):
        judge(Blocks(SHAPE), judged, "pgd20", with_pgd(seed=seed))
    starts = [call["start"] for call in searches]
    assert all(map(torch.equal, starts[:3], starts[3:6]))
    different = starts[:3] + starts[6:]
    same = [torch.equal(one, other) for one in different for other in different]
    assert sum(same) == len(different)


@pytest.mark.parametrize("count", [1, 7, 12])
def test_a_subset_is_the_first_images_of_the_test_set(judged, count):
    verdicts = judge(Blocks(SHAPE), judged, "pgd20", with_pgd(images=count))
    assert verdicts.broken_by == expected()[:count]
    assert len(verdicts.clean) == len(verdicts.robust) == count


def test_more_images_than_the_test_set_has_are_refused(judged):
    with pytest.raises(BenchError, match=r"13 images are asked for and the test set has 12; lower"):
        judge(Blocks(SHAPE), judged, "pgd20", with_pgd(images=13))


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda images: (images + 2 * EPS).clamp(0, 1), "left its ball"),
        (lambda images: (images + EPS + 1e-5).clamp(0, 1), "left its ball"),
        (lambda images: images - images.max() - 1e-3, "left its ball"),
        (lambda images: images + float("nan"), "left its ball"),
    ],
)
def test_an_image_outside_its_ball_stops_the_evaluation(monkeypatch, judged, spoil, what):
    monkeypatch.setattr(module, "pgd", lambda model, images, labels, **_: spoil(images))
    with pytest.raises(BenchError, match=rf"^pgd20: .*{what} .* no verdict was written; .* again"):
        judge(Blocks(SHAPE), judged, "pgd20", SPEC)


def test_an_image_outside_the_unit_range_stops_the_evaluation(monkeypatch, judged):
    judged.pixels[0, 0, 0, 0] = 0
    monkeypatch.setattr(module, "pgd", lambda model, images, labels, **_: images - EPS / 2)
    with pytest.raises(BenchError, match=r"values -0\.0\d* to"):
        judge(Blocks(SHAPE), judged, "pgd20", SPEC)


def test_what_only_tf32_saw_fall_is_attacked_again_without_it_and_nothing_else_is(judged, searches):
    # Under TF32 the margin of every image is smaller by 8 levels, so those of level 10 fall too.
    verdicts = judge(Wavering(lowered=8 / 255), judged, "pgd20", TF32)
    assert [call["tf32"] for call in searches] == [True, True, True, False]
    again = [index for index, level in enumerate(LEVELS) if level == 10]
    assert torch.equal(searches[-1]["images"], to_unit(judged.pixels[again]))
    assert verdicts.broken_by == expected()
    assert verdicts.details["search_tf32"] is True
    check(verdicts)


@pytest.mark.parametrize("lowered", [8 / 255, -1.0])
def test_the_network_itself_has_the_last_word_on_what_a_faster_copy_saw(
    monkeypatch, judged, searches, lowered
):
    # The copy sees every margin smaller by 8 levels, or sees every image stand.
    model, copied = Blocks(SHAPE), Wavering(lowered=lowered)
    monkeypatch.setattr(module, "searched", lambda _model, engine: {"fast": copied}[engine])
    fast = replace(SPEC, evaluation=replace(SPEC.evaluation, engine="fast"))
    with convolutions(tf32=True):
        verdicts = judge(model, judged, "pgd20", replace(fast, compute=TF32.compute))
    again = [index for index, level in enumerate(LEVELS) if level == 10 and lowered > 0]
    assert len(searches) == 3 + (len(again) > 0)
    assert verdicts.broken_by == expected()
    assert verdicts.details["search_engine"] == "fast"
    check(verdicts)


def test_a_faster_copy_finds_what_the_network_itself_would(judged):
    fast = replace(SPEC, evaluation=replace(SPEC.evaluation, engine="fast"))
    assert judge(Blocks(SHAPE), judged, "pgd20", fast).broken_by == expected()


def test_what_the_second_search_finds_counts(monkeypatch, judged):
    claimed = {"tf32": 0}

    def search(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Tensor:
        if torch.backends.cudnn.allow_tf32:
            claimed["tf32"] += 1
            return images.clone()
        return pgd(model, images, labels, **given)

    monkeypatch.setattr(module, "pgd", search)
    # Under TF32 nothing is right, so each image was "broken" without having been moved.
    verdicts = judge(Wavering(lowered=1.0), judged, "pgd20", TF32)
    assert claimed["tf32"] == 3
    assert verdicts.broken_by == expected()
    check(verdicts)


def test_what_tf32_saw_stand_falls_where_float32_says_so(judged, searches):
    # Under TF32 every image stands.
    verdicts = judge(Wavering(lowered=-1.0), judged, "pgd20", TF32)
    assert [call["tf32"] for call in searches] == [True] * 3
    assert verdicts.broken_by == expected()
    check(verdicts)


def test_an_image_that_the_attack_puts_right_stays_wrong(monkeypatch):
    # Labelled as its rival, this image is wrong by 6 levels, which is within the ball.
    shown = Images(pixels([0], [6], SHAPE), torch.tensor([1]))
    right = to_unit(pixels([0], [-1], SHAPE))
    monkeypatch.setattr(module, "pgd", lambda *_, **__: right)
    assert correct(Blocks(SHAPE), right, shown.labels, 1).all()
    verdicts = judge(Blocks(SHAPE), shown, "pgd20", SPEC)
    assert verdicts.broken_by == ["clean"]
    check(verdicts)


def test_a_verdict_is_never_given_under_tf32(judged):
    with convolutions(tf32=True):
        right = correct(Wavering(lowered=1.0), to_unit(judged.pixels), judged.labels, 5)
        clean = judge(Wavering(lowered=1.0), judged, "clean", TF32).clean
        assert torch.backends.cudnn.allow_tf32
    assert torch.equal(right, clean)
    assert right.sum() == len(LABELS) - len(WRONG)


@pytest.mark.parametrize("name", ["clean", "pgd20"])
@pytest.mark.parametrize("spec", [SPEC, TF32])
def test_the_model_the_backends_and_the_random_state_are_given_back(judged, name, spec):
    model = nn.Sequential(Blocks(SHAPE), nn.BatchNorm1d(10), nn.Dropout())
    model[2].eval()
    model[1].bias.requires_grad_(False)
    model[0].linear.weight.grad = torch.ones_like(model[0].linear.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    backends = torch.backends
    flags = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    random = torch.get_rng_state()
    judge(model, judged, name, spec)
    assert torch.equal(torch.get_rng_state(), random)
    assert (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32) == flags
    assert [part.training for part in model.modules()] == [True, True, True, True, False]
    assert [p.requires_grad for p in model.parameters()] == [True, True, False]
    assert torch.equal(model[0].linear.weight.grad, torch.ones(10, 256))
    assert model[1].weight.grad is None
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

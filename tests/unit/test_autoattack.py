from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from brief import brief_autoattack
from margins import Blocks, pixels
from torch import Tensor, nn

from bench.attacks.autoattack import (
    STANDARD,
    AutoAttackState,
    remarks_on_square,
    require_classes,
    run_standard,
)
from bench.models.base import build
from bench.runtime.errors import BenchError, ConfigError

SHAPE = (1, 16, 16)
EPS = 8 / 255
# Cross-entropy has no gradient on this model, so what can be broken falls to apgd-t instead.
STEEP = 1e4
LABELS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
LEVELS = [6, 20, 6, 20, 6, 20, 6, 20, 6, 20, 20, 20]
WRONG = (3, 10)
ALL = {"eps": EPS, "seed": 0, "batch_size": 4, "device": "cpu"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The installed package with fewer steps; the adapter and the test both call this one."""
    few, targets = {"n_iter": 5}, {"n_target_classes": 2}
    return brief_autoattack(
        monkeypatch,
        apgd=few,
        apgd_targeted=few | targets,
        fab={"n_iter": 2} | targets,
        square={"n_queries": 30},
    )


@pytest.fixture
def model() -> nn.Module:
    return Blocks(SHAPE, scale=STEEP)


@pytest.fixture
def labelled() -> tuple[Tensor, Tensor]:
    labels = torch.tensor(LABELS)
    images = pixels(LABELS, LEVELS, SHAPE).float() / 255
    for index in WRONG:
        labels[index] = (labels[index] + 5) % 10
    return images, labels


def same(one: AutoAttackState, other: AutoAttackState) -> bool:
    tensors = ("adversarial", "clean", "robust")
    plain = ("broken_by", "left", "warnings")
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in tensors) and all(
        getattr(one, name) == getattr(other, name) for name in plain
    )


@pytest.mark.parametrize("seed", [0, 3])
def test_components_in_turn_give_what_the_package_gives_in_one_go(quick, model, labelled, seed):
    images, labels = labelled
    whole = quick(model, norm="Linf", eps=EPS, seed=seed, verbose=False, device="cpu")
    expected, predicted = whole.run_standard_evaluation(images, labels, bs=4, return_labels=True)

    result = run_standard(model, images, labels, **{**ALL, "seed": seed})

    assert torch.equal(result.adversarial, expected)
    assert torch.equal(result.robust, predicted == labels)


def test_another_seed_finds_other_images(quick):
    network = build("small_cnn", classes=10, channels=1, seed=0, width=4).eval()
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # Apart enough that single images are broken.
        network.linear.weight.mul_(50)
        network.linear.bias.sub_(network(images).mean(dim=0))
        labels = network(images).argmax(dim=1)
    asked = {**ALL, "eps": 0.1, "components": ("apgd-ce",)}
    found = [
        run_standard(network, images, labels, **{**asked, "seed": seed}).adversarial
        for seed in (0, 1, 0)
    ]
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_every_image_is_broken_by_the_component_that_can(quick, model, labelled):
    told: list[tuple[str, int, int]] = []
    result = run_standard(model, *labelled, **ALL, progress=lambda *now: told.append(now))

    fate = {6: "apgd-t", 20: ""}
    expected = [fate[level] for level in LEVELS]
    for index in WRONG:
        expected[index] = "clean"
    assert result.broken_by == expected
    assert result.left == {"apgd-ce": 10, "apgd-t": 5, "fab-t": 5, "square": 5}
    assert told == [(component, left, 12) for component, left in result.left.items()]
    assert result.clean.tolist() == [name != "clean" for name in expected]
    assert result.robust.tolist() == [name == "" for name in expected]


def test_adversarial_images_are_wrong_near_and_in_range_and_the_others_untouched(
    quick, model, labelled
):
    images, labels = labelled
    result = run_standard(model, images, labels, **ALL)

    moved = (result.adversarial - images).abs().flatten(1).amax(dim=1)
    broken = result.clean & ~result.robust
    assert (moved <= EPS + 1e-6).all()
    assert result.adversarial.min() >= 0
    assert result.adversarial.max() <= 1
    assert torch.equal(moved > 0, broken)
    assert (model(result.adversarial).argmax(dim=1) != labels)[broken].all()


def test_going_on_after_any_batch_gives_the_uninterrupted_result(quick, model, labelled):
    reported: list[AutoAttackState] = []
    whole = run_standard(model, *labelled, **ALL, report=reported.append)
    # Batches of 4: 10 images are left for apgd-ce and apgd-t, 5 for the other two.
    ran = [len(result.left) for result in reported]
    assert ran == [0, 0, 0, 1, 1, 1, 2, 2, 3, 3]

    for result in [*reported, whole]:
        assert same(run_standard(model, *labelled, **ALL, start=result), whole)


def test_a_result_of_other_images_or_components_is_not_gone_on_from(quick, model, labelled):
    images, labels = labelled
    one = run_standard(model, images, labels, **ALL, components=["apgd-ce"])
    with pytest.raises(BenchError, match="12 images"):
        run_standard(model, images[:5], labels[:5], **ALL, start=one)
    with pytest.raises(BenchError, match="apgd-t, apgd-ce"):
        run_standard(model, images, labels, **ALL, components=["apgd-t", "apgd-ce"], start=one)


def test_nothing_left_to_attack_is_not_an_error(quick, model, labelled):
    images, labels = labelled
    result = run_standard(model, images, (labels + 4) % 10, **ALL)
    assert result.broken_by == ["clean"] * 12
    assert result.left == dict.fromkeys(STANDARD, 0)
    assert torch.equal(result.adversarial, images)


@pytest.mark.parametrize("fails", [False, True])
def test_model_and_random_state_are_given_back_as_they_were(quick, labelled, fails):
    model = nn.Sequential(Blocks(SHAPE, scale=STEEP), nn.BatchNorm1d(10), nn.Dropout())
    model[2].eval()
    model[1].bias.requires_grad_(False)
    model[0].linear.weight.grad = torch.ones_like(model[0].linear.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            run_standard(model, *labelled, **ALL, progress=stop)
    else:
        run_standard(model, *labelled, **ALL)

    assert torch.equal(torch.rand(3), expected)
    assert [module.training for module in model.modules()] == [True, True, True, True, False]
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, True, False]
    assert torch.equal(model[0].linear.weight.grad, torch.ones(10, 256))
    assert model[1].weight.grad is None
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_probability_in_place_of_logits_is_remarked_once(quick, labelled):
    model = nn.Sequential(Blocks(SHAPE), nn.Softmax(dim=1))
    result = run_standard(model, *labelled, **ALL)
    remarks = [text for text in result.warnings if "probability distribution" in text]
    assert len(remarks) == 1


def test_square_beating_the_gradient_attacks_is_remarked(quick, model):
    labels = torch.arange(8)
    images = pixels(labels.tolist(), [3] * 8, SHAPE).float() / 255
    result = run_standard(model, images, labels, **ALL, components=["apgd-ce", "square"])
    assert result.left["apgd-ce"] == 8
    assert result.left["square"] < 8
    assert result.warnings == ()
    (remark,) = remarks_on_square({"clean": 8, **result.left}, 8)
    assert "Square Attack has decreased" in remark
    # The package's threshold is 0.2 % of all images.
    assert remarks_on_square({"clean": 600, "apgd-ce": 400, "square": 399}, 600) == []
    assert remarks_on_square({"clean": 400, "apgd-ce": 400, "square": 399}, 400) != []


def test_targeted_components_need_ten_classes(quick):
    labels = [0, 1, 2]
    model = Blocks(SHAPE, scale=STEEP, classes=3)
    images = pixels(labels, [20] * 3, SHAPE, classes=3).float() / 255
    with pytest.raises(ConfigError, match=r"has 3.*evaluation\.autoattack"):
        run_standard(model, images, torch.tensor(labels), **ALL)
    result = run_standard(
        model, images, torch.tensor(labels), **ALL, components=["apgd-ce", "square"]
    )
    assert result.left == {"apgd-ce": 3, "square": 3}


def test_ten_classes_are_enough():
    require_classes(10)
    require_classes(2, ["apgd-ce"])
    with pytest.raises(ConfigError, match="has 9"):
        require_classes(9)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"version": "plus"}, "'plus'"),
        ({"components": ["apgd"]}, "'apgd'"),
        ({"components": []}, "each once"),
        ({"components": ["square", "square"]}, "each once"),
    ],
)
def test_unknown_requests_are_refused(model, labelled, request_, message):
    with pytest.raises(ConfigError, match=message):
        run_standard(model, *labelled, **ALL, **request_)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_images_outside_the_unit_range_are_refused(model, labelled, bad):
    images, labels = labelled
    images[2, 0, 3, 3] = bad
    with pytest.raises(ValueError, match=r"float32 in \[0, 1\]"):
        run_standard(model, images, labels, **ALL)


def test_square_asks_no_more_often_than_it_is_allowed_to():
    class Asked(Blocks):
        times = 0

        def forward(self, images: Tensor) -> Tensor:
            self.times += 1
            return super().forward(images)

    asked = {}
    for queries in (5, 9):
        model = Asked(SHAPE)
        images = pixels([0], [100], SHAPE).float() / 255
        result = run_standard(
            model,
            images,
            torch.tensor([0]),
            eps=1 / 255,
            seed=0,
            batch_size=1,
            device="cpu",
            components=("square",),
            queries=queries,
        )
        assert result.robust.all()
        asked[queries] = model.times
    assert asked[9] - asked[5] == 4

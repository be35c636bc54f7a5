"""How AutoAttack's findings become results; what it finds is scripted, but for one real run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from margins import Blocks, pixels
from test_per_example import CPU, EPS, SHAPE
from test_per_example import check as consistent
from torch import Tensor, nn

from bench.attacks.autoattack import STANDARD, AutoAttackState, source
from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Threat
from bench.data.dataset import Images, to_unit
from bench.evaluation import per_example as module
from bench.evaluation.per_example import ExampleResults, Part, evaluate_attack
from bench.evaluation.state import State
from bench.runtime.errors import BenchError

LEVELS = [6, 20, 6, 20, 6, 20, 6, 20, 6, 20]
WRONG = 3
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(batch_size=10, autoattack=AutoAttack(seed=7)),
    compute=CPU,
)
TF32 = replace(SPEC, compute=replace(CPU, tf32=True))
TRUTH = ["apgd-ce", "", "apgd-t", "clean", "square", "", "fab-t", "", "apgd-ce", ""]
Call = dict[str, Any]
Answer = Callable[[Call], list[str]]


@pytest.fixture
def data() -> Images:
    labels = torch.arange(10)
    labels[WRONG] = 0
    return Images(pixels(range(10), LEVELS, SHAPE), labels)


def under(spec: EvaluationSpec = SPEC, *, size: int = 10, **attack: Any) -> EvaluationSpec:
    chosen = replace(spec.evaluation.autoattack, **attack)
    return replace(spec, evaluation=replace(spec.evaluation, batch_size=size, autoattack=chosen))


def moved(images: Tensor, labels: Tensor, broken_by: list[str]) -> Tensor:
    """Return the images, those that an attack broke moved to where they fall if they can."""
    found = images.clone().flatten(1)
    for row, label, name in zip(found, labels.tolist(), broken_by, strict=True):
        if name in STANDARD:
            rival, block = (label + 1) % 10, 25
            row[label * block : (label + 1) * block] -= EPS
            row[rival * block : (rival + 1) * block] += EPS
    return found.reshape(images.shape).clamp(0, 1)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Call]]:
    """Let AutoAttack say what `answer` says of the images and move them; record the calls."""

    def script(answer: Answer, move: Callable[..., Tensor] = moved) -> list[Call]:
        calls: list[Call] = []

        def fake(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> Any:
            tf32 = torch.backends.cudnn.allow_tf32
            call = given | {"images": images, "labels": labels, "tf32": tf32}
            calls.append(call)
            broken_by = answer(call)
            given["progress"]("square", broken_by.count(""), len(images))
            return AutoAttackState(
                adversarial=move(images, labels, broken_by),
                clean=torch.tensor([name != "clean" for name in broken_by]),
                robust=torch.tensor([name == "" for name in broken_by]),
                broken_by=broken_by,
                warnings=("a remark", f"a remark on {len(images)} images"),
            )

        monkeypatch.setattr(module.autoattack, "run_standard", fake)
        return calls

    return script


def truth(call: Call) -> list[str]:
    """Say of each image what TRUTH says, by its pixels."""
    all_images = to_unit(pixels(range(10), LEVELS, SHAPE))
    places = [
        int((all_images == image).flatten(1).all(dim=1).nonzero()) for image in call["images"]
    ]
    return [TRUTH[place] for place in places]


def check(results: ExampleResults) -> None:
    consistent(results)
    left = results.details["components"]
    assert list(left) == list(STANDARD)
    assert list(left.values()) == sorted(left.values(), reverse=True)
    assert left["square"] == int(results.robust.sum())


def test_results_name_the_component_and_count_what_is_left_after_each(scripted, data):
    calls = scripted(truth)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", SPEC)
    assert results.broken_by == TRUTH
    *remarks, on_square = results.details.pop("warnings")
    assert remarks == ["a remark", "a remark on 10 images"]
    assert "Square Attack has decreased the robust accuracy of 10.00%" in on_square
    assert results.details == {
        "version": "standard",
        "batch_size": 10,
        "search_tf32": False,
        "search_engine": "eager",
        "components": {"apgd-ce": 7, "apgd-t": 6, "fab-t": 5, "square": 4},
    }
    assert (results.source, results.seed, results.eps) == (source(), 7, EPS)
    (call,) = calls
    asked = {key: call[key] for key in ("eps", "seed", "batch_size", "version", "tf32")}
    assert asked == {
        "eps": EPS,
        "seed": 7,
        "batch_size": 10,
        "version": "standard",
        "tf32": False,
    }
    assert torch.equal(call["images"], to_unit(data.pixels))
    check(results)


@pytest.mark.parametrize(("size", "sizes"), [(5, [5, 5]), (4, [4, 4, 2]), (1, [1] * 10)])
def test_units_cover_every_image_once_each_with_a_seed_of_its_own(scripted, data, size, sizes):
    calls = scripted(truth)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", under(size=size))
    assert [len(call["images"]) for call in calls] == sizes
    assert torch.equal(torch.cat([call["images"] for call in calls]), to_unit(data.pixels))
    assert torch.equal(torch.cat([call["labels"] for call in calls]), data.labels)
    assert [call["seed"] for call in calls] == [7 + unit for unit in range(len(sizes))]
    assert results.broken_by == TRUTH
    assert results.details["warnings"].count("a remark") == 1
    check(results)


@pytest.mark.parametrize(("spec", "size"), [(SPEC, 10), (SPEC, 4), (SPEC, 1), (TF32, 10)])
def test_square_is_remarked_on_once_by_its_share_of_all_images(scripted, data, spec, size):
    scripted(unsound if spec is TF32 else truth)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", under(spec, size=size))
    (remark,) = (text for text in results.details["warnings"] if "Square" in text)
    assert "decreased the robust accuracy of 10.00%" in remark


@pytest.mark.parametrize("of", [1, 2, 7])
def test_parts_make_the_units_that_one_job_makes(scripted, data, of, tmp_path):
    calls = scripted(truth)
    whole = evaluate_attack(Blocks(SHAPE), data, "autoattack", under(size=3))
    calls.clear()
    state = State(tmp_path / "state", tmp_path / "cache" / "autoattack.json", "these")
    for number in reversed(range(of)):
        given = (Blocks(SHAPE), data, "autoattack", under(size=3), state, None)
        evaluate_attack(*given, Part(number, of))
    made = len(calls)
    joined = evaluate_attack(Blocks(SHAPE), data, "autoattack", under(size=3), state)
    assert (made, len(calls)) == (4, 4)
    assert joined.broken_by == whole.broken_by
    assert torch.equal(joined.robust, whole.robust)
    assert joined.details == whole.details


def test_a_subset_is_the_first_images_and_no_more_than_there_are(scripted, data):
    calls = scripted(truth)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", under(images=6))
    assert results.broken_by == TRUTH[:6]
    with pytest.raises(BenchError, match="11 images"):
        evaluate_attack(Blocks(SHAPE), data, "autoattack", under(images=11))
    assert len(calls) == 1


def unsound(call: Call) -> list[str]:
    """Under TF32, say of three images that stand that they fell or were wrong to begin with."""
    said = truth(call)
    if call["tf32"]:
        said[1], said[5], said[7] = "square", "fab-t", "clean"
    return said


def test_a_claim_that_float32_does_not_bear_out_is_searched_again_without_tf32(scripted, data):
    calls = scripted(unsound)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", TF32)
    assert [call["tf32"] for call in calls] == [True, False]
    assert torch.equal(calls[1]["images"], to_unit(data.pixels[[1, 5, 7]]))
    assert results.broken_by == TRUTH
    assert results.details["search_tf32"] is True
    check(results)


def test_without_tf32_nothing_is_searched_twice(scripted, data):
    calls = scripted(truth)
    evaluate_attack(Blocks(SHAPE), data, "autoattack", SPEC)
    evaluate_attack(Blocks(SHAPE), data, "autoattack", TF32)
    assert [call["tf32"] for call in calls] == [False, True]


def test_what_the_second_search_breaks_is_put_down_to_its_component(scripted, data):
    def answer(call: Call) -> list[str]:
        said = truth(call)
        return said if call["tf32"] else ["square" if name else "" for name in said]

    def only_in_float32(images: Tensor, labels: Tensor, broken_by: list[str]) -> Tensor:
        tf32 = torch.backends.cudnn.allow_tf32
        return images.clone() if tf32 else moved(images, labels, broken_by)

    calls = scripted(answer, only_in_float32)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", TF32)
    assert torch.equal(calls[1]["images"], to_unit(data.pixels[::2]))
    assert results.broken_by == [name if name in ("", "clean") else "square" for name in TRUTH]
    check(results)


def test_an_image_that_only_the_second_search_misclassifies_stands(scripted, data):
    scripted(lambda call: unsound(call) if call["tf32"] else ["clean"] * len(call["images"]))
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", TF32)
    assert results.broken_by == TRUTH
    check(results)


def test_what_falls_without_a_component_saying_so_is_put_down_to_the_whole(scripted, data):
    def every(images: Tensor, labels: Tensor, broken_by: list[str]) -> Tensor:
        return moved(images, labels, ["square"] * len(images))

    scripted(lambda call: ["", *truth(call)[1:]], every)
    results = evaluate_attack(Blocks(SHAPE), data, "autoattack", SPEC)
    assert results.broken_by == ["autoattack", *TRUTH[1:]]
    check(results)


def test_an_image_outside_its_ball_stops_the_evaluation(scripted, data):
    scripted(truth, lambda images, *_: (images + 2 * EPS).clamp(0, 1))
    with pytest.raises(BenchError, match="left its ball"):
        evaluate_attack(Blocks(SHAPE), data, "autoattack", SPEC)


def test_progress_is_told_unit_by_unit(scripted, data, capsys):
    scripted(truth)
    evaluate_attack(Blocks(SHAPE), data, "autoattack", under(size=5))
    assert capsys.readouterr().out.splitlines() == [
        "  unit 0: 1 of 5 robust after square",
        "  unit 1: 3 of 5 robust after square",
    ]


def test_the_reference_package_evaluates_a_network_and_gives_it_back():
    # Where every image falls to the first component, the others cost nothing.
    labels = torch.arange(10)
    shown = Images(pixels(labels.tolist(), [6] * 10, SHAPE), labels)
    labels[WRONG] = 0
    model = nn.Sequential(Blocks(SHAPE), nn.BatchNorm1d(10), nn.Dropout())
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    results = evaluate_attack(model, shown, "autoattack", under(TF32, size=5))
    assert results.broken_by == ["clean" if i == WRONG else "apgd-ce" for i in range(10)]
    check(results)
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in model] == [False, True, True]
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

"""The verbs of a step, each alone."""

from __future__ import annotations

import copy

import pytest
import torch
from synthetic import METHODS, some_data, some_spec
from torch.nn.functional import cross_entropy

from bench.training.passes import untrained
from bench.training.run import Run
from bench.training.step import TrainingStep

ENGINES = pytest.mark.parametrize("engine", ["eager", "folded"])


def begun(
    method: str = "trades",
    *,
    epoch: int = 1,
    number: int = 0,
    seed: int = 0,
    engine: str = "eager",
) -> tuple[Run, TrainingStep]:
    spec = some_spec(method, options=METHODS[method], seed=seed, engine=engine)
    run = untrained(spec, some_data(), torch.device("cpu"))
    return run, run.begin(epoch, number, torch.arange(16))


def test_signs_are_drawn_for_each_value_and_step_and_seed():
    signs = begun()[1].random_signs()
    assert set(signs.unique().tolist()) == {-1, 1}
    assert abs(signs.mean()) < 0.1
    assert torch.equal(signs, begun("sat")[1].random_signs())
    for other in ({"epoch": 2}, {"number": 1}, {"seed": 1}):
        assert not torch.equal(signs, begun(**other)[1].random_signs())


def test_a_number_is_drawn_for_each_purpose_and_step_and_seed():
    step = begun()[1]
    drawn = step.random("revision")
    assert 0 <= drawn < 1
    assert step.random("revision") == drawn
    others = [begun(**other)[1] for other in ({"epoch": 2}, {"number": 1}, {"seed": 1})]
    found = [step.random("other"), *(other.random("revision") for other in others)]
    assert len({drawn, *found}) == 5


@ENGINES
def test_the_gradient_of_images_is_that_in_evaluation_mode_and_leaves_no_trace(engine):
    run, step = begun(engine=engine)
    before = copy.deepcopy(run.model.state_dict())
    labels = (step.labels + 1) % 10
    found = step.input_gradient(step.x, labels)
    x = step.x.clone().requires_grad_()
    loss = cross_entropy(copy.deepcopy(run.model).eval()(x), labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad
    assert not step.x.requires_grad
    assert run.model.training
    assert all(weight.grad is None and weight.requires_grad for weight in run.model.parameters())
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@ENGINES
def test_joint_logits_are_those_of_one_pass_split_again(engine):
    run, step = begun(engine=engine)
    few = 1 - step.x[-3:]
    whole = copy.deepcopy(run.model).train()(torch.cat([step.x, few]))
    logits = step.joint_logits(first=step.x, second=few)
    assert list(logits) == ["first", "second"]
    torch.testing.assert_close(logits["first"], whole[:16])
    torch.testing.assert_close(logits["second"], whole[16:])
    assert run.model.get_buffer("bn1.num_batches_tracked") == 1
    assert set(step.images) == {"first", "second"}


def test_gradients_of_weights_can_be_taken_twice_of_one_graph_and_leave_no_grad():
    run, step = begun()
    loss = cross_entropy(step.logits(clean=step.x)["clean"], step.labels)
    first, second = step.weight_gradients(loss), step.weight_gradients(loss)
    assert all(weight.grad is None for weight in run.model.parameters())
    loss.backward()
    for name, weight in run.model.named_parameters():
        assert torch.equal(first[name], weight.grad)
        assert torch.equal(second[name], weight.grad)


def test_a_moved_average_is_a_weighted_mean_of_parameters_and_keeps_its_statistics():
    run, step = begun("cure")
    average = run.networks["revision"]
    with torch.no_grad():
        for weight in run.model.parameters():
            weight.add_(1)
        run.model.bn1.running_mean.add_(1)
    before = copy.deepcopy(average)
    step.move_average("revision", 0.75)
    for name, weight in average.named_parameters():
        torch.testing.assert_close(weight, before.get_parameter(name) + 0.25)
    for name, buffer in average.named_buffers():
        assert torch.equal(buffer, before.get_buffer(name)), name


def test_a_second_course_gets_the_same_images_and_constants_and_other_logits():
    run, step = begun("memloss_hat", epoch=1)
    first = run.method.forward(step)
    images = dict(step.images)
    step.again()
    with torch.no_grad():
        for weight in run.model.parameters():
            weight.mul_(1.1)
    second = run.method.forward(step)
    assert second["teacher"] is first["teacher"]
    assert step.images["adversarial"] is images["adversarial"]
    assert not torch.equal(second["clean"], first["clean"])


def test_a_step_counts_from_the_first_of_the_run():
    run, step = begun(epoch=2, number=1)
    assert (step.epoch, step.count) == (2, run.steps + 2)

from __future__ import annotations

import itertools

import torch
from synthetic import CPU, some_data, some_spec
from torch import nn

from bench.config.experiment import Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.splits import take
from bench.diagnostics.target import EvaluationTarget
from bench.evaluation.per_example import evaluate_attack
from bench.numerics.seeding import stream, stream_seed
from bench.training.run import Run

NAMES = [(), ("order",), ("order", 1), ("order", 2), ("order", 12), ("attack", "uniform", 1, 2)]


def draws(seed: int, *names: str | int) -> list[int]:
    return torch.randint(2**62, (8,), generator=stream(seed, *names)).tolist()


def test_a_stream_starts_again_each_time_and_touches_no_other():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draws(0, "order", 1)
    draws(0, "attack", 1)
    assert draws(0, "order", 1) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_every_seed_and_name_has_its_own_stream():
    found = [draws(seed, *names) for seed, names in itertools.product((0, 1, 2, 12), NAMES)]
    assert len({tuple(numbers) for numbers in found}) == len(found)


def test_neighbouring_names_do_not_run_into_each_other():
    seeds = [stream_seed(0, 1, 23), stream_seed(0, 12, 3), stream_seed(0, 123), stream_seed(1, 23)]
    assert len(set(seeds)) == len(seeds)


def test_seeds_are_these_and_stay_so():
    # Results depend on them: the first 8 bytes of SHA-256 of "0", "0/weights" and so on.
    assert stream_seed(0) == 0x5FECEB66FFC86F38 >> 1
    assert stream_seed(0, "weights") == 0x03B4290604C66D74 >> 1
    assert stream_seed(7, "attack", "uniform", 1, 0) == 0xBA125CCFE74D1ACE >> 1


def test_a_seed_fits_every_generator():
    for seed, names in itertools.product((0, 1, 2**31 - 1), NAMES):
        assert 0 <= stream_seed(seed, *names) < 2**63


def test_the_names_of_all_streams_are_these_and_stay_so(monkeypatch):
    used: set[str] = set()

    def noted(seed: int, *names: str | int) -> int:
        used.add("/".join(map(str, (seed, *names))))
        return stream_seed(seed, *names)

    def names() -> set[str]:
        found = set(used)
        used.clear()
        return found

    for module in ("numerics.seeding", "models.base"):
        monkeypatch.setattr(f"bench.{module}.stream_seed", noted)
    data = take(some_data(60, 30), 44, 20)
    assert names() == {"0/data/subset train", "0/data/subset test"}
    run = Run(some_spec("pgd_at", seed=5), data, torch.device("cpu"))
    # Which images are held out and which weights a seed has, is the same for every method.
    assert names() == {"0/data/validation", "5/weights", "5/probe"}
    run.epoch(1, lambda *_: None)
    steps = {f"5/attack/uniform/1/{step}" for step in (0, 1, 2)}
    assert names() == {"5/order/1", "5/augment/1/crop", "5/augment/1/flip", "5/validation", *steps}
    attack = Pgd(steps=1, step_size=0.1, seed=3)
    evaluation = Evaluation(batch_size=8, pgd={"pgd20": attack})
    spec = EvaluationSpec(threat=Threat(eps=0.1), evaluation=evaluation, compute=CPU)
    evaluate_attack(run.model, data.test, "pgd20", spec)
    assert names() == {"3/pgd/0", "3/pgd/8", "3/pgd/16"}
    images, labels = torch.zeros(20, 1, 8, 8), data.test.labels
    target = EvaluationTarget(
        model=nn.Flatten(), images=images, labels=labels, eps=0.1, steps=1, batch_size=16, seed=9
    )
    assert len(list(target.batches())) == 2
    assert names() == {"9/diagnostics/0", "9/diagnostics/16"}

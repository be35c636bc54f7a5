from __future__ import annotations

import itertools

import torch

from bench.streams import stream, stream_seed

NAMES = [(), ("order",), ("order", 1), ("order", 2), ("order", 12), ("attack", "uniform", 1, 2)]


def draws(seed: int, *names: str | int) -> list[int]:
    return torch.randint(2**62, (8,), generator=stream(seed, *names)).tolist()


def test_a_stream_starts_anew_each_time_and_touches_no_other():
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

"""Diagnostics do as much as the configuration asks for."""

from __future__ import annotations

from dataclasses import replace

from margins import Blocks
from masked import SHAPE, SPEC, some_images

from bench.diagnostics.job import evaluation_target, run_checks


def test_a_network_is_examined_as_the_spec_asks():
    asked = replace(SPEC.diagnostics, steps=5, max_steps=6, restarts=3, square_queries=7, seed=4)
    spec = replace(SPEC, diagnostics=asked, batch_size=3)
    with evaluation_target(Blocks(SHAPE), some_images(), spec) as lent:
        assert (lent.steps, lent.seed, lent.batch_size, lent.eps) == (5, 4, 3, spec.threat.eps)
        drawn, _, _ = run_checks(lent, spec)
    ends = {curve.name: curve.x[-1] for curve in drawn}
    assert {name: ends[name] for name in ("steps", "restarts", "square")} == {
        "steps": 6,
        "restarts": 3,
        "square": 7,
    }

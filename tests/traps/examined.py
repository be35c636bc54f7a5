"""The diagnostics of one network of the trap set."""

from __future__ import annotations

from networks import Case

from bench.config.experiment import Compute, Diagnostics, DiagnosticsSpec, Threat
from bench.diagnostics.cause import cause
from bench.diagnostics.job import Findings, evaluation_target, failed, run_checks

COUNT = 80


def examined(case: Case) -> Findings:
    """Return what the checks find with the settings of config/digits.yaml."""
    spec = DiagnosticsSpec(
        threat=Threat(eps=case.eps),
        diagnostics=Diagnostics(images=COUNT, max_steps=100, restarts=5, square_queries=1000),
        batch_size=300,
        compute=Compute(device="cpu", threads=1, tf32=False),
    )
    with evaluation_target(case.network(), case.images(COUNT), spec) as target:
        return run_checks(target, spec)


def named(found: Findings) -> str:
    """Return the name of the cause."""
    return cause(failed(found.outcomes), found.evidence).partition(":")[0]

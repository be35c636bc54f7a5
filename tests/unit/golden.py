"""The golden values of every method: what a change that moves no number leaves as it is.

``make golden`` writes golden.json again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import METHODS, settings_kept, some_data, some_spec
from torch import Tensor, nn

from bench.config.experiment import Attack, Threat, TrainSpec
from bench.methods.base import create, names, total
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained

# Wide, so that the two directions of a divergence differ by more than a percent.
EPS = 0.3
FILE = Path(__file__).with_name("golden.json")
CLOSE = 1e-9  # relative: formulas in float64
NEAR = 1e-4  # training, whose start noise is drawn in float32 and may differ in its last bits
V1, V2, V3 = ({"variant": v, "beta": 3.0, "memory_beta": 2.0} for v in ("v1", "v2", "v3"))
# The logits of a name are those of its place.
PASSES = ("clean", "adversarial", "memory", "other", "helped", "teacher", "guide")
PASSES += ("revised_clean", "revised_adversarial")
# Every method, and what of one has code of its own.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, METHODS.get(name, {})) for name in names()},
    "memloss": ("memloss", V1),
    "memloss weight F": ("memloss", {**V1, "weight": "F"}),
    "memloss weight none": ("memloss", {**V1, "weight": "none"}),
    "memloss v2": ("memloss", V2),
    "memloss v3": ("memloss", V3),
    "memloss realigned": ("memloss", {**V1, "alignment": "realigned"}),
    "memloss clean_crop": ("memloss", {**V1, "alignment": "clean_crop"}),
    "memloss float32": ("memloss", {**V1, "storage": "float32"}),
    "sat": ("sat", {"variant": "r1"}),
    "sat r2": ("sat", {"variant": "r2"}),
    "sat r3": ("sat", {"variant": "r3"}),
    "cure rgp": ("cure", {"criterion": "rgp"}),
    "cure natural_epochs": ("cure", {"natural_epochs": 1}),
}


def loss_of(case: str) -> dict[str, dict[str, float]]:
    """The terms on fixed logits, and how long their gradient to the logits of each pass is."""
    method = create(*CASES[case])
    every = (*method.passes, *method.teacher_passes)
    known = {name: fixed_logits(place) for name, place in places(every).items()}
    logits = {name: known[name] for name in method.passes}
    constant = {name: known[name].detach() for name in method.teacher_passes}
    terms = method.terms(logits | constant, torch.arange(6) * 3 % 10)
    total(terms).backward()  # type: ignore[no-untyped-call]
    gradients = {name: logits[name].grad for name in logits}
    return {
        "terms": {name: term.item() for name, term in terms.items()},
        "gradients": {name: 0.0 if g is None else g.norm().item() for name, g in gradients.items()},
    }


def places(passes: Iterable[str]) -> dict[str, int]:
    """Where each pass of a method stands; names that no other method has come last."""
    own = [name for name in passes if name not in PASSES]
    return {name: (*PASSES, *own).index(name) for name in passes}


def fixed_logits(place: int) -> Tensor:
    """Logits [6, 10] in float64 that no generator of random numbers decides."""
    values = 3 * (torch.arange(60, dtype=torch.float64) * (0.7 + 0.2 * place)).sin()
    return values.reshape(6, 10).requires_grad_()


def spec_of(case: str) -> TrainSpec:
    """Two epochs of three batches; the plain engine runs the network itself and no copy of it."""
    method, options = CASES[case]
    attack = Attack(steps=2, step_size=EPS / 2)
    spec = some_spec(method, options=options, engine="eager", attack=attack)
    return replace(spec, threat=Threat(eps=EPS))


def training_of(spec: TrainSpec) -> dict[str, Any]:
    """The loss of every step and the terms of every epoch.

    The networks are in float64: in float32 the last bits of the machine decide the sign of a
    gradient now and then, and with it a pixel of an adversarial image.
    """

    def widen(_: nn.Module, images: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (images[0].double(),)

    steps: list[float] = []

    def watch(_: int, metrics: EpochMetrics) -> None:
        steps.append(metrics.latest_loss())

    with settings_kept():
        run = untrained(spec, some_data(), torch.device("cpu"))
        for network in (run.model, *(run.networks[name] for name in run.networks)):
            network.double().register_forward_pre_hook(widen)
        epochs = [run.epoch(number, watch) for number in range(1, spec.training.epochs + 1)]
    return {"steps": steps, "epochs": [epoch.terms for epoch in epochs]}


def flat(values: Any) -> list[tuple[str, float]]:
    """Every number with where it stands."""
    if isinstance(values, dict):
        items = list(values.items())
    elif isinstance(values, list):
        items = [(str(place), value) for place, value in enumerate(values)]
    else:
        return [("", values)]
    return [(f"{key}/{where}", number) for key, value in items for where, number in flat(value)]


def equal(found: Any, golden: Any, relative: float) -> bool:
    return dict(flat(found)) == pytest.approx(dict(flat(golden)), rel=relative, abs=1e-12)


def agree(now: Any, then: Any) -> bool:
    """Whether all values of a case are those that it had, as the tests ask."""
    near = {"loss": CLOSE, "training": NEAR}
    return all(equal(now[part], then[part], relative) for part, relative in near.items())


def main() -> None:
    """Write the values of all cases; those that are near what is there stay as they are."""
    there = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    golden = {}
    for case in CASES:
        now = {"loss": loss_of(case), "training": training_of(spec_of(case))}
        golden[case] = there[case] if case in there and agree(now, there[case]) else now
    FILE.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(f"{len(golden)} cases in {FILE}: `git diff` shows which values moved")


if __name__ == "__main__":
    main()

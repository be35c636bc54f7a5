"""Diagnostics beside the runs of a results folder, as their jobs would leave them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from factory import COMPUTE, ResultsFactory, digest, write_csv, write_json


def write_diagnostics(
    factory: ResultsFactory, method: str = "trades", seed: int = 0, *, failed: Iterable[str] = ()
) -> Path:
    """Write what diagnosing the `best` of a run that is there leaves; return the folder."""
    run = factory.folder / "models" / method / f"seed{seed}"
    place = run / "diagnostics"
    header = ["check", "checkpoint", "x", "accuracy", "n", "loss"]
    points = {
        "eps": [(0, 90), (factory.eps / 2, 70), (factory.eps, 50), (2 * factory.eps, 0)],
        "fgsm": [(0, 90), (factory.eps / 2, 75), (factory.eps, 60), (2 * factory.eps, 30), (1, 10)],
        "steps": [(1, 80), (10, 55), (100, 50)],
        "restarts": [(1, 50), (2, 48)],
        "square": [(1000, 60)],
    }
    rows = [
        [check, "best", x, f"{accuracy - seed:.2f}" if accuracy else "0.00", 10, 1.5]
        for check, curve in points.items()
        for x, accuracy in curve
    ]
    write_csv(place / "curves.csv", header, rows)
    header = ["checkpoint", "index", "label", "along", "aside", "loss", "right"]
    ticks = (-1, 0, 1)
    rows = [
        ["best", image, image, along, aside, 1 + along / 2 + aside / 10, int(along < 1)]
        for image in (0, 1)
        for along in ticks
        for aside in ticks
    ]
    write_csv(place / "surfaces.csv", header, rows)
    names = ("curves", "surfaces")
    record = _shared(factory) | {
        "method": method,
        "seed": seed,
        "sha256": {name: digest((place / f"{name}.csv").read_bytes()) for name in names},
        "checkpoints": {"best": _of_checkpoint(run, ("eps_zero", "steps_rise"), failed)},
    }
    write_json(place / "record.json", record)
    return place


def write_transfer(
    factory: ResultsFactory,
    methods: Sequence[str] = ("trades", "memloss_v1"),
    seed: int = 0,
    weak: str = "",
) -> Path:
    """Write what trying images of each of `methods` on all leaves; return the record's path."""
    path = factory.folder / "transfer" / f"seed{seed}.json"
    header = ["checkpoint", "source", "target", "accuracy", "n"]
    rows = [
        ["best", source, target, "50.00" if source == target else "70.00", 10]
        for target in methods
        for source in methods
    ]
    write_csv(path.with_suffix(".csv"), header, rows)
    networks = {
        method: _of_checkpoint(
            factory.folder / "models" / method / f"seed{seed}",
            ("transfer_stronger",),
            ("transfer_stronger",) if method == weak else (),
        )
        for method in methods
    }
    table = digest(path.with_suffix(".csv").read_bytes())
    for network in networks.values():
        del network["departure_quartiles_nats"]
    record = {
        "methods": list(methods),
        "seed": seed,
        "sha256": table,
        "checkpoints": {"best": networks},
    }
    write_json(path, _shared(factory) | record)
    return path


def _shared(factory: ResultsFactory) -> dict[str, Any]:
    spec = {
        "threat": {"norm": "Linf", "eps": factory.eps},
        "diagnostics": {"images": 10},
        "batch_size": 20,
        "compute": COMPUTE,
    }
    return {
        "experiment": factory.experiment,
        "spec": spec,
        "code_digest": digest("diagnostics code"),
        "data": {"name": factory.dataset, "fingerprint": digest(factory.dataset)},
        "device": "cpu",
        "threads": 1,
        "packages": {},
        "seconds": 4.5,
        "peak_memory_mb": None,
    }


def _of_checkpoint(run: Path, checks: Iterable[str], failed: Iterable[str]) -> dict[str, Any]:
    failed = set(failed)
    outcome = {"value": 0.5, "threshold": 1.0, "chance": 0.5, "n": 10}
    return {
        "weights_sha256": digest((run / "best.safetensors").read_bytes()),
        "departure_quartiles_nats": [0.1, 0.2, 0.3],
        "checks": {
            check: {**outcome, "passed": check not in failed} for check in {*checks, *failed}
        },
    }

"""What a config will run, what of it is there already, and what the rest will take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.claims import claim_files
from bench.config.experiment import Experiment, Method
from bench.planning.costs import (
    Rates,
    diagnostics_seconds,
    evaluation_seconds,
    recorded_rates,
    training_seconds,
    without_rate,
)
from bench.planning.sizes import Size, check_sizes, disk_bytes
from bench.planning.text import amount, hours, table
from bench.results.staleness import Staleness
from bench.runtime.errors import Problems
from bench.training.sizes import smallest_batch

# Of each kind of job: what its runs are then, and what there is of it.
KINDS = {
    "train": ("trained", "trainings"),
    "evaluate": ("evaluated", "evaluations"),
    "diagnose": ("diagnosed", "diagnostics"),
}
UNKNOWN = "unknown: run with --trial, or --tflops where the device is not here"
UNREAD = "unknown until `python -m bench data` has read the images"
KEPT = (
    "{} of the evaluations were made before: less, as attacks whose inputs are unchanged are reused"
)
UNCOUNTED = "not counted until an evaluation has run with them, evaluation.attacks"
ASSUMED = (
    "the cost of AutoAttack is computed from one gradient and one query, with half of the images "
    "robust"
)


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """Jobs of one kind: how many in all and to do, and the seconds of one; None: unknown."""

    total: int
    to_do: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method: its jobs by kind, and which rates their seconds come from.

    `again` are evaluations of weights that are still right: what of them has not changed is kept.
    """

    label: str
    jobs: dict[str, Jobs]
    again: int
    basis: str

    @property
    def left(self) -> float | None:
        """Seconds of all that is to do."""
        return _sum([_times(jobs.to_do, jobs.seconds) for jobs in self.jobs.values()])

    @property
    def each(self) -> float | None:
        """Seconds of training and evaluating one seed."""
        return _sum([self.jobs[kind].seconds for kind in ("train", "evaluate")])

    @property
    def whole(self) -> float | None:
        """Seconds of all jobs, done or not."""
        return _sum([_times(jobs.total, jobs.seconds) for jobs in self.jobs.values()])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is known of an experiment before it runs; `disk` in bytes, None where unknown.

    `uncounted` are labels of registered attacks that no evaluation has been recorded with;
    `external` says what is to be done for networks of others, whose time is not estimated.
    """

    experiment: Experiment
    rows: tuple[Row, ...]
    external: str
    uncounted: tuple[str, ...]
    devices: tuple[str, ...]
    disk: dict[str, int] | None
    free: int
    device_memory: int | None
    data_ready: bool
    sized: bool

    def plain(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {
            "experiment": self.experiment.experiment,
            "device": self.experiment.compute.device,
            "recorded_on": list(self.devices),
            "data_ready": self.data_ready,
            "methods": {
                row.label: {
                    "jobs": {kind: jobs.total for kind, jobs in row.jobs.items()},
                    "to_do": {kind: jobs.to_do for kind, jobs in row.jobs.items()},
                    "seconds_each": {kind: jobs.seconds for kind, jobs in row.jobs.items()},
                    "seconds_left": row.left,
                    "basis": row.basis,
                }
                for row in self.rows
            },
            "seconds_left": _sum([row.left for row in self.rows]),
            "seconds_whole": _sum([row.whole for row in self.rows]),
            "disk_bytes": self.disk,
            "free_bytes": self.free,
            "device_bytes": self.device_memory,
        }


def make_plan(
    experiment: Experiment,
    results: Path,
    trial: Callable[[Size], Rates] | None = None,
    counted: Callable[[Size], Rates] | None = None,
) -> Plan:
    """Return the plan of `experiment`, whose results are in a folder of its name below `results`.

    `trial` measures what no record tells, and `counted` computes what is still missing; without
    them those times stay unknown.

    Raises
    ------
    ConfigError
        An attack needs more classes or test images than the experiment's images have, or a
        method cannot be trained on them.
    """
    stale = Staleness(experiment, results)
    size = check_sizes(experiment, stale.images)
    if experiment.claims is not None:
        claim_files((), experiment.claims)
    past = recorded_rates(experiment, size, results) if size else Rates()
    if size:
        _check_networks(experiment, size, tried=bool(past.parameters))
    tried = trial(size) if trial and size else Rates()
    computed = counted(size) if counted and size else Rates()
    rates = {"recorded": past, "trial": tried, "counted": computed}
    rows = tuple(_row(stale, method, size, rates) for method in experiment.methods)
    uncounted = [
        label
        for method in experiment.methods
        for label in without_rate(experiment.evaluation, method, past)
    ]
    network = _counted(experiment, size)
    parameters = past.parameters | tried.parameters | ({network[0]} if network else set())
    return Plan(
        experiment=experiment,
        rows=rows,
        external=_external(stale),
        uncounted=tuple(dict.fromkeys(uncounted)),
        devices=tuple(sorted(past.devices | tried.devices | computed.devices)),
        disk=disk_bytes(experiment, size, max(parameters)) if size and parameters else None,
        free=shutil.disk_usage(_existing(results)).free,
        device_memory=network[1] if network else None,
        data_ready=stale.paths.data.is_file() and not stale.data(),
        sized=size is not None,
    )


def _check_networks(experiment: Experiment, size: Size, *, tried: bool) -> None:
    """Raise ConfigError where a method cannot be trained for its batches, if torch is here to tell.

    Where such images have been trained on already (`tried`) only a batch of one image is news.
    """
    asked = [
        m for m in experiment.methods if not tried or smallest_batch(m.training, size.train) == 1
    ]
    if not asked:
        return
    try:
        from bench.training.feasible import check_network
    except ImportError:
        return
    problems = Problems()
    for method in asked:
        with problems.collecting():
            check_network(
                method.model,
                method.training,
                method.label,
                train_images=size.train,
                shape=size.shape,
                classes=size.classes,
            )
    problems.settle()


def _counted(experiment: Experiment, size: Size | None) -> tuple[int, int] | None:
    """Return the most parameters and bytes of device memory, if torch is here to count them."""
    if size is None or not experiment.methods:
        return None
    try:
        from bench.planning.counted import check_methods, device_bytes, parameters
    except ImportError:
        return None
    check_methods(experiment, [method.label for method in experiment.methods])
    return max(parameters(model, size) for model in experiment.models), device_bytes(
        experiment, size
    )


def _row(stale: Staleness, method: Method, size: Size | None, rates: dict[str, Rates]) -> Row:
    experiment, label = stale.experiment, method.label
    seeds, diagnosed = experiment.seeds, experiment.diagnosed_seeds()
    train = {seed for seed in seeds if stale.training(label, seed)}
    evaluate = {seed for seed in seeds if seed in train or stale.evaluation(label, seed)}
    diagnose = [seed for seed in diagnosed if seed in evaluate or stale.diagnostics(label, seed)]
    again = [
        seed
        for seed in evaluate - train
        if stale.paths.run(label, seed).evaluation_record.is_file()
    ]
    seconds: dict[str, float] = {}
    basis = []
    for name, known in rates.items():
        told = _seconds(experiment, method, size, known) if size else {}
        if told.keys() - seconds.keys():
            basis.append(name)
        seconds = told | seconds
    counts = {
        "train": (len(seeds), len(train)),
        "evaluate": (len(seeds), len(evaluate)),
        "diagnose": (len(diagnosed), len(diagnose)),
    }
    return Row(
        label=label,
        jobs={
            kind: Jobs(total=total, to_do=to_do, seconds=seconds.get(kind))
            for kind, (total, to_do) in counts.items()
        },
        again=len(again),
        basis=", ".join(basis) or "unknown",
    )


def _seconds(experiment: Experiment, method: Method, size: Size, rates: Rates) -> dict[str, float]:
    """Return the seconds of one job of each kind that `rates` tell."""
    found = {
        "train": training_seconds(method, size, rates),
        "evaluate": evaluation_seconds(experiment.evaluation, method, size, rates),
    }
    if experiment.diagnostics is not None:
        others = len(experiment.methods) if experiment.transfer_seeds() else 0
        found["diagnose"] = diagnostics_seconds(experiment.diagnostics, method, others, rates)
    return {kind: seconds for kind, seconds in found.items() if seconds is not None}


def as_text(plan: Plan) -> str:
    """Return the plan as a table and a few lines."""
    experiment, compute = plan.experiment, plan.experiment.compute
    threads = f" with {compute.threads} thread(s)" if compute.device == "cpu" else ""
    total = {kind: sum(row.jobs[kind].total for row in plan.rows) for kind in KINDS}
    to_do = {kind: sum(row.jobs[kind].to_do for row in plan.rows) for kind in KINDS}
    kinds = [kind for kind in KINDS if total[kind]]
    left = _sum([row.left for row in plan.rows])
    rows = [
        [
            row.label,
            *(_done(row.jobs[kind].total, row.jobs[kind].to_do) for kind in kinds),
            *(hours(row.jobs[kind].seconds) for kind in kinds),
            hours(row.left),
            row.basis,
        ]
        for row in plan.rows
    ]
    done = [_done(total[kind], to_do[kind]) for kind in kinds]
    rows.append(["all", *done, *("" for _ in kinds), hours(left), ""])
    heads = [*(KINDS[kind][0] for kind in kinds), *(f"h/{kind}" for kind in kinds)]
    counts = ", ".join(f"{to_do[kind]} {KINDS[kind][1]}" for kind in kinds)
    unread = "" if plan.data_ready else ", and the images are still to be read"
    lines = [
        f"{experiment.experiment}: {_trained(experiment)} on {experiment.data.name}, "
        f"{compute.device}{threads}",
    ]
    if plan.rows:
        lines += ["", *table(["method", *heads, "h left", "basis"], rows), ""]
        lines.append(f"to do: {counts}{unread}")
    if plan.external:
        lines.append(f"{'beside the table' if plan.rows else 'to do'}: {plan.external}")
    if experiment.reference.models:
        lines.append(f"not in the table: {len(experiment.reference.models)} RobustBench model(s)")
    missing = UNKNOWN if plan.sized else UNREAD
    if not plan.rows:
        lines.append("device hours left: unknown, as those of networks of others always are")
    elif left is None:
        lines.append(f"device hours left: {missing}")
    else:
        whole = _sum([row.whole for row in plan.rows])
        lines.append(
            f"device hours left: {hours(left)} of {hours(whole)}, one job after another, "
            f"measured on {', '.join(plan.devices) or 'nothing yet'}"
        )
    if plan.rows and left is not None and plan.uncounted:
        lines.append(f"{UNCOUNTED}: {', '.join(plan.uncounted)}")
    if again := sum(row.again for row in plan.rows):
        lines.append(KEPT.format(again))
    computed = any(row.basis.endswith(("trial", "counted")) for row in plan.rows)
    if computed and experiment.evaluation.autoattack:
        lines.append(ASSUMED)
    lines.append(_disk_line(plan, missing))
    if plan.device_memory and compute.device != "cpu":
        lines.append(
            f"device memory: about {amount(plan.device_memory)}, counted; the allocator takes more"
        )
    return "\n".join(lines)


def _trained(experiment: Experiment) -> str:
    if not experiment.methods:
        return "nothing to train"
    models = ", ".join(model.label for model in experiment.models)
    return f"{len(experiment.methods)} methods x {len(experiment.seeds)} seeds, {models}"


def _external(stale: Staleness) -> str:
    """Return what is to be done for networks of others; empty where the config has none."""
    runs = stale.experiment.external()
    take = {pair for pair in runs if stale.weights(*pair)}
    evaluate = [pair for pair in runs if pair in take or stale.evaluation(*pair)]
    diagnosed = [pair for pair in runs if pair in stale.experiment.diagnosed()]
    diagnose = [pair for pair in diagnosed if pair in evaluate or stale.diagnostics(*pair)]
    if not runs:
        return ""
    return (
        f"{len(runs)} network(s) of others, of which {len(take)} to take, {len(evaluate)} to "
        f"evaluate, {len(diagnose)} to diagnose"
    )


def _times(jobs: int, seconds: float | None) -> float | None:
    """Return the seconds of some jobs: none for none, whatever one of them takes."""
    return 0.0 if not jobs else None if seconds is None else jobs * seconds


def _done(total: int, to_do: int) -> str:
    return f"{total - to_do} of {total}"


def _disk_line(plan: Plan, missing: str) -> str:
    free = f"{amount(plan.free)} free"
    if plan.disk is None:
        return f"disk: {missing}; {free}"
    disk = plan.disk
    at_work = max(disk["while_training"], disk["while_evaluating"])
    return (
        f"disk: weights {amount(disk['weights'])}, data {amount(disk['data'])}, and for each job "
        f"at work up to {amount(at_work)}; {free}"
    )


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _existing(path: Path) -> Path:
    path = path.resolve()
    return path if path.exists() else _existing(path.parent)

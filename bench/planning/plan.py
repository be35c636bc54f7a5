"""What a config will run, what of it is there already, and what the rest will take."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.experiment import Experiment, Method
from bench.config.schema import CHECKPOINTS
from bench.planning.costs import (
    Rates,
    examining_seconds,
    judging_seconds,
    recorded_rates,
    training_seconds,
)
from bench.planning.sizes import Size, disk_bytes, size_of
from bench.planning.text import amount, hours, table
from bench.results.staleness import (
    Recorded,
    about_images,
    examining_differs,
    images_differ,
    images_of,
    judging_differs,
    recorded,
    training_differs,
)
from bench.runtime.errors import Problems
from bench.training.sizes import check_training, smallest_batch

# Of each kind of job: what has been done, the doing, and what there is of it.
KINDS = {
    "train": ("trained", "training", "trainings"),
    "evaluate": ("judged", "judging", "evaluations"),
    "diagnose": ("examined", "examining", "diagnostics"),
}
UNKNOWN = "unknown: run with --trial"
UNREAD = "unknown until `python -m bench data` has read the images"
KEPT = (
    "{} of the evaluations were made before: less, as attacks that are as they were are taken over"
)
ASSUMED = "a trial reckons AutoAttack from one gradient and one query, half of the images robust"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method: jobs in all and to do, and seconds of one job of each kind (None: unknown).

    `again` are evaluations of weights that are still right: what of them has not changed is kept.
    `examined` are the runs whose networks are to be examined, of which `examine` are to do.
    """

    label: str
    jobs: int
    train: int
    evaluate: int
    again: int
    examined: int
    examine: int
    train_seconds: float | None
    evaluate_seconds: float | None
    examine_seconds: float | None
    basis: str

    @property
    def left(self) -> float | None:
        """Seconds of all that is to do."""
        return _sum([_times(*self.jobs_of(kind)[1:]) for kind in KINDS])

    @property
    def whole(self) -> float | None:
        """Seconds of all jobs, done or not."""
        return _sum([_times(self.jobs_of(kind)[0], self.jobs_of(kind)[2]) for kind in KINDS])

    def jobs_of(self, kind: str) -> tuple[int, int, float | None]:
        """Return how many jobs of a kind there are, how many are to do, and seconds of one."""
        return {
            "train": (self.jobs, self.train, self.train_seconds),
            "evaluate": (self.jobs, self.evaluate, self.evaluate_seconds),
            "diagnose": (self.examined, self.examine, self.examine_seconds),
        }[kind]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that is known of an experiment before it runs; `disk` in bytes, None where unknown."""

    experiment: Experiment
    rows: tuple[Row, ...]
    devices: tuple[str, ...]
    disk: dict[str, int] | None
    free: int
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
                    **{
                        what: {kind: row.jobs_of(kind)[place] for kind in KINDS}
                        for place, what in enumerate(("jobs", "to_do", "seconds_each"))
                    },
                    "seconds_left": row.left,
                    "basis": row.basis,
                }
                for row in self.rows
            },
            "seconds_left": _sum([row.left for row in self.rows]),
            "seconds_whole": _sum([row.whole for row in self.rows]),
            "disk_bytes": self.disk,
            "free_bytes": self.free,
        }


def make_plan(
    experiment: Experiment, results: Path, trial: Callable[[Size], Rates] | None = None
) -> Plan:
    """Return the plan of `experiment`, whose results are in a folder of its name below `results`.

    `trial` measures what no record tells; without it those times stay unknown.

    Raises
    ------
    ConfigError
        An attack needs more classes or test images than the experiment's images have, or a
        method cannot be trained on them.
    """
    size = size_of(experiment, results)
    if size:
        needs = experiment.needs
        needs.check(experiment.data.name, classes=size.classes, test_images=size.test)
        problems = Problems()
        for method in experiment.methods:
            with problems.collecting():
                check_training(method.training, method.label, size.train, size.shape)
        problems.settle()
    past = recorded_rates(experiment, size, results) if size else Rates()
    if size:
        _check_networks(experiment, size, tried=bool(past.parameters))
    tried = trial(size) if trial and size else Rates()
    runs, about = recorded(experiment, results), about_images(experiment, results)
    rows = tuple(
        _row(experiment, method, runs, about.get("fingerprint"), size, (past, tried))
        for method in experiment.methods
    )
    parameters = past.parameters | tried.parameters or _counted(experiment, size)
    return Plan(
        experiment=experiment,
        rows=rows,
        devices=tuple(sorted(past.devices | tried.devices)),
        disk=disk_bytes(experiment, size, max(parameters)) if size and parameters else None,
        free=shutil.disk_usage(_existing(results)).free,
        data_ready=images_of(experiment, results).is_file()
        and not images_differ(experiment, results),
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
                experiment.model,
                method.training,
                method.label,
                train_images=size.train,
                shape=size.shape,
                classes=size.classes,
            )
    problems.settle()


def _counted(experiment: Experiment, size: Size | None) -> set[int]:
    """Return the parameters of the model, if torch is here to build it."""
    if size is None:
        return set()
    try:
        from bench.models.base import build
    except ImportError:
        return set()
    model = experiment.model
    network = build(
        model.name, classes=size.classes, channels=size.shape[0], seed=0, width=model.width
    )
    return {sum(p.numel() for p in network.parameters())}


def _row(
    experiment: Experiment,
    method: Method,
    runs: list[Recorded],
    fingerprint: str | None,
    size: Size | None,
    rates: tuple[Rates, Rates],
) -> Row:
    own = [run for run in runs if run.label == method.label]
    train = [run for run in own if not _trained(run, experiment, fingerprint)]
    evaluate = [run for run in own if run in train or judging_differs(run, experiment, fingerprint)]
    asked = [run for run in own if (run.label, run.seed) in experiment.diagnosed()]
    examine = [run for run in asked if run in evaluate or examining_differs(run, experiment)]
    tried_on = len(experiment.methods) if experiment.transfer_seeds() else 0
    trained = judged = examined = None
    sources = []
    for name, known in zip(("recorded", "trial"), rates, strict=True):
        if size is None:
            break
        if trained is None:
            trained = training_seconds(method, size, known)
            sources += [name] if trained is not None else []
        if judged is None:
            judged = judging_seconds(experiment.evaluation, method, size, known)
            sources += [name] if judged is not None else []
        if examined is None and experiment.diagnostics is not None:
            examined = examining_seconds(experiment.diagnostics, method, tried_on, known)
            sources += [name] if examined is not None else []
    return Row(
        label=method.label,
        jobs=len(own),
        train=len(train),
        evaluate=len(evaluate),
        again=sum(run.evaluation is not None and run not in train for run in evaluate),
        examined=len(asked),
        examine=len(examine),
        train_seconds=trained,
        evaluate_seconds=judged,
        examine_seconds=examined,
        basis=", ".join(dict.fromkeys(sources)) or "unknown",
    )


def _trained(run: Recorded, experiment: Experiment, fingerprint: str | None) -> bool:
    weights = all((run.folder / f"{name}.safetensors").is_file() for name in CHECKPOINTS)
    return weights and not training_differs(run, experiment, fingerprint)


def as_text(plan: Plan) -> str:
    """Return the plan as a table and a few lines."""
    experiment, unknown = plan.experiment, _sum([row.left for row in plan.rows]) is None
    missing = UNKNOWN if plan.sized else UNREAD
    compute = experiment.compute
    threads = f" with {compute.threads} thread(s)" if compute.device == "cpu" else ""
    lines = [
        f"{experiment.experiment}: {len(plan.rows)} methods x {len(experiment.seeds)} seeds, "
        f"{experiment.model.label} on {experiment.data.name}, {compute.device}{threads}",
        "",
    ]
    jobs = {kind: sum(row.jobs_of(kind)[0] for row in plan.rows) for kind in KINDS}
    to_do = {kind: sum(row.jobs_of(kind)[1] for row in plan.rows) for kind in KINDS}
    left, whole = (_sum([getattr(row, key) for row in plan.rows]) for key in ("left", "whole"))
    kinds = [kind for kind in KINDS if jobs[kind]]
    rows = [
        [
            row.label,
            *(_done(*row.jobs_of(kind)[:2]) for kind in kinds),
            *(hours(row.jobs_of(kind)[2]) for kind in kinds),
            hours(row.left),
            row.basis,
        ]
        for row in plan.rows
    ]
    done = [_done(jobs[kind], to_do[kind]) for kind in kinds]
    rows.append(["all", *done, *("" for _ in kinds), hours(left), ""])
    heads = [*(KINDS[kind][0] for kind in kinds), *(f"h/{KINDS[kind][1]}" for kind in kinds)]
    lines += [*table(["method", *heads, "h left", "basis"], rows), ""]
    lines.append(f"to do: {', '.join(f'{to_do[kind]} {KINDS[kind][2]}' for kind in kinds)}")
    if not plan.data_ready:
        lines[-1] += ", and the images are still to be read"
    if experiment.reference.models:
        lines.append(f"not in the table: {len(experiment.reference.models)} RobustBench model(s)")
    lines.append(
        f"device hours left: {missing}"
        if unknown
        else f"device hours left: {hours(left)} of {hours(whole)}, one job after another, "
        f"measured on {', '.join(plan.devices) or 'nothing yet'}"
    )
    if again := sum(row.again for row in plan.rows):
        lines.append(KEPT.format(again))
    if any("trial" in row.basis for row in plan.rows) and experiment.evaluation.autoattack:
        lines.append(ASSUMED)
    lines.append(_disk_line(plan, missing))
    return "\n".join(lines)


def _times(jobs: int, seconds: float | None) -> float | None:
    """Return the seconds of some jobs: none for none, whatever one of them takes."""
    return 0.0 if not jobs else None if seconds is None else jobs * seconds


def _done(jobs: int, to_do: int) -> str:
    return f"{jobs - to_do} of {jobs}"


def _disk_line(plan: Plan, missing: str) -> str:
    free = f"{amount(plan.free)} free"
    if plan.disk is None:
        return f"disk: {missing}; {free}"
    disk = plan.disk
    at_work = max(disk["while_training"], disk["while_judging"])
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

"""Train and judge a list of runs one after the other in one process, for as long as there is time.

For a machine that has torch and a device but no Snakemake: the same jobs on the same files, so a
sitting goes on where the workflow or another sitting stopped, and the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.config.experiment import Experiment
from bench.config.schema import CHECKPOINTS
from bench.planning.doctor import autoattack_check
from bench.planning.sizes import check_beside
from bench.results.staleness import (
    Recorded,
    about_images,
    examining_differs,
    images_differ,
    images_of,
    judging_differs,
    recorded,
    training_differs,
    transfer_differs,
)
from bench.runtime.errors import BenchError
from bench.runtime.exit_code import explained
from bench.runtime.out_of_memory import free_memory
from bench.runtime.signals import InterruptedJobError, ending_after

AGAIN = 75  # exit code, sysexits.h's "try again": the time was up and work is left
MARGIN = 10.0  # seconds before the limit in which a job comes to its end

Runs = Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """A job of one run that is still to be done, and why."""

    name: str
    why: str
    do: Callable[[], None]


def sit(
    experiment: Experiment, runs: Runs, *, results: Path, minutes: float | None, began: float
) -> int:
    """Do what is left of `runs`, (method label, seed) in this order; return the exit code.

    A run is trained, judged and, where the config asks for it, examined before the next one begins,
    so that a sitting leaves something whole. What transfers between the methods of a seed comes at
    the end, if all of them are there. A run that fails is reported and the others go on.

    Parameters
    ----------
    results
        The folder above the experiment's.
    minutes
        Of this sitting: the job that is running stops a little before, with its state on disk.
        None: as long as it takes.
    began
        When the sitting did, by ``time.monotonic``: before it waited for a device.

    Returns
    -------
    int
        0 when all is done, 1 when a run failed, `AGAIN` when the time was up.
    """
    failed: dict[str, None] = {}
    spent = time.monotonic() - began
    limit = None if minutes is None else max(1.0, 60 * minutes - MARGIN - spent)
    try:
        with ending_after(limit):
            _read_images(experiment, runs, results)
            _require_autoattack(experiment, runs, results)
            _require_sizes(experiment, runs, results)
            for label, seed in runs:
                start = experiment.method(label).training.start
                if start is not None and _name(start, seed) not in failed:
                    with _going_on(_name(start, seed), failed):
                        _begin(experiment, label, start, seed, results)
                with _going_on(_name(label, seed), failed):
                    _finish(experiment, label, seed, results)
                # Only here is the memory free that an error's traceback held.
                free_memory()
            for seed in sorted({seed for _, seed in runs}):
                with _going_on(f"transfer of seed {seed}", failed):
                    _transfer(experiment, seed, results)
    except InterruptedJobError as stopped:
        if not stopped.at_limit:
            raise
        left = [
            f"{label} seed {seed}"
            for label, seed in runs
            if _left(experiment, label, seed, results)
        ]
        if images_differ(experiment, results):
            left.insert(0, "the images")
        print(
            f"the time is up after {(time.monotonic() - began) / 60:.1f} minutes; left: "
            f"{', '.join(left) or 'transfer'}; the same command goes on from here"
        )
        if failed:
            print(f"failed: {', '.join(failed)}; see above")
        return AGAIN
    if failed:
        print(f"failed: {', '.join(failed)}; see above")
        return 1
    print("all is done")
    return 0


def _read_images(experiment: Experiment, runs: Runs, results: Path) -> None:
    """Read the images if they are not those of the config, or if there is work and they are gone.

    Whatever comes out otherwise with them is work then, and nothing else.
    """
    path, reasons = images_of(experiment, results), images_differ(experiment, results)
    if not path.is_file() and any(_left(experiment, *run, results) for run in runs):
        reasons.append(f"{path.name} is missing")
    if reasons:
        print(f"images: read ({reasons[0]})", flush=True)
        _read(experiment, path)


def _require_autoattack(experiment: Experiment, runs: Runs, results: Path) -> None:
    """Raise BenchError where a run is left that it is to attack, and it is not installed.

    Diagnostics have Square from the same package.
    """
    check = autoattack_check()
    if check.state != "fail":
        return
    judging, examined = experiment.evaluation.autoattack, experiment.diagnosed()
    for label, seed in runs:
        needed = (judging and judging.checkpoints) or (label, seed) in examined
        if needed and _left(experiment, label, seed, results):
            raise BenchError(f"{check.what}, and {label} seed {seed} needs it; {check.remedy}")


def _require_sizes(experiment: Experiment, runs: Runs, results: Path) -> None:
    """Raise ConfigError where a training that is left could not be made on images of this size."""
    starts = [(experiment.method(label).training.start, seed) for label, seed in runs]
    labels = []
    for label, seed in dict.fromkeys([*runs, *starts]):
        work = None if label is None else _left(experiment, label, seed, results)
        if label is not None and work and work.name == "train":
            labels.append(label)
    if labels:
        from bench.training.feasible import check_all

        check_all(experiment, dict.fromkeys(labels), about_images(experiment, results))


def _name(label: str, seed: int) -> str:
    return f"{label} seed {seed}"


@contextmanager
def _going_on(name: str, failed: dict[str, None]) -> Iterator[None]:
    """Tell of an error in the block and add `name` to what failed: the other runs go on.

    Only what is an Exception: who stops a sitting means all of it.
    """
    try:
        yield
    except Exception as error:
        failed[name] = None
        print(f"{name} failed: {explained(error)}", flush=True)


def _begin(experiment: Experiment, label: str, start: str, seed: int, results: Path) -> None:
    """Train what the run of `label` starts from, if that is still to be done."""
    work = _left(experiment, start, seed, results)
    if work and work.name == "train" and _left(experiment, label, seed, results):
        print(f"{_name(start, seed)}: train ({label} starts from it)", flush=True)
        _do(work, experiment, start, seed, results)


def _finish(experiment: Experiment, label: str, seed: int, results: Path) -> None:
    start, work = experiment.method(label).training.start, _left(experiment, label, seed, results)
    if work and work.name == "train" and start is not None:
        first = _left(experiment, start, seed, results)
        if first and first.name == "train":
            raise BenchError(f"it starts from {_name(start, seed)}, whose training failed")
    while work:
        print(f"{_name(label, seed)}: {work.name} ({work.why})", flush=True)
        work = _do(work, experiment, label, seed, results)


def _do(work: Work, experiment: Experiment, label: str, seed: int, results: Path) -> Work | None:
    """Do a job of a run and return the next, since judging depends on what was trained.

    Raises
    ------
    BenchError
        The job is still to be done, as it would be for ever.
    """
    work.do()
    after = _left(experiment, label, seed, results)
    if after and after.name == work.name:
        raise BenchError(
            f"{work.name} ended well and is still to be done ({after.why}); another process may "
            f"write below {results / experiment.experiment} too, or the code was edited "
            "meanwhile: run the same command again when neither is so"
        )
    return after


def _left(experiment: Experiment, label: str, seed: int, results: Path) -> Work | None:
    """Return the next job of a run, None where it is done."""
    (run,) = (
        run for run in recorded(experiment, results) if (run.label, run.seed) == (label, seed)
    )
    data = images_of(experiment, results)
    fingerprint = about_images(experiment, results).get("fingerprint")
    reasons = training_differs(run, experiment, fingerprint) or _lost(run, _TRAINED)
    if reasons:
        return Work(name="train", why=reasons[0], do=partial(_train, experiment, run, data))
    reasons = judging_differs(run, experiment, fingerprint) or _lost(run, ("verdicts",))
    if reasons:
        return Work(name="evaluate", why=reasons[0], do=partial(_evaluate, experiment, run, data))
    if (label, seed) in experiment.diagnosed():
        reasons = examining_differs(run, experiment) or _lost(run, _EXAMINED)
        if reasons:
            do = partial(_diagnose, experiment, run, data)
            return Work(name="diagnose", why=reasons[0], do=do)
    return None


def _transfer(experiment: Experiment, seed: int, results: Path) -> None:
    labels = [method.label for method in experiment.methods]
    folder = results / experiment.experiment
    if seed not in experiment.transfer_seeds():
        return
    if any(_left(experiment, label, seed, results) for label in labels):
        return
    if reasons := transfer_differs(folder, seed, experiment):
        print(f"seed {seed}: transfer ({reasons[0]})", flush=True)
        from bench.diagnostics.transfer import transfer

        data = images_of(experiment, results)
        transfer(experiment.diagnostics_spec(), labels, seed, data=data, folder=folder)


_TRAINED = (*(f"{name}.safetensors" for name in CHECKPOINTS), "history.csv")
_EXAMINED = ("diagnostics/curves.csv", "diagnostics/surfaces.csv")


def _lost(run: Recorded, names: Sequence[str]) -> list[str]:
    return [f"{name} is missing" for name in names if not (run.folder / name).exists()]


# torch is imported by the jobs alone: where nothing is left, nothing waits for it.
def _read(experiment: Experiment, data: Path) -> None:
    from bench.data.job import prepare

    prepare(experiment.data, experiment.needs, data)


def _train(experiment: Experiment, run: Recorded, data: Path) -> None:
    from bench.training.job import train

    spec = experiment.train_spec(run.label, run.seed)
    check_beside(spec.training, run.label, data)
    train(spec, experiment=experiment.experiment, label=run.label, data=data, folder=run.folder)


def _evaluate(experiment: Experiment, run: Recorded, data: Path) -> None:
    from bench.evaluation.job import evaluate

    spec = experiment.train_spec(run.label, run.seed)
    evaluate(experiment.evaluation_spec(), data=data, folder=run.folder, training=spec)


def _diagnose(experiment: Experiment, run: Recorded, data: Path) -> None:
    from bench.diagnostics.job import diagnose

    diagnose(experiment.diagnostics_spec(), data=data, folder=run.folder)

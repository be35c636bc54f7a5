"""Train and evaluate a list of runs one after the other in one process, as long as there is time.

For a machine that has torch and a device but no Snakemake: the same jobs on the same files, so it
resumes where the workflow or an earlier call stopped, and the other way round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.config.attack_options import attack_declares
from bench.config.experiment import Experiment
from bench.planning.doctor import autoattack_check
from bench.planning.sizes import check_beside
from bench.results.staleness import Staleness
from bench.runtime.errors import BenchError
from bench.runtime.exit_code import explained
from bench.runtime.out_of_memory import free_memory
from bench.runtime.signals import InterruptedJobError, ending_after

AGAIN = 75  # exit code, sysexits.h's "try again": the time was up and work is left
MARGIN = 10.0  # seconds before the limit in which a job comes to its end

Pair = tuple[str, int]  # label of a method, and seed


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job of one run that is still to be done, and why."""

    name: str
    why: str
    do: Callable[[], None]


class LocalRunner:
    """Does what is left of `runs`, in this order.

    A run is trained, evaluated and, where the config asks for it, diagnosed before the next one
    begins, so that a call leaves something whole; only where an attack uses the other networks of
    a seed are all of them trained first. What transfers between the methods of a seed comes at the
    end, if all of them are there. A run that fails is reported and the others go on.
    """

    def __init__(self, experiment: Experiment, runs: Sequence[Pair], results: Path) -> None:
        self.experiment, self.runs = experiment, runs
        self.stale = Staleness(experiment, results)
        self.paths = self.stale.paths
        self.failed: dict[str, None] = {}

    def run(self, minutes: float | None, began: float) -> int:
        """Do the jobs; return 0 when all is done, 1 when a run failed, `AGAIN` at the time limit.

        The limit of `minutes` counts from `began` (``time.monotonic``), before the command waited
        for a device; the job that is running stops a little before, with its state on disk.
        """
        spent = time.monotonic() - began
        limit = None if minutes is None else max(1.0, 60 * minutes - MARGIN - spent)
        code = 0
        try:
            with ending_after(limit):
                self._all()
        except InterruptedJobError as stopped:
            if not stopped.at_limit:
                raise
            code = AGAIN
            left = [name_of(pair) for pair in self.runs if self.next_job(pair)]
            if self.stale.data():
                left.insert(0, "the images")
            print(
                f"the time is up after {(time.monotonic() - began) / 60:.1f} minutes; left: "
                f"{', '.join(left) or 'transfer'}; the same command resumes from here"
            )
        if self.failed:
            print(f"failed: {', '.join(self.failed)}; see above")
            return code or 1
        if not code:
            print("all done")
        return code

    def next_job(self, pair: Pair) -> Job | None:
        """Return the next job of a run, None where it is done."""
        if reasons := self.stale.weights(*pair):
            if pair[0] in self.experiment.networks:
                return Job(name="take weights", why=reasons[0], do=partial(self._take, pair))
            return Job(name="train", why=reasons[0], do=partial(self._train, pair))
        if reasons := self.stale.evaluation(*pair):
            return Job(name="evaluate", why=reasons[0], do=partial(self._evaluate, pair))
        if pair in self.experiment.diagnosed() and (reasons := self.stale.diagnostics(*pair)):
            return Job(name="diagnose", why=reasons[0], do=partial(self._diagnose, pair))
        return None

    def _all(self) -> None:
        self._read_images()
        self._require_autoattack()
        self._require_sizes()
        for pair in self._made_first():
            with self._reporting(name_of(pair)):
                self._make_first(pair)
            free_memory()
        for pair in self.runs:
            if name_of(pair) in self.failed:
                continue
            for other in self._needed(pair):
                if name_of(other) not in self.failed:
                    with self._reporting(name_of(other)):
                        self._train_needed(other, pair)
            with self._reporting(name_of(pair)):
                self._finish(pair)
            # Only here is the memory free that an error's traceback held.
            free_memory()
        for seed in sorted({seed for _, seed in self.runs}):
            with self._reporting(f"transfer of seed {seed}"):
                self._transfer(seed)

    def _read_images(self) -> None:
        """Read the images if they are not those of the config, or if they are gone and needed."""
        reasons = self.stale.data()
        if not self.paths.data.is_file() and any(map(self.next_job, self.runs)):
            reasons.append(f"{self.paths.data.name} is missing")
        if reasons:
            print(f"images: read ({reasons[0]})", flush=True)
            # torch is imported by the jobs alone: where nothing is left, nothing waits for it.
            from bench.data.job import prepare

            prepare(self.experiment.data, self.experiment.needs, self.paths.data)

    def _require_autoattack(self) -> None:
        """Raise BenchError where a run is left that AutoAttack is to attack, and it is missing.

        Diagnostics have Square from the same package.
        """
        check = autoattack_check()
        if check.state != "fail":
            return
        evaluation, diagnosed = self.experiment.evaluation, self.experiment.diagnosed()
        asked = [
            evaluation.autoattack,
            *(
                attack
                for attack in evaluation.attacks.values()
                if attack_declares(attack.attack, "wraps_autoattack")
            ),
        ]
        attacked = any(attack is not None and attack.checkpoints for attack in asked)
        for pair in self.runs:
            needed = attacked or pair in diagnosed
            if needed and self.next_job(pair):
                raise BenchError(f"{check.what}, and {name_of(pair)} needs it; {check.fix}")

    def _require_sizes(self) -> None:
        """Raise ConfigError where a training that is left cannot be made on images of this size."""
        pairs = [*self._made_first(), *self.runs]
        pairs += [other for pair in pairs for other in self._needed(pair)]
        ours = [pair for pair in pairs if pair[0] not in self.experiment.networks]
        labels = dict.fromkeys(pair[0] for pair in ours if self.stale.training(*pair))
        if labels:
            from bench.planning.counted import check_methods
            from bench.training.feasible import check_all

            check_all(self.experiment, labels, self.stale.images)
            check_methods(self.experiment, labels)

    @contextmanager
    def _reporting(self, name: str) -> Iterator[None]:
        """Report an error in the block and add `name` to what failed: the other runs go on.

        Only what is an Exception: a signal stops all of it.
        """
        try:
            yield
        except Exception as error:
            self.failed[name] = None
            print(f"{name} failed: {explained(error)}", flush=True)

    def _needed(self, pair: Pair) -> list[Pair]:
        """Return the runs whose weights the training of a run needs."""
        label, seed = pair
        if label in self.experiment.networks:
            return []
        return [(other, seed) for other in self.experiment.method(label).needs.values()]

    def _made_first(self) -> list[Pair]:
        """Return the runs whose weights evaluations use, those that need no other first."""
        others = [
            (other, seed)
            for label, seed in self.runs
            for other in self.experiment.evaluation_spec_of(label, seed).networks
        ]
        needed = [pair for other in others for pair in self._needed(other)]
        pairs = dict.fromkeys([*needed, *others])
        return sorted(pairs, key=lambda pair: (bool(self._needed(pair)), pair[1]))

    def _make_first(self, pair: Pair) -> None:
        """Make the weights of a run that evaluations use, if that is still to be done."""
        self._require_needed(pair)
        job = self.next_job(pair)
        if job and self.stale.weights(*pair):
            print(f"{name_of(pair)}: {job.name} ({job.why})", flush=True)
            self._do(job, pair)

    def _require_needed(self, pair: Pair) -> None:
        """Raise BenchError where a run is to be trained whose training needs one that is not."""
        for other in self._needed(pair) if self.stale.weights(*pair) else ():
            if self.stale.training(*other):
                raise BenchError(f"it needs {name_of(other)}, whose training failed")

    def _train_needed(self, other: Pair, pair: Pair) -> None:
        """Train what a run needs, if both are still to be done."""
        job = self.next_job(other)
        if job and job.name == "train" and self.next_job(pair):
            print(f"{name_of(other)}: train ({pair[0]} needs it)", flush=True)
            self._do(job, other)

    def _finish(self, pair: Pair) -> None:
        self._require_needed(pair)
        job = self.next_job(pair)
        while job:
            print(f"{name_of(pair)}: {job.name} ({job.why})", flush=True)
            job = self._do(job, pair)

    def _do(self, job: Job, pair: Pair) -> Job | None:
        """Do a job of a run and return the next, since evaluation depends on what was trained."""
        job.do()
        after = self.next_job(pair)
        if after and after.name == job.name:
            raise BenchError(
                f"{job.name} ended well and is still to be done ({after.why}); another process may "
                f"write below {self.paths.folder} too, or the code was edited meanwhile: run the "
                "same command again when neither is so"
            )
        return after

    def _train(self, pair: Pair) -> None:
        from bench.training.job import train

        label, spec = pair[0], self.experiment.train_spec(*pair)
        check_beside(spec.training, label, self.paths.data)
        train(
            spec,
            experiment=self.experiment.experiment,
            label=label,
            data=self.paths.data,
            folder=self.paths.run(*pair).folder,
        )

    def _take(self, pair: Pair) -> None:
        from bench.external.job import take

        take(
            self.experiment.network_spec(*pair),
            experiment=self.experiment.experiment,
            label=pair[0],
            data=self.paths.data,
            folder=self.paths.run(*pair).folder,
        )

    def _evaluate(self, pair: Pair) -> None:
        from bench.evaluation.job import evaluate

        evaluate(
            self.experiment.evaluation_spec_of(*pair),
            data=self.paths.data,
            folder=self.paths.run(*pair).folder,
            training=self.experiment.origin_spec(*pair),
        )

    def _diagnose(self, pair: Pair) -> None:
        from bench.diagnostics.job import diagnose

        spec, folder = self.experiment.diagnostics_spec(), self.paths.run(*pair).folder
        diagnose(spec, data=self.paths.data, folder=folder)

    def _transfer(self, seed: int) -> None:
        labels = self.experiment.labels_of(seed)
        if seed not in self.experiment.transfer_seeds():
            return
        if any(self.next_job((label, seed)) for label in labels):
            return
        if reasons := self.stale.transfer(seed):
            print(f"seed {seed}: transfer ({reasons[0]})", flush=True)
            from bench.diagnostics.transfer import transfer

            spec = self.experiment.diagnostics_spec()
            transfer(spec, labels, seed, data=self.paths.data, folder=self.paths.folder)


def name_of(pair: Pair) -> str:
    """Return how a run is called in messages."""
    return f"{pair[0]} seed {pair[1]}"

"""Which results are older than config, code, images or packages, and what to do about each."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.config.experiment import TAKEN, Experiment
from bench.config.loading import is_experiment, read_config, read_yaml
from bench.results.origin import find_origin
from bench.results.paths import DEFAULT, STEPS, Paths, RunPaths
from bench.results.records import (
    AnalysisRecord,
    DiagnosticsRecord,
    EvaluationRecord,
    TrainRecord,
    TransferRecord,
    UnavailableRecord,
)
from bench.results.staleness import TRAINING_PACKAGES, Staleness, weights
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.places import SNAKEMAKE, of_suite
from bench.runtime.provenance import packages

CLOCKS_DIFFER = 60  # seconds, between machines that share a folder


@dataclass(frozen=True)
class Finding:
    """What does not agree, where, and what to do; `stale` is the file to be made again, if any."""

    where: str
    what: str
    fix: str
    stale: Path | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


def remake(config: Path, *stale: Path) -> str:
    """Return the command that makes what is missing, what is `stale` and all that follows from it.

    Without --forcerun Snakemake would leave alone what it did not make itself: it knows neither the
    settings nor the code of a run by hand.
    """
    command = f"{SNAKEMAKE} --configfile {config}"
    return f"`{command} --forcerun {' '.join(map(str, stale))}`" if stale else f"`{command}`"


def verify(experiment: Experiment, config: Path, results: Path) -> list[Finding]:
    """Return all that does not agree in `experiment`, whose folder is below `results`.

    `config` is the file it was read from, for the commands that are printed.
    """
    return list(_Verification(Staleness(experiment, results), config).findings())


class _Verification:
    def __init__(self, stale: Staleness, config: Path) -> None:
        self.stale, self.config = stale, config
        self.experiment, self.paths = stale.experiment, stale.paths
        self.installed = packages()

    def findings(self) -> Iterator[Finding]:
        yield from self._future()
        about = self.paths.data_record
        if self.stale.images is None and about.is_file():
            yield from self._older(about, ["damaged"], "reads the images again")
        elif self.stale.images is None:
            what = "its images have not been read (no data.json)"
            yield Finding(self.experiment.experiment, what, f"run {remake(self.config)}")
        else:
            yield from self._older(self.paths.data, self.stale.data(), "reads the images again")
        yield from self._missing()
        for label, seed in self.experiment.evaluated():
            yield from self._run(label, seed)
        for seed in self.experiment.transfer_seeds():
            runs = [self.paths.run(label, seed) for label in self.experiment.labels_of(seed)]
            if all(run.evaluation_record.is_file() for run in runs):
                path = self.paths.transfer_record(seed)
                yield from self._older(path, self.stale.transfer(seed), "makes it again")
                if record := TransferRecord.find(path):
                    files = {self.paths.transfer(seed): record.sha256}
                    yield from self._changed(path, files, "makes it again")
        for model in self.experiment.reference.models:
            run = self.paths.reference(model)
            # A model that could not be fetched has no results that could be old.
            if UnavailableRecord.find(run.evaluation_record) is None:
                yield from self._evaluated(run, self.stale.reference(model))
        for step in STEPS:
            yield from self._analysed(step)

    def _future(self) -> Iterator[Finding]:
        """Yield that files are of a later time than it is, at which Snakemake ends."""
        late, files = time.time() + CLOCKS_DIFFER, []
        for path in sorted(self.paths.folder.rglob("*")):
            with suppress(FileNotFoundError):  # of a job that runs
                files += [path] if path.lstat().st_mtime > late else []
        if files:
            what = f"a clock was wrong: files are from the future ({_first(map(str, files))})"
            folder = shlex.quote(str(self.paths.folder))
            command = f"`find {folder} -newermt now -exec touch -h {{}} +`"
            fix = f"run {command}; what is older than they are then is made again"
            yield Finding(self.experiment.experiment, what, fix)

    def _missing(self) -> Iterator[Finding]:
        runs = [
            (f"{label} seed {seed}", self.paths.run(label, seed))
            for label, seed in self.experiment.evaluated()
        ]
        untrained = [name for name, run in runs if not run.origin_record.is_file()]
        waiting = [
            name
            for name, run in runs
            if name not in untrained and not run.evaluation_record.is_file()
        ]
        for what, names in (("not trained", untrained), ("trained but not evaluated", waiting)):
            if names:
                text = f"{len(names)} of {len(runs)} runs are {what} ({_first(names)})"
                yield Finding(self.experiment.experiment, text, f"run {remake(self.config)}")

    def _run(self, label: str, seed: int) -> Iterator[Finding]:
        run = self.paths.run(label, seed)
        path, ours = run.origin_record, label not in self.experiment.networks
        if not path.is_file():
            return
        reasons = self.stale.weights(label, seed)
        makes = "trains it again" if ours else "takes it again"
        yield from self._older(path, reasons, makes)
        if training := find_origin(run):
            files: dict[Path, str | None] = {
                run.weights(name): digest for name, digest in weights(training).items()
            }
            if isinstance(training, TrainRecord):
                files[run.history] = training.history_sha256
            yield from self._changed(path, files, makes)
            yield from self._packages(path, training.packages, TRAINING_PACKAGES, reasons)
        if not run.evaluation_record.is_file():
            return
        yield from self._evaluated(run, self.stale.evaluation(label, seed))
        if (label, seed) in self.experiment.diagnosed():
            path, reasons = run.diagnostics_record, self.stale.diagnostics(label, seed)
            yield from self._older(path, reasons, "diagnoses it again")
            if record := DiagnosticsRecord.find(path):
                tables = {run.curves: "curves", run.surfaces: "surfaces"}
                files = {file: record.sha256.get(name) for file, name in tables.items()}
                yield from self._changed(path, files, "diagnoses it again")

    def _evaluated(self, run: RunPaths, reasons: list[str]) -> Iterator[Finding]:
        path = run.evaluation_record
        yield from self._older(path, reasons, "evaluates it again")
        evaluation = EvaluationRecord.find(path)
        if evaluation is None:
            return
        again = f"{remake(self.config, path)} evaluates it again"
        files: dict[Path, str | None] = {}
        for checkpoint, attack, record in evaluation.attacks():
            examples = run.examples(checkpoint, attack)
            files[examples] = record.sha256
            if not examples.is_file():
                yield Finding(str(examples), "the per-example results are missing", again, path)
        for checkpoint, found in evaluation.checkpoints.items():
            files[run.witnesses(checkpoint)] = found.witnesses_sha256
        yield from self._changed(path, files, "evaluates it again")
        names = tuple(dict.fromkeys((*evaluation.packages, *self.installed)))
        yield from self._packages(path, evaluation.packages, names, reasons)

    def _analysed(self, step: str) -> Iterator[Finding]:
        path = self.paths.analysis_record(step)
        record = AnalysisRecord.find(path)
        if record is not None:
            files = {self.paths.folder / name: digest for name, digest in record.sha256.items()}
            copied = files.get(self.paths.summary)
            if copied and self.experiment.experiment == DEFAULT:
                files[self.paths.default_summary] = copied
            yield from self._changed(path, files, "makes it again")
        elif path.is_file():
            yield from self._older(path, ["damaged"], "makes it again")

    def _changed(
        self, record: Path, files: Mapping[Path, str | None], does: str
    ) -> Iterator[Finding]:
        """Yield what is no longer the file whose digest `record` has; None where it has none."""
        for file, digest in files.items():
            if digest is not None and file.is_file() and sha256(file) != digest:
                what = f"not the file that {record.name} records"
                yield Finding(str(file), what, f"{remake(self.config, record)} {does}", record)

    def _older(self, path: Path, reasons: list[str], does: str) -> Iterator[Finding]:
        if reasons:
            again = f"{remake(self.config, path)} {does}"
            yield Finding(str(path), " and ".join(reasons), again, path)

    def _packages(
        self, path: Path, then: dict[str, str], names: Sequence[str], reasons: list[str]
    ) -> Iterator[Finding]:
        """Yield one finding for all packages that are not those that the record `path` names."""
        differ = [
            f"{name} {then.get(name, 'absent')} then, {self.installed.get(name, 'absent')} here"
            for name in names
            if then.get(name) != self.installed.get(name)
        ]
        if differ:
            fix = f"only the package differs: {remake(self.config, path)} if you want"
            if reasons:
                fix = "the same command fixes it"
            yield Finding(str(path), ", ".join(differ), fix)


def config_folders() -> list[Path]:
    """Return the folders of configs: the suite's own, and that of the working directory."""
    ours, here = of_suite("config"), Path("config")
    return [ours] if ours == here else [ours, here]


def configs_of(results: Path, folders: Sequence[Path]) -> dict[str, Path | None]:
    """Return every experiment that has results, with its config in `folders`; None without one.

    A config with mistakes in it still names its experiment.
    """
    present = sorted(
        path.name
        for path in (results.iterdir() if results.is_dir() else ())
        if path.is_dir() and path.name not in TAKEN and Paths(path).models.is_dir()
    )
    if not present:
        raise BenchError(f"{results}: no results here; give their folder with --results")
    wrong = wrong_configs(folders)
    known: dict[str, Path] = {}
    for path in _configs(folders):
        with suppress(BenchError):
            raw = read_yaml(path, flag="--config")
            name = raw.get("experiment") if isinstance(raw, dict) else None
            # A config that can be read goes before one that cannot.
            if isinstance(name, str) and (name not in known or known[name] in wrong):
                known[name] = path
    return {name: known.get(name) for name in present}


def wrong_configs(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the configs in `folders` that cannot be read as experiments, and what is wrong."""
    wrong = {}
    for path in _configs(folders):
        try:
            if is_experiment(path):
                read_config(path)
        except BenchError as error:
            wrong[path] = str(error)
    return wrong


def _configs(folders: Sequence[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]


def _first(names: Iterable[str]) -> str:
    """Return the first of `names`, and how many more there are."""
    first, *others = names
    return f"{first} and {len(others)} more" if others else first

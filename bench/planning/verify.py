"""Which results are older than config, code, images or packages, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.config.experiment import TAKEN, Experiment
from bench.config.loading import is_experiment, read_config, read_yaml
from bench.results.paths import Paths, RunPaths
from bench.results.records import EvaluationRecord, TrainRecord, UnavailableRecord
from bench.results.staleness import Staleness, weights
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.places import of_suite
from bench.runtime.provenance import packages

# What else is installed has no part in the weights.
TRAINING_PACKAGES = ("python", "torch", "torchvision")


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
    command = f"snakemake --cores all --configfile {config}"
    return f"`{command} --forcerun {' '.join(map(str, stale))}`" if stale else f"`{command}`"


def verify(experiment: Experiment, config: Path, results: Path) -> list[Finding]:
    """Return all that does not agree in `experiment`, whose folder is below `results`.

    `config` is the file it was read from, for the commands that are printed.
    """
    stale = Staleness(experiment, results)
    paths, installed = stale.paths, packages()
    findings = []
    if stale.images is None:
        what = "its images have not been read (no data.json)"
        findings.append(Finding(experiment.experiment, what, f"run {remake(config)}"))
    else:
        findings += _stale(paths.data, stale.data(), config, "reads the images again")
    findings += _absent(experiment, paths, config)
    for label, seed in experiment.runs():
        run = paths.run(label, seed)
        training = TrainRecord.find(run.train_record)
        evaluation = EvaluationRecord.find(run.evaluation_record)
        if not run.train_record.is_file():
            continue
        reasons = stale.training(label, seed)
        findings += _stale(run.train_record, reasons, config, "trains it again")
        if training is not None:
            findings += _weights(run, training, config)
            alone = not reasons
            findings += _packages(
                run.train_record, training.packages, installed, config, TRAINING_PACKAGES, alone
            )
        if not run.evaluation_record.is_file():
            continue
        reasons = stale.evaluation(label, seed)
        findings += _stale(run.evaluation_record, reasons, config, "evaluates it again")
        if evaluation is not None:
            findings += _evaluated(run, evaluation, installed, config, alone=not reasons)
        if (label, seed) in experiment.diagnosed():
            reasons = stale.diagnostics(label, seed)
            findings += _stale(run.diagnostics_record, reasons, config, "diagnoses it again")
    for seed in experiment.transfer_seeds():
        runs = [paths.run(method.label, seed) for method in experiment.methods]
        if all(run.evaluation_record.is_file() for run in runs):
            path = paths.transfer_record(seed)
            findings += _stale(path, stale.transfer(seed), config, "makes it again")
    for model in experiment.reference.models:
        findings += _reference(stale, model, installed, config)
    return findings


def _stale(path: Path, reasons: list[str], config: Path, does: str) -> Iterator[Finding]:
    if reasons:
        again = f"{remake(config, path)} {does}"
        yield Finding(str(path), " and ".join(reasons), again, path)


def _absent(experiment: Experiment, paths: Paths, config: Path) -> Iterator[Finding]:
    runs = [(label, seed, paths.run(label, seed)) for label, seed in experiment.runs()]
    untrained = [run for run in runs if not run[2].train_record.is_file()]
    waiting = [
        run for run in runs if run not in untrained and not run[2].evaluation_record.is_file()
    ]
    for what, missing in (("not trained", untrained), ("trained but not evaluated", waiting)):
        if missing:
            first = f"{missing[0][0]} seed {missing[0][1]}"
            more = f"{first} and {len(missing) - 1} more" if len(missing) > 1 else first
            text = f"{len(missing)} of {len(runs)} runs are {what} ({more})"
            yield Finding(experiment.experiment, text, f"run {remake(config)}")


def _weights(run: RunPaths, training: TrainRecord, config: Path) -> Iterator[Finding]:
    for checkpoint, digest in weights(training).items():
        path = run.weights(checkpoint)
        if path.is_file() and sha256(path) != digest:
            what, again = (
                "not the weights that train.json records",
                remake(config, run.train_record),
            )
            yield Finding(str(path), what, f"{again} trains it again", run.train_record)


def _evaluated(
    run: RunPaths,
    evaluation: EvaluationRecord,
    installed: dict[str, str],
    config: Path,
    *,
    alone: bool,
) -> Iterator[Finding]:
    where = run.evaluation_record
    again = f"{remake(config, where)} evaluates it again"
    for checkpoint, attack, record in evaluation.attacks():
        path = run.examples(checkpoint, attack)
        if not path.is_file():
            yield Finding(str(path), "the per-example results are missing", again, where)
        elif sha256(path) != record.sha256:
            what = "not the per-example results that evaluation.json records"
            yield Finding(str(path), what, again, where)
    yield from _packages(where, evaluation.packages, installed, config, None, alone)


def _reference(
    stale: Staleness, model: str, installed: dict[str, str], config: Path
) -> Iterator[Finding]:
    run = stale.paths.reference(model)
    if UnavailableRecord.find(run.evaluation_record) is not None:
        # It has no results that could be old.
        return
    evaluation = EvaluationRecord.find(run.evaluation_record)
    if evaluation is None:
        what = "the model is not evaluated"
        yield Finding(str(run.evaluation_record), what, f"run {remake(config)}")
        return
    reasons = stale.reference(model)
    yield from _stale(run.evaluation_record, reasons, config, "evaluates it again")
    yield from _evaluated(run, evaluation, installed, config, alone=not reasons)


def _packages(
    path: Path,
    then: dict[str, str],
    installed: dict[str, str],
    config: Path,
    only: tuple[str, ...] | None,
    alone: bool,
) -> Iterator[Finding]:
    """Yield one finding for all packages; `alone` says that nothing besides them differs."""
    names = only or tuple(dict.fromkeys((*then, *installed)))
    differ = [
        f"{name} {then.get(name, 'absent')} then, {installed.get(name, 'absent')} here"
        for name in names
        if then.get(name) != installed.get(name)
    ]
    if differ:
        fix = f"only the package differs: {remake(config, path)} if you want"
        if not alone:
            fix = "the same command fixes it"
        yield Finding(str(path), ", ".join(differ), fix)


def config_folders() -> list[Path]:
    """Return the folders of configs: the suite's own, and that of the working directory."""
    ours, here = of_suite("config"), Path("config")
    return [ours] if ours == here else [ours, here]


def configs_of(results: Path, folders: Sequence[Path]) -> dict[str, Path | None]:
    """Return every experiment that has results, with its config in `folders`; None without one.

    A config with mistakes in it still names its experiment.

    Raises
    ------
    BenchError
        There are no results at all.
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

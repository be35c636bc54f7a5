"""Which results are older than config, code, images or packages, and what to do about each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.experiment import TAKEN, Experiment
from bench.results.changes import changes, listed
from bench.results.staleness import (
    Recorded,
    about_images,
    attacks,
    examining_differs,
    images_differ,
    images_of,
    judging_differs,
    record,
    recorded,
    training_differs,
    transfer_differs,
    weights,
)
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.provenance import packages, reference_digest

# What else is installed has no part in the weights.
TRAINING_PACKAGES = ("python", "torch", "torchvision")


@dataclass(frozen=True)
class Finding:
    """What does not agree, where, and what to do; `stale` is the file to be made again, if any."""

    where: str
    what: str
    remedy: str
    stale: Path | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.remedy}"


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
    name, about = experiment.experiment, about_images(experiment, results)
    fingerprint = about.get("fingerprint")
    runs = recorded(experiment, results)
    findings = [*_images(experiment, results, config), *_absent(name, runs, config)]
    installed = packages()
    for run in runs:
        if run.training is not None:
            findings += _training(run, experiment, fingerprint, installed, config)
        if run.training is not None and run.evaluation is not None:
            findings += _evaluation(run, experiment, fingerprint, installed, config)
            findings += _diagnostics(run, experiment, config)
    for seed in experiment.transfer_seeds():
        if all(run.evaluation is not None for run in runs if run.seed == seed):
            findings += _transfer(results / name, seed, experiment, config)
    for model in experiment.reference.models:
        findings += _reference(
            results / name / "reference" / model, experiment, fingerprint, installed, config
        )
    return findings


def _images(experiment: Experiment, results: Path, config: Path) -> Iterator[Finding]:
    if not about_images(experiment, results):
        what = "its images have not been read (no data.json)"
        yield Finding(experiment.experiment, what, f"run {remake(config)}")
    elif reasons := images_differ(experiment, results):
        path = images_of(experiment, results)
        again = f"{remake(config, path)} reads the images again"
        yield Finding(str(path), " and ".join(reasons), again, path)


def _absent(name: str, runs: list[Recorded], config: Path) -> Iterator[Finding]:
    for what, missing in (
        ("not trained", [run for run in runs if run.training is None]),
        ("trained but not judged", [run for run in runs if run.training and not run.evaluation]),
    ):
        if missing:
            first = f"{missing[0].label} seed {missing[0].seed}"
            more = f"{first} and {len(missing) - 1} more" if len(missing) > 1 else first
            text = f"{len(missing)} of {len(runs)} runs are {what} ({more})"
            yield Finding(name, text, f"run {remake(config)}")


def _training(
    run: Recorded,
    experiment: Experiment,
    fingerprint: str | None,
    installed: dict[str, str],
    config: Path,
) -> Iterator[Finding]:
    assert run.training is not None
    where = run.folder / "train.json"
    again = f"{remake(config, where)} trains it again"
    reasons = training_differs(run, experiment, fingerprint)
    if reasons:
        yield Finding(str(where), " and ".join(reasons), again, where)
    for checkpoint, digest_then in weights(run.training).items():
        path = run.folder / f"{checkpoint}.safetensors"
        if not path.is_file():
            yield Finding(str(path), "the weights are missing", again, where)
        elif sha256(path) != digest_then:
            yield Finding(str(path), "not the weights that train.json records", again, where)
    yield from _packages(
        where, run.training, installed, config, only=TRAINING_PACKAGES, alone=not reasons
    )


def _evaluation(
    run: Recorded,
    experiment: Experiment,
    fingerprint: str | None,
    installed: dict[str, str],
    config: Path,
) -> Iterator[Finding]:
    assert run.evaluation is not None
    path = run.folder / "evaluation.json"
    reasons = judging_differs(run, experiment, fingerprint)
    if reasons:
        again = f"{remake(config, path)} judges it again"
        yield Finding(str(path), " and ".join(reasons), again, path)
    yield from _verdicts(run.folder, run.evaluation, config)
    yield from _packages(path, run.evaluation, installed, config, alone=not reasons)


def _diagnostics(run: Recorded, experiment: Experiment, config: Path) -> Iterator[Finding]:
    if (run.label, run.seed) not in experiment.diagnosed():
        return
    if reasons := examining_differs(run, experiment):
        path = run.folder / "diagnostics" / "record.json"
        again = f"{remake(config, path)} examines it again"
        yield Finding(str(path), " and ".join(reasons), again, path)


def _transfer(folder: Path, seed: int, experiment: Experiment, config: Path) -> Iterator[Finding]:
    if reasons := transfer_differs(folder, seed, experiment):
        path = folder / "transfer" / f"seed{seed}.json"
        again = f"{remake(config, path)} tries it again"
        yield Finding(str(path), " and ".join(reasons), again, path)


def _reference(
    folder: Path,
    experiment: Experiment,
    fingerprint: str | None,
    installed: dict[str, str],
    config: Path,
) -> Iterator[Finding]:
    path = folder / "evaluation.json"
    found = record(path)
    if found is None:
        yield Finding(str(path), "the model is not judged", f"run {remake(config)}")
        return
    if "unavailable" in found:
        # It has no verdicts that could be old.
        return
    keys = changes(experiment.evaluation_spec(), found.get("spec"))
    reasons = [f"the config has another {listed(keys)}"] if keys else []
    if found.get("code_digest") != reference_digest():
        reasons.append("the code that judges it has changed")
    if fingerprint is not None and found.get("data", {}).get("fingerprint") != fingerprint:
        reasons.append("it was judged on other images")
    if reasons:
        again = f"{remake(config, path)} judges it again"
        yield Finding(str(path), " and ".join(reasons), again, path)
    yield from _verdicts(folder, found, config)
    yield from _packages(path, found, installed, config, alone=not reasons)


def _verdicts(folder: Path, evaluation: dict[str, Any], config: Path) -> Iterator[Finding]:
    where = folder / "evaluation.json"
    again = f"{remake(config, where)} judges it again"
    for checkpoint, attack, judged in attacks(evaluation):
        path = folder / "verdicts" / checkpoint / f"{attack}.csv"
        if not path.is_file():
            yield Finding(str(path), "the verdicts are missing", again, where)
        elif sha256(path) != judged.get("sha256"):
            what = "not the verdicts that evaluation.json records"
            yield Finding(str(path), what, again, where)


def _packages(
    path: Path,
    found: dict[str, Any],
    installed: dict[str, str],
    config: Path,
    *,
    only: tuple[str, ...] | None = None,
    alone: bool,
) -> Iterator[Finding]:
    """Yield one finding for all packages; `alone` says that nothing besides them differs."""
    then = found.get("packages") or {}
    names = only or tuple(dict.fromkeys((*then, *installed)))
    differ = [
        f"{name} {then.get(name, 'absent')} then, {installed.get(name, 'absent')} here"
        for name in names
        if then.get(name) != installed.get(name)
    ]
    if differ:
        remedy = f"only the package differs: {remake(config, path)} if you want"
        if not alone:
            remedy = "the same command puts it right"
        yield Finding(str(path), ", ".join(differ), remedy)


def configs_of(results: Path, *folders: Path) -> dict[str, Path | None]:
    """Return every experiment that has results, with its config in `folders`; None if it has none.

    Of two folders that have one the last counts.

    A config with mistakes in it still names its experiment.

    Raises
    ------
    BenchError
        There are no results at all.
    """
    from bench.config.loading import read_yaml

    present = sorted(
        path.name
        for path in (results.iterdir() if results.is_dir() else ())
        if path.is_dir() and path.name not in TAKEN and (path / "models").is_dir()
    )
    if not present:
        raise BenchError(f"{results}: no results here; give their folder with --results")
    wrong = wrong_configs(*folders)
    known: dict[Any, Path] = {}
    for path in _configs(folders):
        with suppress(BenchError):
            raw = read_yaml(path, flag="--config")
            name = raw.get("experiment") if isinstance(raw, dict) else None
            # A config that can be read goes before one that cannot.
            if isinstance(name, str) and (known.get(name) in (None, *wrong) or path not in wrong):
                known[name] = path
    return {name: known.get(name) for name in present}


def wrong_configs(*folders: Path) -> dict[Path, str]:
    """Return the configs in `folders` that cannot be read as experiments, and what is wrong."""
    from bench.config.loading import is_experiment, read_config

    wrong = {}
    for path in _configs(folders):
        try:
            if is_experiment(path):
                read_config(path)
        except BenchError as error:
            wrong[path] = str(error)
    return wrong


def _configs(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.yaml"))]

"""Models that others trained and RobustBench lists, to evaluate beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from bench.attacks.autoattack import provide
from bench.config.attack_options import attack_declares
from bench.config.experiment import EvaluationSpec
from bench.config.parsing import suggestion
from bench.data.dataset import Images, load
from bench.data.published import ROBUSTBENCH_DATA, robustbench_name
from bench.evaluation.job import (
    evaluate_attacks,
    evaluation_record,
    keep_witnesses,
    surroundings,
)
from bench.evaluation.state import forget
from bench.numerics.device import prepare
from bench.results.paths import RunPaths
from bench.results.records import EvaluatedCheckpoint, UnavailableRecord
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import refusal, sha256
from bench.runtime.out_of_memory import out_of_memory
from bench.runtime.places import SNAKEMAKE
from bench.runtime.provenance import reference_digest

THREAT = "Linf"


class UnavailableError(BenchError):
    """A checkpoint is not there and cannot be fetched; its text says where to put it by hand."""


def evaluate_reference(name: str, spec: EvaluationSpec, *, data: Path, folder: Path) -> None:
    """Evaluate RobustBench's model `name` as ours are, on the test images of `data`.

    Writes per-example results and evaluation.json into `folder`. The model's own checkpoint is kept
    beside `data`, in ``robustbench/``. Where it is not there and cannot be fetched, evaluation.json
    says so instead: a machine without a network can still finish all that needs none.
    """
    run, dataset = RunPaths(folder), load(data)
    listed = robustbench_name(dataset.name)
    if listed is None:
        raise ConfigError(
            f"RobustBench has no models for {dataset.name!r}, only for "
            f"{', '.join(ROBUSTBENCH_DATA)}: remove reference.models from the configuration"
        )
    device = prepare(spec.compute)
    downloads = data.parent / "robustbench"
    try:
        model = load_reference(name, folder=downloads, dataset=listed).to(device)
    except UnavailableError as error:
        print(error, flush=True)
        absent = UnavailableRecord(method=name, unavailable=str(error))
        absent.write(run.evaluation_record)
        return
    test = Images(dataset.test.pixels.to(device), dataset.test.labels.to(device))
    files = reference_files(name, folder=downloads, dataset=listed)
    weights = ",".join(map(sha256, files))
    code = reference_digest(spec.evaluation.attack_files)
    identity = {**surroundings(dataset, device, code), "weights": weights}
    attacks, found = evaluate_attacks(model, test, _by_itself(spec), run, "best", identity)
    kept = keep_witnesses(model, test, found, run, "best", dataset, spec, weights)
    checkpoints = {
        "best": EvaluatedCheckpoint(weights_sha256=weights, attacks=attacks, witnesses_sha256=kept)
    }
    evaluation_record(
        spec, dataset, device, code, checkpoints, experiment=None, method=name, seed=None
    ).write(run.evaluation_record)
    forget(run.evaluation_state)


def _by_itself(spec: EvaluationSpec) -> EvaluationSpec:
    """Return `spec` without the attacks that use networks of the same seed: it has no seed."""
    attacks = {
        label: asked
        for label, asked in spec.evaluation.attacks.items()
        if not attack_declares(asked.attack, "other_networks")
    }
    return replace(spec, evaluation=replace(spec.evaluation, attacks=attacks))


def load_reference(name: str, *, folder: Path, dataset: str = "cifar10") -> nn.Module:
    """Return RobustBench's model `name` in eval mode on the CPU; images in [0, 1] go in.

    Its checkpoint is looked for in `folder`, and fetched into it where it is not there. RobustBench
    reads it with torch's default since 2.6, which unpickles nothing but weights.

    Raises
    ------
    ConfigError
        RobustBench has no such model or data set.
    UnavailableError
        The checkpoint is not there and cannot be fetched.
    BenchError
        RobustBench is not installed, or the file in the checkpoint's place is another.

    Source: Croce et al. 2021, arXiv:2010.09670.
    """
    files = reference_files(name, folder=folder, dataset=dataset)
    _fetch(name, files)
    from robustbench.utils import load_model

    try:
        model: nn.Module = load_model(
            model_name=name, model_dir=str(folder), dataset=dataset, threat_model=THREAT
        )
    # The unpickling and the model fail in as many ways as there are libraries in it.
    except Exception as error:
        if out_of_memory(error):
            raise
        # The rest of torch's text advises a way of loading that runs whatever code is in the file.
        reason = _reason(error).partition(". ")[0]
        raise BenchError(
            f"{' or '.join(map(str, files))} is not the checkpoint of RobustBench's {name}"
            f" ({reason}); a download that failed leaves a web page in its place: delete it"
            " and fetch it again"
        ) from error
    return model.eval()


def _fetch(name: str, downloads: Mapping[Path, str]) -> None:
    """Fetch what is not there; on its own, so that no other error is taken for a lost network."""
    from robustbench.utils import download_gdrive_new

    for path, download in downloads.items():
        if path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            download_gdrive_new(download, path)
            reason = "no file arrived"
        # A network is absent in as many ways as there are proxies.
        except Exception as error:
            if refusal(error) is not None:
                raise
            reason = _reason(error)
        if not path.is_file():
            absent = " and ".join(str(path) for path in downloads if not path.is_file())
            raise UnavailableError(
                f"RobustBench's {name} could not be fetched ({reason}); put its checkpoint by hand"
                f" at {absent} and rerun with `{SNAKEMAKE} --forcerun reference` and the"
                " --configfile of this experiment"
            )


def _reason(error: Exception) -> str:
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}"


def reference_files(name: str, *, folder: Path, dataset: str = "cifar10") -> dict[Path, str]:
    """Return the files of the checkpoint of `name` below `folder`, with their download ids."""
    provide()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "pkg_resources is deprecated")
            from robustbench.model_zoo import model_dicts
            from robustbench.model_zoo.enums import BenchmarkDataset, ThreatModel
    except ImportError as error:
        raise BenchError(
            f"RobustBench cannot be imported ({error}); install robustbench and setuptools in the"
            " versions that environment.yml names"
        ) from error
    known = [kind.value for kind in BenchmarkDataset]
    if dataset not in known:
        raise ConfigError(f"RobustBench has no models for {dataset!r}; it knows {', '.join(known)}")
    models = model_dicts[BenchmarkDataset(dataset)][ThreatModel(THREAT)]
    if name not in models:
        near = suggestion(name, models)
        hint = f"did you mean {near}?" if near else "its site lists the names"
        raise ConfigError(f"RobustBench has no {dataset} {THREAT} model {name!r}; {hint}")
    ids = models[name].get("gdrive_id")
    if ids is None:
        raise ConfigError(
            f"RobustBench does not keep {name} itself but leaves it to timm, where its file cannot"
            " be checked; choose another model"
        )
    place = Path(folder) / dataset / THREAT
    # Of an ensemble's files RobustBench numbers the names, behind their ending.
    if isinstance(ids, list):
        return {place / f"{name}.pt_m{part}.pt": one for part, one in enumerate(ids)}
    return {place / f"{name}.pt": ids}

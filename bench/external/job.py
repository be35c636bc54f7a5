"""Take a network of others into an experiment: its weights, checked, and the record of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.config.experiment import NetworkSpec
from bench.config.parsing import nearest, parse
from bench.config.schema import Normalization
from bench.data.dataset import Dataset, load, to_unit
from bench.data.record import data_record
from bench.external import network as networks
from bench.external.architecture import build
from bench.external.matching import MOMENTS, Match, match
from bench.external.mistakes import IMAGES, Found, Sample, check_network
from bench.external.network import SOURCE, ExternalDescription
from bench.external.weights_file import State, WeightsFile, read_weights
from bench.models import checkpoint
from bench.numerics.device import convolutions, describe, peak_memory_mb, prepare
from bench.results.paths import RunPaths
from bench.results.records import DataRecord, ModelRecord, NetworkRecord, TakenCheckpoint
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import sha256
from bench.runtime.provenance import external_digest, packages


def take(spec: NetworkSpec, *, experiment: str, label: str, data: Path, folder: Path) -> None:
    """Take the weights of `spec` into the run in `folder`, for the images of the data file `data`.

    Writes ``best.safetensors``, a copy of the architecture's file where it is the user's, and,
    last, network.json.

    Raises
    ------
    BenchError
        The file, the architecture or what the config says of them is wrong; one sentence names the
        likely cause.
    """
    where, run, dataset = f"networks.{label}", RunPaths(folder), load(data)
    device = prepare(spec.compute)
    path = spec.path
    file = read_weights(path, where=f"{where}.weights")
    images = data_record(dataset)
    description = _description(spec, file, dataset, where)
    bare = _bare(spec, description, path, where)
    matches = match(file.entries, bare.state_dict(), where=f"{where}.weights")
    sample = _sample(dataset, images, device)

    def checked(found: Match) -> Found:
        bare.load_state_dict(found.state)
        with convolutions(tf32=False):
            return check_network(
                bare.to(device),
                description,
                sample,
                where=where,
                claimed=spec.network.claimed,
                hints=_hints(found.rest),
            )

    chosen = _chosen(matches, spec.network.entry, checked, where)
    found = checked(chosen)
    source = spec.source or _beside(path, description)
    folder.mkdir(parents=True, exist_ok=True)
    if source is not None:
        shutil.copyfile(source, folder / SOURCE)
    networks.save(run.weights("best"), chosen.state, description)
    right, n = int(found.correct.sum()), len(found.correct)
    note = "; its output is random" if found.random else ""
    print(f"{label} seed {spec.seed}: {right} of {n} images right{note}", flush=True)
    NetworkRecord(
        experiment=experiment,
        method=label,
        seed=spec.seed,
        spec=spec,
        code_digest=external_digest(spec.architecture),
        data=images,
        model=ModelRecord(
            label=_label(spec, description), parameters=sum(p.numel() for p in bare.parameters())
        ),
        device=describe(device),
        threads=spec.compute.threads,
        packages=packages(),
        peak_memory_mb=peak_memory_mb(device),
        file_sha256=sha256(path),
        source_sha256=None if source is None else sha256(source),
        entry=chosen.entry,
        checked_images=n,
        checked_correct=right,
        random=found.random,
        checkpoints={"best": TakenCheckpoint(weights_sha256=sha256(run.weights("best")))},
    ).write(run.network_record)


def _label(spec: NetworkSpec, description: ExternalDescription) -> str:
    if spec.network.architecture is not None:
        return spec.network.label
    return replace(
        spec.network, architecture=description.architecture, arguments=description.arguments
    ).label


def _description(
    spec: NetworkSpec, file: WeightsFile, dataset: Dataset, where: str
) -> ExternalDescription:
    """Return what is to be built, as the config says or else the file."""
    network = spec.network
    shape = dataset.test.pixels.shape
    said = _exported(file)
    if network.architecture is None and said is None:
        raise ConfigError(
            f"{where}.architecture: the file does not say it, as an export of this suite does; "
            "name it"
        )
    if network.normalization is not None and len(network.normalization.mean) != shape[1]:
        raise ConfigError(
            f"{where}.normalization: {len(network.normalization.mean)} values of mean, and the "
            f"images have {shape[1]} channels; give one for each"
        )
    name = network.architecture or ""
    outputs = None
    if network.class_order is not None:
        if sorted(network.class_order) != sorted(dataset.classes):
            raise ConfigError(
                f"{where}.class_order: {list(network.class_order)} are not the classes of the "
                f"images, {list(dataset.classes)}; name each once"
            )
        outputs = tuple(dataset.classes.index(one) for one in network.class_order)
    own = ExternalDescription(
        architecture=f"{SOURCE}:{name.rpartition(':')[2]}" if spec.source else name,
        arguments=network.arguments,
        normalization=network.normalization,
        channel_order=network.channels,
        outputs=outputs,
        classes=len(dataset.classes),
        channels=int(shape[1]),
        fingerprint=dataset.fingerprint,
    )
    if network.architecture is not None or said is None:
        return own
    if (said.classes, said.channels) != (own.classes, own.channels):
        raise BenchError(
            f"{where}.weights: the export is for {said.classes} classes and {said.channels} "
            f"channels, the images have {own.classes} and {own.channels}"
        )
    return replace(
        said,
        normalization=network.normalization or said.normalization,
        outputs=outputs or said.outputs,
        fingerprint=own.fingerprint,
    )


def _exported(file: WeightsFile) -> ExternalDescription | None:
    """Return what a file of this suite says of its network."""
    if raw := file.metadata.get(networks.KEY):
        return parse(ExternalDescription, json.loads(raw), where="weights")
    if raw := file.metadata.get(checkpoint.KEY):
        ours = parse(checkpoint.Description, json.loads(raw), where="weights")
        return ExternalDescription(
            architecture=ours.model,
            arguments={} if ours.width is None else {"width": ours.width},
            normalization=ours.normalization,
            channel_order="rgb",
            outputs=None,
            classes=ours.classes,
            channels=ours.channels,
            fingerprint=ours.fingerprint,
        )
    return None


def _bare(spec: NetworkSpec, description: ExternalDescription, path: Path, where: str) -> nn.Module:
    if spec.network.architecture is None:
        return description.bare(path.parent, where=where).eval()
    return build(
        spec.network.architecture,
        spec.network.arguments,
        classes=description.classes,
        channels=description.channels,
        where=where,
    ).eval()


def _beside(path: Path, description: ExternalDescription) -> Path | None:
    """Return the architecture's file that was exported beside the weights."""
    return path.parent / SOURCE if description.architecture.startswith(f"{SOURCE}:") else None


def _sample(dataset: Dataset, about: DataRecord, device: torch.device) -> Sample:
    """Return test images from all over the set: those of a folder come class by class."""
    step = max(1, len(dataset.test) // IMAGES)
    chosen = slice(None, step * IMAGES, step)
    return Sample(
        images=to_unit(dataset.test.pixels[chosen]).to(device),
        labels=dataset.test.labels[chosen].to(device),
        classes=dataset.classes,
        mean=about.channel_mean or moments(dataset.train.pixels, torch.mean),
        std=about.channel_std or moments(dataset.train.pixels, torch.std),
    )


def moments(pixels: Tensor, of: Callable[[Tensor], Tensor]) -> tuple[float, ...]:
    """Return a moment of each channel of uint8 `pixels` [N, C, H, W], scaled to [0, 1]."""
    channels = (pixels[:, channel] for channel in range(pixels.shape[1]))
    return tuple(float(of(to_unit(values))) for values in channels)


def _hints(rest: State) -> list[Normalization]:
    """Return the normalisation that lies beside the weights, as of a layer before them."""
    found: dict[str, tuple[float, ...]] = {}
    for name, value in rest.items():
        kind = MOMENTS.get(name.rpartition(".")[2])
        if kind and 1 <= value.numel() <= 4:
            found.setdefault(kind, tuple(round(one, 6) for one in value.flatten().tolist()))
    if len(found) == 2 and len(found["mean"]) == len(found["std"]) and all(found["std"]):
        return [Normalization(mean=found["mean"], std=found["std"])]
    return []


def _chosen(
    matches: Sequence[Match], entry: str | None, checked: Callable[[Match], Found], where: str
) -> Match:
    """Return the weights that are meant: the only ones, or those that the config names."""
    by_entry = {one.entry: one for one in matches}
    if entry is not None:
        if entry not in by_entry:
            raise ConfigError(
                f"{where}.entry: the file has no weights {entry!r} of this architecture; "
                f"{nearest(entry, by_entry)}"
            )
        return by_entry[entry]
    first = matches[0]
    if all(_equal(first.state, one.state) for one in matches[1:]):
        return first
    told = []
    for one in matches:
        try:
            told.append(f"{one.entry!r} ({checked(one).accuracy:.1f} % clean)")
        except BenchError:
            told.append(f"{one.entry!r} (with a problem of its own)")
    raise BenchError(
        f"{where}.entry: the file holds several networks, {', '.join(told)}; name the one that is "
        "meant, and quote no other"
    )


def _equal(one: State, other: State) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())

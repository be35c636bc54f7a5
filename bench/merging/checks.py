"""What must be equal in all parts of an experiment, and what is said where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench.merging.parts import Part, Run
from bench.results.changes import differences, flat
from bench.results.records import TrainRecord, TransferRecord
from bench.results.staleness import TRAINING_PACKAGES
from bench.runtime import provenance

SHOWN = 24  # letters of a value that are shown; a digest is told by its first


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The values of one record, by dotted key, and what it is about.

    `stage` is the job that made it. `code` names what the digest of its code depends on, and
    `code_here` returns that digest for the code that is here.
    """

    part: Part
    stage: str
    path: Path
    values: Mapping[str, Any]
    label: str = ""
    seed: int | None = None
    apart: str = ""
    code: str = ""
    code_here: Callable[[], str] | None = None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Keys whose values must be equal in all records of the same `subject`, and what to do.

    `keys` is a pattern of "stage/key", `subject` a format over an entry. Runs that differ in it may
    be kept `apart`.
    """

    keys: str
    subject: str
    fix: str
    apart: bool = False


SAME_CONFIG = "make the runs of one of them again by the config of the other"
SAME_MACHINE = "make the runs of one of them again on the kind of machine that the other has"
SAME_RECIPE = "train the runs of one of them again by the config of the other"
# Without the attacks' own details, which tell of results too.
ATTACKS = r"(evaluate|reference)/checkpoints\.((?!\.details\.).)*"
# What two runs with equal results may differ in: clocks, and where files lay.
IGNORED = (
    r".*/(.*[. ])?(seconds|images_per_second|peak_memory_mb)|train/history_sha256"
    r"|.*/(method|seed|spec\.seed)"
    r"|network/spec\.network\.weights\..*"
    rf"|(train|network)/packages\.(?!({'|'.join(TRAINING_PACKAGES)})$).*"
)
OWN = Kind(
    keys=".*",
    subject="{stage} {label} {seed}",
    fix="two results of one run cannot both be right: delete the run in one of the two folders",
    apart=True,
)
# The first that has a key decides.
KINDS = (
    Kind(
        keys=r".*/experiment",
        subject="",
        fix="two experiments are not merged: give only folders of one",
    ),
    Kind(
        keys=r".*/data\.(train|validation)_images",
        subject="{stage} {label}",
        fix=SAME_RECIPE,
    ),
    Kind(
        keys=r".*/data\..*",
        subject="",
        fix="results on other images are not merged: read the same images in both",
    ),
    Kind(
        keys=r".*/spec\.threat\..*",
        subject="",
        fix=SAME_CONFIG,
    ),
    Kind(
        keys=r".*/(spec\.compute\..*|device|threads|tf32)",
        subject="{stage}",
        fix=SAME_MACHINE,
        apart=True,
    ),
    Kind(
        keys=r".*/packages\..*",
        subject="{stage}",
        fix="make the runs of one of them again with the packages of the other",
        apart=True,
    ),
    Kind(
        keys=r".*/code_digest",
        subject="{stage} {code}",
        fix="make the runs of one of them again with the code of the other",
        apart=True,
    ),
    Kind(
        keys=r"train/(spec\.training\.)?(engine|precision)",
        subject="{label}",
        fix=SAME_RECIPE,
        apart=True,
    ),
    Kind(
        keys=r"(train|network)/(spec\..*|model\..*|selected_.*|source_sha256|entry)",
        subject="{label}",
        fix=SAME_RECIPE,
    ),
    Kind(
        keys=r"(evaluate|reference)/spec\.evaluation\.engine",
        subject="",
        fix=SAME_CONFIG,
        apart=True,
    ),
    Kind(
        keys=r"(evaluate|reference)/spec\.evaluation\..*|(diagnose|transfer)/spec\..*",
        subject="",
        fix=SAME_CONFIG,
    ),
    Kind(
        keys=r"evaluate/spec\.networks",
        subject="{label}",
        fix="the attacks used other networks: evaluate both beside the same methods",
    ),
    Kind(
        keys=rf"{ATTACKS}\.source",
        subject="{stage} {label}",
        fix="evaluate the runs of one of them again with the attacks of the other",
        apart=True,
    ),
    Kind(
        keys=rf"{ATTACKS}\.(seed|eps|n)",
        subject="{stage} {label}",
        fix="evaluate the runs of one of them again under the attacks of the other",
    ),
    OWN,
)


def mismatches(parts: Sequence[Part]) -> list[str]:
    """Return a sentence for each thing in which `parts` differ and must not.

    The first part that has a value is the one that others are held against.
    """
    return _different(entry for part in parts for entry in _entries(part))


def missing(parts: Sequence[Part]) -> list[str]:
    """Return a sentence for each thing that `parts` lack together; all their runs must be there."""
    return [
        *_code_alone([entry for part in parts for entry in _entries(part)]),
        *_unknown_weights(parts),
        *_incomplete_transfers(parts),
        *_not_kept_apart(parts),
    ]


def _different(entries: Iterable[Entry]) -> list[str]:
    """Return in what records differ from the first record of the same subject.

    What all runs of a part differ in is told once, and so is a section that one of them lacks.
    """
    first: dict[tuple[str, ...], tuple[Entry, dict[str, Any]]] = {}
    found: dict[Any, list[str]] = {}
    for entry in entries:
        for kind, ours in _by_kind(entry).items():
            subject = kind.subject.format(**vars(entry))
            place = (kind.keys, subject, entry.apart if kind.apart else "")
            other, theirs = first.setdefault(place, (entry, ours))
            for key in _keys(entry, ours, other, theirs):
                section = key if key in ours and key in theirs else key.rpartition(".")[0]
                same = entry.path if kind is OWN else section
                text = _told(kind, key, entry, ours, other, theirs)
                found.setdefault((kind, same, entry.part.name, other.part.name), []).append(text)
    return [
        f"{text} (and {len(more)} more like it)" if more else text for text, *more in found.values()
    ]


def _told(
    kind: Kind,
    key: str,
    entry: Entry,
    ours: Mapping[str, Any],
    other: Entry,
    theirs: Mapping[str, Any],
) -> str:
    values = f"{_shown(ours.get(key))}, in {other.path} it is {_shown(theirs.get(key))}"
    text = f"{entry.path}: {key} is {values}; {kind.fix}"
    if kind.apart and entry.part is not other.part:
        text += f", or keep one apart by --keep-apart {entry.part.name}"
    return text


def _keys(
    entry: Entry, ours: Mapping[str, Any], other: Entry, theirs: Mapping[str, Any]
) -> list[str]:
    """Return the keys with different values; records of two jobs have only some keys in common."""
    keys = differences(theirs, ours)
    return keys if entry.stage == other.stage else [k for k in keys if k in ours and k in theirs]


def _by_kind(entry: Entry) -> dict[Kind, dict[str, Any]]:
    found: dict[Kind, dict[str, Any]] = {}
    for key, value in entry.values.items():
        kind = _kind(f"{entry.stage}/{key}")
        # Null is as good as absent.
        if kind is not None and value is not None:
            found.setdefault(kind, {})[key] = value
    return found


@cache
def _kind(key: str) -> Kind | None:
    if re.fullmatch(IGNORED, key):
        return None
    return next(kind for kind in KINDS if re.fullmatch(kind.keys, key))


def _shown(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _entries(part: Part) -> Iterator[Entry]:
    """Yield the records of a part, those that others follow from first."""
    if part.data is not None:
        values = flat({"data": part.data})
        yield Entry(part=part, stage="data", path=part.paths.data_record, values=values)
    architectures = {run.origin.method: run.origin.spec.architecture for run in part.runs}
    for run in part.runs:
        yield from _of_run(part, run, architectures)
    for transfer in part.transfers:
        names = sorted({architectures.get(label, "") for label in transfer.methods})
        yield Entry(
            part=part,
            stage="transfer",
            path=part.paths.transfer_record(transfer.seed),
            values=flat(transfer),
            seed=transfer.seed,
            code=" ".join(names),
            code_here=partial(provenance.transfer_digest, *names),
        )
    for reference in part.references:
        if reference.evaluation is not None:
            yield Entry(
                part=part,
                stage="reference",
                path=reference.paths.evaluation_record,
                values=flat(reference.evaluation),
                label=reference.name,
            )


def _of_run(part: Part, run: Run, architectures: Mapping[str, str]) -> Iterator[Entry]:
    label, spec, evaluated = run.shared_label, run.origin.spec, run.evaluation.spec

    def entry(stage: str, path: Path, record: Any, **about: Any) -> Entry:
        return Entry(
            part=part,
            stage=stage,
            path=path,
            values=flat(record),
            label=label,
            seed=run.origin.seed,
            apart=run.apart,
            **about,
        )

    if isinstance(run.origin, TrainRecord):
        names = (run.origin.spec.method, spec.architecture, run.origin.spec.training.engine)
        yield entry(
            "train",
            run.paths.train_record,
            run.origin,
            code=label,
            code_here=partial(provenance.train_digest, *names),
        )
        yield entry("history", run.paths.history, run.history)
    else:
        yield entry(
            "network",
            run.paths.network_record,
            run.origin,
            code=spec.architecture,
            code_here=partial(provenance.external_digest, spec.architecture),
        )
    others = [architectures.get(label, "") for label in evaluated.networks]
    models = sorted({spec.architecture, *others})
    attacks = evaluated.evaluation.attack_files
    yield entry(
        "evaluate",
        run.paths.evaluation_record,
        run.evaluation,
        code=" ".join(models),
        code_here=partial(provenance.evaluate_digest, *models, attacks=attacks),
    )
    if run.diagnostics is not None:
        yield entry(
            "diagnose",
            run.paths.diagnostics_record,
            run.diagnostics,
            code=spec.architecture,
            code_here=partial(provenance.diagnose_digest, spec.architecture),
        )


def _code_alone(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the records whose code can be compared with neither all other parts nor this code.

    The digest of the training of one method says nothing of another method's. Where two parts have
    different methods, both must have been made by the code that is here.
    """
    shared = [entry for entry in entries if not entry.apart]
    stages: dict[str, set[str]] = {}
    subjects: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in shared:
        if entry.code_here is not None:
            stages.setdefault(entry.stage, set()).add(entry.part.name)
            subjects.setdefault((entry.stage, entry.code), {})[entry.part.name] = entry
    for (stage, _), by_part in subjects.items():
        entry = next(iter(by_part.values()))
        lacking = sorted(stages[stage] - set(by_part))
        if lacking and entry.values["code_digest"] != _here(entry):
            yield (
                f"{entry.path}: code_digest is {_shown(entry.values['code_digest'])}, here it is "
                f"{_shown(_here(entry))}, and {lacking[0]} has no such record that would show that "
                "both were made by the same code; merge with the version of the suite that made "
                f"them, or keep one apart by --keep-apart {entry.part.name}"
            )


def _here(entry: Entry) -> str | None:
    try:
        return entry.code_here() if entry.code_here else None
    except ModuleNotFoundError:  # a method or an architecture that is not here
        return None


def _unknown_weights(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the runs that were made with weights of a run that no part has."""
    known = {
        one.weights_sha256
        for part in parts
        for run in part.runs
        for one in run.origin.checkpoints.values()
    }
    for run in (run for part in parts for run in part.runs):
        for path, key, digest in _weights_used(run):
            if digest not in known:
                yield (
                    f"{path}: {key} is {_shown(digest)}, the weights of no run in any of the "
                    "folders; give the folder that has that run too"
                )


def _weights_used(run: Run) -> Iterator[tuple[Path, str, str]]:
    if isinstance(run.origin, TrainRecord):
        for key, digest in run.origin.needed_sha256.items():
            yield run.paths.train_record, f"needed_sha256.{key}", digest
    for label, digest in run.evaluation.others_sha256.items():
        yield run.paths.evaluation_record, f"others_sha256.{label}", digest


def _incomplete_transfers(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the transfers that leave out a method that another part has of the same seed."""
    there = {run.pair for part in parts for run in part.runs if not run.apart}
    for part in parts:
        for transfer in part.transfers:
            labels = sorted(label for label, seed in there if seed == transfer.seed)
            if labels != sorted(transfer.methods) and not part.apart:
                yield (
                    f"{part.paths.transfer_record(transfer.seed)}: methods are "
                    f"{', '.join(sorted(transfer.methods))}, the folders together have "
                    f"{', '.join(labels)} with this seed; move {_transfer_files(part, transfer)} "
                    "out of its folder, and make it again for all methods from the merged folder"
                )


def _not_kept_apart(parts: Sequence[Part]) -> Iterator[str]:
    """Yield what a part that is kept apart has and cannot get a label of its own for."""
    for part in parts:
        files = [_transfer_files(part, transfer) for transfer in part.transfers]
        files += [str(reference.paths.folder) for reference in part.references]
        for name in files if part.apart else ():
            yield (
                f"{name}: it has no label of its own by which --keep-apart {part.name} could tell "
                "it from that of the other folders; move it out of its folder"
            )


def _transfer_files(part: Part, transfer: TransferRecord) -> str:
    """Return both files of a transfer as a sentence names them."""
    return f"{part.paths.transfer_record(transfer.seed).with_suffix('')}.{{json,csv}}"

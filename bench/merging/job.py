"""Joins folders of one experiment into a new one: results alone, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.config.schema import NAME
from bench.merging.checks import mismatches, missing
from bench.merging.parts import Pair, Part, Reference, Run, read_part
from bench.results.paths import Paths
from bench.results.records import MergedPart, MergedRecord, TrainRecord
from bench.runtime.errors import BenchError, SeveralError
from bench.runtime.files import appearing_folder


def merge(given: Sequence[tuple[str, Path]], out: Path, apart: Iterable[str] = ()) -> MergedRecord:
    """Join the folders `given`, each with the name of its part, into the folder `out`.

    The result does not depend on their order. Parts named in `apart` may be of other code,
    packages, devices or engines: their runs get labels of their own.

    Raises
    ------
    BenchError
        A name or folder cannot be used, or `out` is not empty.
    SeveralError
        With a sentence for each thing that is missing, damaged or differs; nothing is written.
    """
    _check_names(given, apart)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BenchError(f"{out}: it is there already; name a new folder by --out")
    problems: list[str] = []
    parts = [
        read_part(name, folder, apart=name in apart, problems=problems)
        for name, folder in sorted(given)
    ]
    # A run that cannot be read is not told to be missing too.
    lacking = [] if problems else missing(parts)
    problems += mismatches(parts) + lacking
    if problems:
        raise SeveralError(*problems)
    with appearing_folder(out) as partial:
        return _write(parts, Paths(partial))


def _check_names(given: Sequence[tuple[str, Path]], apart: Iterable[str]) -> None:
    names: dict[str, Path] = {}
    folders: set[Path] = set()
    for name, folder in given:
        if not folder.is_dir():
            raise BenchError(f"{folder}: no such folder; name one such as results/digits")
        if folder.resolve() in folders:
            raise BenchError(f"{folder}: given twice; give each folder once")
        if not NAME.fullmatch(name):
            raise BenchError(
                f"{folder}: {name!r} cannot name a part; give it another name, as alice={folder}"
            )
        if name.lower() in names:
            other = names[name.lower()]
            raise BenchError(
                f"{folder}: {name} is the name of {other} too; name both, as alice={other} "
                f"bob={folder}"
            )
        names[name.lower()] = folder
        folders.add(folder.resolve())
    for name in apart:
        if name not in [one for one, _ in given]:
            known = ", ".join(one for one, _ in given)
            raise BenchError(f"--keep-apart {name}: no part has this name; known: {known}")


def _write(parts: Sequence[Part], out: Paths) -> MergedRecord:
    """Write the results of all parts, and return the record of who made them.

    They are written in the order in which jobs make them: no file is newer than what follows from
    it, so that Snakemake has nothing to make again.
    """
    data = next((part.paths for part in parts if part.paths.data.is_file()), parts[0].paths)
    _copy([data.data] if data.data.is_file() else [], data.folder, out.folder)
    _copy([data.data_record], data.folder, out.folder)
    runs = _chosen(parts)
    files = [run.paths.results() for run in runs]
    for stage in range(3):
        for run, of_run in zip(runs, files, strict=True):
            _copy_run(run, of_run[stage], out)
    for part, seed in _chosen_transfers(parts):
        both = [part.paths.transfer_record(seed), part.paths.transfer(seed)]
        _copy(both, part.paths.folder, out.folder)
    for reference in _chosen_references(parts):
        of_reference = [path for stage in reference.paths.results() for path in stage]
        _copy(of_reference, reference.paths.folder, out.reference(reference.name).folder)
    record = _who_made_what(parts)
    record.write(out.merged_record)
    return record


def _chosen(parts: Sequence[Part]) -> list[Run]:
    """Return one of several equal runs each, diagnosed if one is; needed weights come first."""
    chosen: dict[Pair, Run] = {}
    for run in (run for part in parts for run in part.runs):
        other = chosen.get(run.pair)
        if other is None or (run.diagnostics and not other.diagnostics):
            chosen[run.pair] = run
    return sorted(chosen.values(), key=lambda run: (_needs_others(run), run.pair))


def _needs_others(run: Run) -> bool:
    return isinstance(run.origin, TrainRecord) and bool(run.origin.needed_sha256)


def _chosen_transfers(parts: Sequence[Part]) -> list[tuple[Part, int]]:
    by_seed = {one.seed: part for part in reversed(parts) for one in part.transfers}
    return [(by_seed[seed], seed) for seed in sorted(by_seed)]


def _chosen_references(parts: Sequence[Part]) -> list[Reference]:
    """Return each RobustBench model once, with an evaluation if a part has one."""
    chosen: dict[str, Reference] = {}
    for reference in (one for part in parts for one in part.references):
        other = chosen.get(reference.name)
        if other is None or (reference.evaluation and not other.evaluation):
            chosen[reference.name] = reference
    return list(chosen.values())


def _copy_run(run: Run, files: Iterable[Path], out: Paths) -> None:
    target = out.run(*run.pair)
    _copy(files, run.paths.folder, target.folder)
    if not run.renamed:
        return
    records = {
        run.paths.origin_record: run.origin,
        run.paths.evaluation_record: run.evaluation,
        run.paths.diagnostics_record: run.diagnostics,
    }
    for path in files:
        if record := records.get(path):
            record.write(target.folder / path.relative_to(run.paths.folder))


def _copy(files: Iterable[Path], source: Path, target: Path) -> None:
    """Copy `files` below `source` to the same places below `target`; copies are new files."""
    for path in files:
        to = target / path.relative_to(source)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)


def _who_made_what(parts: Sequence[Part]) -> MergedRecord:
    made: dict[tuple[str, str], _Made] = {}
    for part in parts:
        for run in part.runs:
            for maker in run.made:
                one = made.setdefault((maker.name, run.apart), _Made())
                label, seed = run.pair
                one.seeds.setdefault(label, set()).add(seed)
                one.days |= {maker.first, maker.last}
        for reference in part.references:
            for maker in reference.made:
                one = made.setdefault((maker.name, ""), _Made())
                one.references.add(reference.name)
                one.days |= {maker.first, maker.last}
    return MergedRecord(
        parts=tuple(
            MergedPart(
                name=name,
                seeds={label: tuple(sorted(one.seeds[label])) for label in sorted(one.seeds)},
                references=tuple(sorted(one.references)),
                first=min(one.days),
                last=max(one.days),
                apart=apart,
            )
            for (name, apart), one in sorted(made.items())
        )
    )


@dataclass
class _Made:
    """What one part made, and the days of its files."""

    seeds: dict[str, set[int]] = field(default_factory=dict)
    references: set[str] = field(default_factory=set)
    days: set[str] = field(default_factory=set)

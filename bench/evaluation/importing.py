"""Take adversarial images of others into the results of a run that was evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.config.schema import NAME, RESERVED
from bench.data.dataset import Images, load
from bench.evaluation.imported import evaluate_imported, keep, read_images
from bench.evaluation.job import keep_witnesses, load_checkpoint, write_results
from bench.evaluation.witnesses import Witnesses
from bench.numerics.device import prepare
from bench.results.evaluated import read_run
from bench.results.paths import RunPaths
from bench.results.records import AttackRecord
from bench.runtime.errors import BenchError


def import_into(
    folder: Path, images: Path, *, name: str, source: str, checkpoint: str, data: Path
) -> AttackRecord:
    """Count the adversarial images in `images` as an attack `name` on a checkpoint of a run.

    Those that fool the network are kept with the run, so that a later evaluation counts them too.
    Returns the attack's record, which evaluation.json then has.

    Raises
    ------
    BenchError
        The name is taken, the run was not evaluated, or an image is none of this attack.
    """
    run = RunPaths(folder)
    evaluated = read_run(run)
    record = evaluated.evaluation
    if checkpoint not in record.checkpoints:
        raise BenchError(
            f"--checkpoint: {folder} has no {checkpoint!r}, only {', '.join(record.checkpoints)}"
        )
    one = record.checkpoints[checkpoint]
    path = run.imported(checkpoint, name)
    if not NAME.fullmatch(name) or name.lower() in RESERVED:
        raise BenchError(f"--name: {name!r} cannot name an attack; try foolbox_pgd")
    if name in one.attacks and not path.is_file():
        raise BenchError(f"--name: {name!r} is an attack of this evaluation; choose another")
    dataset, device = load(data), prepare(record.spec.compute)
    network = load_checkpoint(run, evaluated.training, checkpoint, dataset).to(device)
    test = Images(dataset.test.pixels.to(device), dataset.test.labels.to(device))
    shape = tuple(dataset.test.pixels.shape[1:])
    given, digest = read_images(images, shape, len(dataset.test))
    imported = keep(
        path,
        network,
        test,
        given,
        source=source,
        file_sha256=digest,
        eps=record.spec.threat.eps,
        fingerprint=dataset.fingerprint,
    )
    results = evaluate_imported(network, test, name, imported)
    written = write_results(run, checkpoint, name, results, test)
    digest_of_witnesses = one.witnesses_sha256
    if digest_of_witnesses is not None:
        found = Witnesses.read(run.witnesses(checkpoint)).by_attack()
        digest_of_witnesses = keep_witnesses(
            network,
            test,
            {**found, name: imported.found},
            run,
            checkpoint,
            dataset,
            record.spec,
            one.weights_sha256,
        )
    changed = replace(
        one, attacks={**one.attacks, name: written}, witnesses_sha256=digest_of_witnesses
    )
    replace(record, checkpoints={**record.checkpoints, checkpoint: changed}).write(
        run.evaluation_record
    )
    return written

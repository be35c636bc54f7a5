"""A robust accuracy that can be checked: witnesses, their recheck, and images that others made."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factory import edit_json, read_csv, write_csv
from synthetic import CPU, settings_kept, some_data, some_spec
from torch import Tensor, nn

from bench.__main__ import main
from bench.attacks.pgd import pgd
from bench.config.experiment import Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import Images, load, save, to_unit
from bench.evaluation.importing import import_into
from bench.evaluation.job import evaluate, load_network
from bench.evaluation.recheck import recheck
from bench.evaluation.witnesses import Witnesses, decode, encode, of_all
from bench.results.evaluated import read_run
from bench.results.paths import RunPaths
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.training.job import train

EPS = 0.3
PGDS = {
    "pgd20": Pgd(steps=3, step_size=EPS / 2),
    "cw": Pgd(steps=3, step_size=EPS / 2, loss="margin"),
}
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(batch_size=8, pgd=PGDS, witnesses=True),
    compute=CPU,
)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment with one run that has witnesses."""
    results = tmp_path_factory.mktemp("results") / "digits"
    data, folder = results / "data.safetensors", results / "models" / "mine" / "seed0"
    save(some_data(), data)
    with settings_kept():
        spec = replace(some_spec("trades", epochs=4), threat=Threat(eps=EPS))
        train(spec, experiment="digits", label="mine", data=data, folder=folder)
        evaluate(SPEC, data=data, folder=folder)
    return results


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> RunPaths:
    results = Path(shutil.copytree(evaluated, tmp_path / "digits"))
    return RunPaths(results / "models" / "mine" / "seed0")


def data_of(run: RunPaths) -> Path:
    return run.folder.parents[2] / "data.safetensors"


def fallen(run: RunPaths, checkpoint: str) -> set[int]:
    """The places of the images that some attack broke, by the per-example results."""
    rows = [
        row for attack in ("clean", *PGDS) for row in read_csv(run.examples(checkpoint, attack))
    ]
    return {int(row["index"]) for row in rows if row["robust"] == "0"}


def test_every_image_that_fell_has_a_witness_and_no_other(run):
    for checkpoint in ("best", "last"):
        witnesses = Witnesses.read(run.witnesses(checkpoint))
        assert set(witnesses.index.tolist()) == fallen(run, checkpoint)
        network, _ = load_network(run.weights(checkpoint))
        images, test = witnesses.images(), load(data_of(run)).test
        assert (network(images).argmax(dim=1) != witnesses.labels).all()
        centres = to_unit(test.pixels[witnesses.index])
        assert (images - centres).abs().max() <= EPS + 1e-6
        assert 0 <= images.min() <= images.max() <= 1


def test_they_prove_it_with_the_weights_alone_and_agree_with_the_rest(run, capsys, tmp_path):
    assert main(["recheck", str(run.folder)]) == 0
    assert "records and results agree" in capsys.readouterr().out
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(run.weights("best"), alone)
    (alone / "witnesses").mkdir()
    shutil.copy(run.witnesses("best"), alone / "witnesses")
    (one,) = recheck(alone)
    assert not one.results_known
    assert not one.images_known
    fell = len(fallen(run, "best"))
    assert (one.fell, one.undecided) == (fell, 0)
    assert one.at_most == pytest.approx(100 * (1 - fell / one.n))


class Brittle(nn.Module):
    """A network that is wrong at one very point only, so that no rounded image will do."""

    def __init__(self, point: Tensor) -> None:
        super().__init__()
        self.point = nn.Parameter(point)

    def forward(self, images: Tensor) -> Tensor:
        wrong = (images == self.point).flatten(1).all(dim=1).float()
        return torch.stack([1 - wrong, wrong], dim=1)


def test_an_image_that_rounding_would_lose_is_kept_to_the_bit():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, 4, 4), dtype=torch.uint8)
    point = to_unit(pixels) + 0.03 * (2 * torch.rand(1, 3, 4, 4) - 1)
    test = Images(pixels, torch.tensor([0]))
    found = encode(Brittle(point), test, point, torch.tensor([True]), eps=0.03)
    assert torch.equal(found.images(pixels, 0.03), point)
    assert len(found.exact_rows) == 1


def test_steps_stay_in_the_ball_and_take_one_byte_a_value():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (100, 3, 8, 8), dtype=torch.uint8)
    steps = torch.randint(-127, 128, pixels.shape, dtype=torch.int8)
    moved = decode(pixels, steps, 8 / 255)
    assert (moved - to_unit(pixels)).abs().max() <= 8 / 255 + 1e-7
    assert torch.equal(decode(pixels, steps, 8 / 255), moved)
    # 10,000 images of 3 x 32 x 32 and what is said of each are below 70 MB.
    assert 10_000 * (2 * 3 * 32 * 32 + 8 + 8 + 32 + 20) < 70e6


def _edited(**changes: Callable[[Witnesses], object]) -> Callable[[RunPaths], None]:
    def edit(run: RunPaths) -> None:
        path = run.witnesses("best")
        found = Witnesses.read(path)
        replace(found, **{key: change(found) for key, change in changes.items()}).write(path)

    return edit


def _without_record(edit: Callable[[RunPaths], None]) -> Callable[[RunPaths], None]:
    def both(run: RunPaths) -> None:
        edit(run)
        run.evaluation_record.unlink()

    return both


def _other_image(found: Witnesses) -> Tensor:
    return found.pixels.roll(1, dims=0)


def _one_less(run: RunPaths) -> None:
    path = run.witnesses("best")
    found = Witnesses.read(path)
    kept = {
        key: value[1:]
        for key, value in vars(found).items()
        if key in ("index", "labels", "pixels", "steps", "attacks")
    }
    replace(found, **kept, exact_rows=found.exact_rows - 1).write(path)
    _recorded(run)


def _recorded(run: RunPaths) -> None:
    digest = sha256(run.witnesses("best"))
    edit_json(run.evaluation_record, checkpoints__best__witnesses_sha256=digest)


def _called_robust(run: RunPaths) -> None:
    """Call an image robust in all results, with the counts and digests that fit."""
    number = Witnesses.read(run.witnesses("best")).index[-1].item()
    for attack in ("clean", *PGDS):
        path = run.examples("best", attack)
        rows = read_csv(path)
        for row in rows:
            if int(row["index"]) == number:
                row.update(clean="1", robust="1", broken_by="")
        write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
        right = sum(row["robust"] == "1" for row in rows)
        key = f"checkpoints__best__attacks__{attack}"
        edit_json(
            run.evaluation_record, **{f"{key}__correct": right, f"{key}__sha256": sha256(path)}
        )


def _other_weights(run: RunPaths) -> None:
    shutil.copy(run.weights("last"), run.weights("best"))


def _cut(run: RunPaths) -> None:
    path = run.witnesses("best")
    path.write_bytes(path.read_bytes()[:-100])


def _fewer_images(run: RunPaths) -> None:
    """Leave out the robust images behind the last that fell, so that their share gets smaller."""
    found = Witnesses.read(run.witnesses("best"))
    digests = found.digests[: int(found.index[-1]) + 1]
    if len(digests) == len(found.digests):
        digests = torch.cat([digests, digests[:1]])
    about = replace(found.about, images_sha256=of_all(digests))
    replace(found, digests=digests, about=about).write(run.witnesses("best"))
    _recorded(run)
    data_of(run).unlink()


def _other_attack(run: RunPaths) -> None:
    _edited(attacks=lambda found: ["other"] * len(found))(run)
    _recorded(run)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (_fewer_images, "test images"),
        (_other_attack, "is said to fall to other"),
        (_edited(steps=lambda found: found.steps.flip(0)), "right on image|not the witnesses that"),
        (_without_record(_edited(steps=lambda found: -found.steps)), "network is right on image"),
        (
            _without_record(_edited(about=lambda found: replace(found.about, eps=EPS / 100))),
            "network is right on image",
        ),
        (_edited(pixels=_other_image), "is not the stated test image"),
        (_edited(labels=lambda found: (found.labels + 1) % 3), "is not the stated test image"),
        (_edited(index=lambda found: found.index.flip(0)), "is there twice"),
        (_edited(digests=lambda found: found.digests.flip(0)), "digests of the test images"),
        (_one_less, "fell, and no witness shows it"),
        (_called_robust, "is called robust"),
        (_other_weights, "not the weights"),
        (_cut, "truncated"),
        (
            lambda run: edit_json(run.evaluation_record, spec__threat__eps=EPS / 2),
            "threat.eps|eps is",
        ),
    ],
)
def test_what_was_changed_is_refused(edit, said, run):
    edit(run)
    with pytest.raises(BenchError, match=said):
        recheck(run.folder)


def test_an_image_outside_its_ball_is_refused(run):
    def outside(found: Witnesses) -> Tensor:
        return to_unit(found.pixels[:1]) + 3 * EPS

    edit = _edited(exact_rows=lambda found: torch.tensor([0]), exact=outside)
    _without_record(edit)(run)
    with pytest.raises(BenchError, match="outside the ball"):
        recheck(run.folder)


def test_an_evaluation_again_has_the_same_witnesses(run):
    before = sha256(run.witnesses("best"))
    evaluate(SPEC, data=data_of(run), folder=run.folder)
    assert sha256(run.witnesses("best")) == before
    without = replace(SPEC, evaluation=replace(SPEC.evaluation, witnesses=False))
    evaluate(without, data=data_of(run), folder=run.folder)
    assert not run.witnesses("best").exists()
    # The finished attacks kept what they found.
    evaluate(SPEC, data=data_of(run), folder=run.folder)
    assert sha256(run.witnesses("best")) == before


@pytest.fixture
def strong(run: RunPaths) -> Tensor:
    """Images of another's attack on the best checkpoint."""
    network, _ = load_network(run.weights("best"))
    test = load(data_of(run)).test
    return pgd(
        network,
        to_unit(test.pixels),
        test.labels,
        eps=EPS,
        step=EPS / 4,
        steps=40,
        restarts=3,
        loss="margin",
        generator=torch.Generator().manual_seed(5),
    )


def _folder(images: Tensor, path: Path) -> Path:
    path.mkdir()
    for place, image in enumerate(images):
        np.save(path / f"{place}.npy", image.permute(1, 2, 0).numpy())
    return path


def _saved(images: Tensor, folder: Path, form: str) -> Path:
    path = folder / f"adversarial.{form}"
    match form:
        case "pt":
            torch.save({"adv_complete": images, "eps": EPS}, path)
        case "npy":
            np.save(path, images.permute(0, 2, 3, 1).numpy())
        case "npz":
            np.savez(path, x_adv=images.numpy(), labels=np.zeros(len(images)))
        case "arrays":
            return _folder(images, path)
    return path


@pytest.mark.parametrize("form", ["pt", "npy", "npz", "arrays"])
def test_images_of_others_count_whatever_they_are_saved_as(form, strong, run, tmp_path):
    images = _saved(strong, tmp_path, form)
    import_into(
        run.folder, images, name="theirs", source="Theirs 1.0", checkpoint="best", data=data_of(run)
    )
    network, _ = load_network(run.weights("best"))
    test = load(data_of(run)).test
    right = network(to_unit(test.pixels)).argmax(dim=1) == test.labels
    broken = network(strong).argmax(dim=1) != test.labels
    result = read_run(run).results["best"]["theirs"]
    assert result.examples["robust"].tolist() == (right & ~broken).tolist()
    assert result.record.source == "imported: Theirs 1.0"
    assert len(recheck(run.folder)) == 2
    # A later evaluation counts them too.
    evaluate(SPEC, data=data_of(run), folder=run.folder)
    assert read_run(run).results["best"]["theirs"].record.correct == result.record.correct
    assert len(recheck(run.folder)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images + 0.5 * EPS, "is .* from test image"),
        (lambda images: images * 255, "is .* from test image"),
        (lambda images: images[:, :, 1:], "a test image"),
        (lambda images: torch.cat([images, images]), "the test set"),
        (lambda images: images * torch.nan, "not finite"),
    ],
)
def test_images_that_are_no_attack_on_these_are_refused(change, said, strong, run, tmp_path):
    torch.save(change(strong), tmp_path / "images.pt")
    before = run.evaluation_record.read_bytes()
    with pytest.raises(BenchError, match=f"--images.*{said}"):
        import_into(
            run.folder,
            tmp_path / "images.pt",
            name="theirs",
            source="Theirs",
            checkpoint="best",
            data=data_of(run),
        )
    assert run.evaluation_record.read_bytes() == before
    assert not run.imports("best")


@pytest.mark.parametrize("name", ["pgd20", "worst_case", "a/b"])
def test_a_name_that_is_taken_is_refused(name, strong, run, tmp_path):
    torch.save(strong, tmp_path / "images.pt")
    with pytest.raises(BenchError, match=re.escape(f"--name: {name!r}")):
        import_into(
            run.folder,
            tmp_path / "images.pt",
            name=name,
            source="Theirs",
            checkpoint="best",
            data=data_of(run),
        )

"""Registered attacks beside their contract: few classes, random networks, the documents' own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from brief import brief_autoattack
from margins import Blocks, pixels
from registering import blocks, registered_mine
from settings import settings
from torch import Tensor, nn

from bench.attacks.autoattack_few_classes import components
from bench.attacks.base import create
from bench.config.experiment import (
    AutoAttack,
    Compute,
    Evaluation,
    EvaluationSpec,
    Pgd,
    RegisteredAttack,
    Threat,
    experiment,
)
from bench.data.dataset import Images
from bench.evaluation.job import evaluate_attacks
from bench.evaluation.per_example import ExampleResults, evaluate_attack
from bench.evaluation.random_networks import is_random, with_eot
from bench.results.flags import RANDOM
from bench.results.paths import RunPaths
from bench.runtime.errors import ConfigError

SHAPE = (1, 16, 16)
EPS = 8 / 255
LEVELS = [6, 20, 6, 20, 6, 20]  # images of level 6 fall at this eps, those of level 20 do not
CPU = Compute(device="cpu", threads=1, tf32=False)
PGD = Pgd(steps=6, step_size=EPS / 4)


def spec_of(name: str, **options: object) -> EvaluationSpec:
    attack = RegisteredAttack(attack=name, options=options)
    evaluation = Evaluation(batch_size=4, attacks={name: attack})
    return EvaluationSpec(threat=Threat(eps=EPS), evaluation=evaluation, compute=CPU)


def test_images(classes: int) -> Images:
    labels = [index % classes for index in range(len(LEVELS))]
    return Images(pixels(labels, LEVELS, SHAPE, classes=classes), torch.tensor(labels))


test_images.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"n_iter": 10}
    brief_autoattack(
        monkeypatch, apgd=few, apgd_targeted=few, fab={"n_iter": 3}, square={"n_queries": 30}
    )


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (2, ("apgd-ce", "fab-t", "square")),
        (3, ("apgd-ce", "apgd-dlr", "fab-t", "square")),
        *((k, ("apgd-ce", "apgd-t", "fab-t", "square")) for k in (4, 9)),
    ],
)
# Steep logits have no cross-entropy gradient: what APGD-CE leaves falls to a loss of differences.
@pytest.mark.parametrize(("scale", "first"), [(1.0, "apgd-ce"), (1e4, "")])
def test_what_can_be_broken_is_broken_for_few_classes(brief, classes, expected, scale, first):
    assert components(classes) == expected
    model = Blocks(SHAPE, scale=scale, classes=classes)
    spec = spec_of("autoattack_few_classes", queries=30)
    results = evaluate_attack(model, test_images(classes), "autoattack_few_classes", spec)
    assert results.robust.tolist() == [level == 20 for level in LEVELS]
    by = set(results.broken_by) - {""}
    assert by == {first or expected[1]}
    assert not [text for text in results.details["warnings"] if "DLR" in text]
    assert "autoattack" in results.source


def test_where_autoattack_has_too_few_classes_the_attack_that_can_is_named():
    needs = experiment(settings({"evaluation.autoattack": {}})).needs
    with pytest.raises(ConfigError, match="autoattack_few_classes"):
        needs.check("mine", classes=4, test_images=100)


class Noisy(Blocks):
    """Blocks that see their images through noise, of which every pass has another."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.01 * torch.randn_like(images))


@pytest.mark.parametrize(("kind", "random"), [(Blocks, False), (Noisy, True)])
def test_a_network_is_random_where_its_passes_differ(kind, random):
    model, state = kind(SHAPE), torch.get_rng_state()
    assert is_random(model, test_images(10)) == random
    assert torch.equal(torch.get_rng_state(), state)


def evaluated(model: nn.Module, folder: Path, spec: EvaluationSpec) -> dict[str, object]:
    return evaluate_attacks(model, test_images(10), spec, RunPaths(folder), "best", {})[0]


def test_a_random_network_is_attacked_with_averaged_gradients_and_its_rows_say_so(
    brief, tmp_path, capsys
):
    spec = spec_of("apgd_eot")
    plain = replace(spec, evaluation=Evaluation(batch_size=4, pgd={"pgd20": PGD}))
    records = evaluated(Noisy(SHAPE), tmp_path, plain)
    assert list(records) == ["clean", "pgd20", "apgd_eot"]
    assert [record.flags for record in records.values()] == [(), (RANDOM,), (RANDOM,)]
    assert records["apgd_eot"].correct <= 3
    assert "apgd_eot" in capsys.readouterr().out
    # Results of random networks are repeatable too.
    again = evaluated(Noisy(SHAPE), tmp_path / "again", plain)
    assert [r.sha256 for r in again.values()] == [r.sha256 for r in records.values()]
    assert list(evaluated(Blocks(SHAPE), tmp_path / "blocks", plain)) == ["clean", "pgd20"]


def test_the_added_attack_sees_as_many_images_as_the_others_and_none_where_none_is_asked():
    bare = EvaluationSpec(threat=Threat(eps=EPS), evaluation=Evaluation(batch_size=4), compute=CPU)
    assert with_eot(bare, "best") == bare
    few = Evaluation(
        batch_size=4, pgd={"pgd20": replace(PGD, images=3)}, autoattack=AutoAttack(images=2)
    )
    assert (
        with_eot(replace(bare, evaluation=few), "best").evaluation.attacks["apgd_eot"].images == 3
    )
    every = replace(few, pgd={"pgd20": PGD})
    added = with_eot(replace(bare, evaluation=every), "best").evaluation.attacks["apgd_eot"]
    assert added.images is None
    # A config that names it has decided itself.
    asked = spec_of("apgd_eot")
    assert with_eot(asked, "last") == asked


def results_of(**keys: object) -> ExampleResults:
    evaluation = Evaluation(batch_size=4, pgd={"pgd20": replace(PGD, steps=2, **keys)})
    spec = EvaluationSpec(threat=Threat(eps=EPS), evaluation=evaluation, compute=CPU)
    return evaluate_attack(Blocks(SHAPE), test_images(10), "pgd20", spec)


def test_pgd_of_several_seeds_has_the_results_of_the_first_and_counts_them_all():
    alone = [results_of(seed=seed) for seed in (3, 4, 5)]
    several = results_of(seed=3, seeds=3)
    assert torch.equal(several.robust, alone[0].robust)
    assert (several.broken_by, several.seed) == (alone[0].broken_by, 3)
    counts = {str(one.seed): int(one.robust.sum()) for one in alone}
    assert several.details == {**alone[0].details, "correct_by_seed": counts}
    assert "correct_by_seed" not in alone[0].details


def test_the_attack_of_the_document_is_a_whole_one(tmp_path):
    (tmp_path / "attacks").mkdir()
    with registered_mine(tmp_path / "attacks") as name:
        asked = experiment(settings({"evaluation.attacks": {name: {"steps": 50}}}))
        attack = asked.evaluation.attacks[name]
        assert attack.options == {"steps": 50}
        assert create(name, attack.options).steps == 50
        spec = spec_of(name, steps=50)
        first, again = (
            evaluate_attack(Blocks(SHAPE), test_images(10), name, spec) for _ in range(2)
        )
    assert first.details["about"].startswith("Random corners of the ball")
    assert first.details["about"].endswith("(steps=50)")
    assert torch.equal(first.robust, again.robust)
    assert set(first.broken_by) <= {"", name}
    assert first.robust.tolist()[1::2] == [True] * 3


def test_the_document_repeats_a_recorded_attack(tmp_path, monkeypatch):
    from test_evaluate_job import SPEC, evaluate, settings_kept, some_data, some_spec, train

    from bench.data.dataset import save

    results = tmp_path / "results" / "digits"
    folder, data = results / "models" / "trades" / "seed0", results / "data.safetensors"
    save(some_data(), data)
    pgd = {"pgd20": Pgd(steps=20, step_size=0.05)}
    evaluation = Evaluation(batch_size=300, pgd=pgd)
    spec = replace(SPEC, threat=Threat(eps=0.2), evaluation=evaluation)
    trained = some_spec("trades")
    with settings_kept():
        train(
            replace(trained, threat=Threat(eps=0.2)),
            experiment="digits",
            label="trades",
            data=data,
            folder=folder,
        )
        evaluate(spec, data=data, folder=folder)
        (code,) = blocks("from pathlib")
        monkeypatch.chdir(tmp_path)
        exec(code, {})

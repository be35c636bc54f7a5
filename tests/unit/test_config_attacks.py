"""The section `evaluation.attacks`: what a config may say of attacks, checked without torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from settings import settings

from bench.config import attack_options
from bench.config.attack_options import FOLDER, attack_names, check_attack
from bench.config.attack_options import attack_options as options_of
from bench.config.experiment import EvaluationSpec, RegisteredAttack, experiment, spec_json
from bench.config.method_options import declarations
from bench.config.parsing import parse
from bench.runtime.errors import ConfigError


def read(attacks, **changes):
    return experiment(settings({"evaluation.attacks": attacks, **changes}))


def test_options_stand_beside_the_keys_of_every_attack_and_have_defaults():
    given = {"attack": "transfer_pgd", "restarts": 2, "images": 5, "checkpoints": ["last"]}
    found = read({"other": given}, **{"methods.standard": {}}).evaluation.attacks
    assert found == {
        "other": RegisteredAttack(
            attack="transfer_pgd",
            options={"steps": 20, "step_size": None, "restarts": 2, "loss": "ce"},
            images=5,
            checkpoints=("last",),
        )
    }


def test_the_label_is_the_attack_where_none_is_named_and_nothing_else_is_needed():
    asked = read({"apgd_eot": None}).evaluation.attacks["apgd_eot"]
    assert (asked.attack, asked.seed, asked.checkpoints) == ("apgd_eot", 0, ("best",))


def test_the_settings_go_through_json_and_back():
    spec = read({"apgd_eot": {"iterations": 3}}).evaluation_spec()
    assert parse(EvaluationSpec, spec_json(spec), where="spec") == spec


@pytest.mark.parametrize(
    ("attacks", "key"),
    [
        ({"apgd_eot": {"iteration": 3}}, "evaluation.attacks.apgd_eot"),
        ({"apgd_eot": {"iterations": 0}}, "evaluation.attacks.apgd_eot.iterations"),
        ({"apgd_eot": {"seed": -1}}, "evaluation.attacks.apgd_eot.seed"),
        ({"apgd_eot": {"checkpoints": ["first"]}}, "evaluation.attacks.apgd_eot.checkpoints"),
        ({"apgd_eot": 3}, "evaluation.attacks.apgd_eot"),
        ({"mine": {"attack": "apgd_eto"}}, "evaluation.attacks.mine.attack"),
        ({"pgd": {"attack": "pgd"}}, "evaluation.attacks.pgd.attack"),
        # The label of one attack must not stand for another.
        ({"apgd_eot": {"attack": "autoattack_few_classes"}}, "evaluation.attacks.apgd_eot"),
        *(
            ({label: {"attack": "apgd_eot"}}, "evaluation.attacks")
            for label in ("clean", "autoattack", "Worst_Case", "pgd20", "PGD50", "cw", "a/b")
        ),
        ({"a": {"attack": "apgd_eot"}, "A": {"attack": "apgd_eot"}}, "evaluation.attacks"),
        ([], "evaluation.attacks"),
    ],
)
def test_what_is_wrong_is_refused_with_its_key(attacks, key):
    with pytest.raises(ConfigError) as caught:
        read(attacks, **{"evaluation.pgd.cw": {"steps": 20, "loss": "margin"}})
    assert str(caught.value).startswith(key)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        read({"a": {"attack": "b"}, "c": {"attack": "d"}}, **{"evaluation.batch_size": 0})
    assert len(caught.value.problems) == 3


def test_a_pgd_must_not_have_the_name_of_what_random_networks_are_attacked_with():
    with pytest.raises(ConfigError, match=r"evaluation\.pgd"):
        experiment(settings({"evaluation.pgd.apgd_eot": {"steps": 20}}))


def test_the_images_that_an_attack_asks_for_must_be_there():
    with pytest.raises(ConfigError, match=r"evaluation\.attacks\.apgd_eot\.images"):
        read({"apgd_eot": {"images": 50}}, **{"data.test_images": 20})


def test_other_networks_are_named_only_where_an_attack_uses_them():
    def networks(attacks):
        found = read(attacks, **{"methods.standard": {}, "methods.mart": {}})
        return found.evaluation_spec_of("standard", 0).networks

    assert networks({"transfer_pgd": {}}) == ("mart", "trades")
    assert networks({"transfer_pgd": {"checkpoints": []}}) == ()
    assert networks({"apgd_eot": {}}) == ()
    with pytest.raises(ConfigError, match=r"evaluation\.attacks"):
        read({"transfer_pgd": {}})


def test_weights_that_were_trained_elsewhere_are_used_for_the_seeds_that_they_have():
    theirs = {"architecture": "small_cnn", "weights": {1: "theirs.safetensors"}}
    changes = {"methods.standard": {}, "networks": {"theirs": theirs}}
    of = read({"transfer_pgd": {}}, **changes)
    assert of.evaluation_spec_of("trades", 0).networks == ("standard",)
    assert of.evaluation_spec_of("trades", 1).networks == ("standard", "theirs")
    assert of.evaluation_spec_of("theirs", 1).networks == ("standard", "trades")


@pytest.mark.parametrize("name", attack_names())
def test_each_attack_of_the_suite_says_in_a_line_what_it_is(name):
    assert options_of(name) is not None
    assert attack_options.attack_about(name).endswith(".")


WHOLE = """
@register("mine")
@dataclass(frozen=True, kw_only=True)
class Mine(Attack):
    "What it is."
    steps: Count = 3
    def search(self, target): ...
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def search", "def look", "search"),
        ("@dataclass(frozen=True, kw_only=True)", "", "dataclass"),
        ('"What it is."', "", "docstring"),
        ("steps: Count", "seed: Count", "seed"),
        ("= 3", "= three()", "steps"),
    ],
)
def test_a_file_that_is_no_attack_is_refused_from_its_source(tmp_path: Path, old, new, said):
    path = tmp_path / "mine.py"
    path.write_text(WHOLE)
    check_attack(path, declarations(path)["mine"])
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(ConfigError, match=said):
        check_attack(path, declarations(path)["mine"])


def test_every_attack_of_the_suite_is_whole():
    for name in attack_names():
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        assert any(isinstance(node, ast.ClassDef) for node in tree.body)

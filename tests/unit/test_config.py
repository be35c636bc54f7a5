from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from settings import settings

from bench.config.experiment import Data, EvaluationSpec, TrainSpec, experiment, spec_json
from bench.config.loading import is_experiment
from bench.config.parsing import parse
from bench.runtime.errors import ConfigError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(filter(is_experiment, (ROOT / "config").glob("*.yaml")))


def refusal(raw: object) -> str:
    with pytest.raises(ConfigError) as caught:
        experiment(raw)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_is_valid(path):
    read = experiment(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert read.experiment == path.stem
    assert read.runs()
    assert read.evaluation.pgd["pgd20"].steps == 20
    assert (read.evaluation.autoattack is None) == (path.stem == "minimal")


def test_the_copy_of_cifar10_is_trained_as_the_original_is():
    paper, copy = (
        experiment(yaml.safe_load((ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")))
        for name in ("paper", "cifar10_jpeg")
    )
    assert copy.training == paper.training
    assert (copy.model, copy.threat, copy.compute) == (paper.model, paper.threat, paper.compute)
    assert copy.evaluation.pgd == paper.evaluation.pgd
    known = {method.label: method for method in paper.methods}
    both = [method for method in copy.methods if method.label in known]
    assert len(both) == 11
    assert all(method == known[method.label] for method in both)


def test_the_paper_is_trained_as_its_authors_train():
    path = ROOT / "config" / "paper.yaml"
    paper = experiment(yaml.safe_load(path.read_text(encoding="utf-8")))
    shell = paper.training
    assert paper.threat.eps == 8 / 255
    assert (shell.attack.steps, shell.attack.size) == (10, 2 / 255)
    assert shell.optimizer.weight_decay == 5e-4
    assert shell.checkpoint_selection == "validation"
    assert paper.model.label == "resnet18"
    assert [
        tuple(paper.method(f"memloss_v{variant}").options[key] for key in ("beta", "memory_beta"))
        for variant in (1, 2, 3)
    ] == [(3.0, 2.0), (4.0, 1.0), (4.0, 2.0)]


def test_planning_needs_the_standard_library_alone():
    code = (
        "import sys, bench.config.experiment, bench.config.method_options\n"
        "import bench.runtime.provenance\n"
        "bench.config.method_options.method_options('memloss')\n"
        "bench.runtime.provenance.train_digest('memloss', 'resnet18', 'folded')\n"
        "known = sys.stdlib_module_names | {'bench', '__main__'}\n"
        "print({name.split('.')[0] for name in set(sys.modules) - before} - known)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; before = set(sys.modules)\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("section", "wrong", "right"),
    [
        ("", "seed", "seeds"),
        ("data.", "sourec", "source"),
        ("threat.", "epsilon", "eps"),
        ("training.schedule.", "milestone", "milestones"),
        ("methods.trades.", "betta", "beta"),
        ("methods.trades.training.", "epoch", "epochs"),
        ("evaluation.pgd.pgd20.", "stepz", "steps"),
        ("reference.", "model", "models"),
        ("diagnostics.", "imgaes", "images"),
    ],
)
def test_an_unknown_key_is_named_at_every_level(section, wrong, right):
    message = refusal(settings({f"{section}{wrong}": 1}))
    assert message.startswith(f"{section.rstrip('.') or 'config'}: ")
    assert repr(wrong) in message
    assert f"did you mean '{right}'" in message


@pytest.mark.parametrize(
    "key",
    [
        *("experiment", "methods", "training", "data.name", "threat.eps"),
        *("training.optimizer.learning_rate", "evaluation.pgd.pgd20.steps"),
    ],
)
def test_a_missing_key_is_named(key):
    section, _, name = key.rpartition(".")
    message = refusal(settings(without=key))
    assert message.startswith(f"{section or 'config'}: ")
    assert repr(name) in message


def test_a_cpu_run_needs_a_number_of_threads():
    assert refusal(settings(without="compute.threads")).startswith("compute.threads: ")


SECTIONS = ("data", "model", "threat", "compute", "training", "evaluation", "reference")


@pytest.mark.parametrize("section", [*SECTIONS, "training.optimizer", "evaluation.pgd"])
@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_section_without_keys_is_named(section, value):
    assert refusal(settings({section: value})).startswith(f"{section}: ")


@pytest.mark.parametrize("raw", [None, [], "text"])
def test_a_configuration_without_keys_is_refused(raw):
    assert refusal(raw).startswith("config: ")


WRONG = {
    "threat.eps": (8, 0, "8/0"),
    "threat.norm": ("L2",),
    "model.name": ("resnet81",),
    "model.width": (0,),
    "data.source": ("cifar",),
    "data.name": ("",),
    "data.test_images": (2.5,),
    "training.epochs": (True,),
    "training.flip": (1,),
    "training.optimizer.learning_rate": (float("nan"),),
    "training.optimizer.momentum": (9,),
    "training.schedule.warmup": (1,),
    "training.schedule.name": ("cosine",),
    "training.schedule.milestones": ([1],),
    "training.checkpoint_selection": ("tests",),
    "evaluation.autoattack.version": ("plus",),
    "reference.models": (["a", "a"], ["a/../b"]),
    "diagnostics": (3,),
    "diagnostics.images": (0,),
    "diagnostics.seeds": ([7], [0, 0]),
    "diagnostics.checkpoints": ([],),
    "diagnostics.steps": (3,),
    "diagnostics.restarts": (1,),
    "diagnostics.max_steps": (1,),
    "experiment": ("", "a/b", "..", "a b", 3, None, "Reference"),
    "seeds": ([], None, 3, [0, 1, 0], [0, "0"]),
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_named_with_its_key(key, value):
    assert refusal(settings({key: value})).startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("data.source", "folder", "data.path"),
        ("data.classes", [0, "b"], "data.classes[0]"),
        ("training.optimizer.momentum", 0, "training.optimizer.nesterov"),
        ("evaluation.pgd.clean", {"steps": 9}, "evaluation.pgd"),
        ("evaluation.pgd.a/b", {"steps": 9}, "evaluation.pgd"),
        ("evaluation.pgd.pgd20.checkpoints", ["beste"], "evaluation.pgd.pgd20.checkpoints[0]"),
        ("diagnostics.checkpoints", ["bset"], "diagnostics.checkpoints[0]"),
        ("seeds", [0, -1], "seeds[1]"),
        ("seeds", [True], "seeds[0]"),
        ("seeds", [0.5], "seeds[0]"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(key, value, named):
    assert refusal(settings({key: value})).startswith(f"{named}: ")


def test_numbers_may_come_as_text_from_yaml_and_the_command_line():
    text = "{learning_rate: 1e-1, weight_decay: 5e-4, nesterov: 'false'}"
    read = experiment(settings({"training.optimizer": yaml.safe_load(text), "seeds": ["0", "7"]}))
    assert read.training.optimizer.weight_decay == 0.0005
    assert read.training.optimizer.learning_rate == 0.1
    assert read.training.optimizer.nesterov is False
    assert read.seeds == (0, 7)


def test_a_step_left_out_is_a_quarter_of_eps():
    read = experiment(settings())
    assert read.training.attack.size == read.threat.eps / 4 == 2 / 255
    assert read.evaluation.pgd["pgd20"].size == 2 / 255


@pytest.mark.parametrize("attack", ["training.attack", "training.validation_attack"])
def test_steps_that_cannot_reach_eps_are_refused(attack):
    for given in ({"steps": 3}, {"steps": 7, "step_size": "1/255"}):
        assert refusal(settings({attack: given})).startswith(f"{attack}: ")
    for given in (
        {"steps": 4},
        {"steps": 8, "step_size": "1/255"},
        {"steps": 1, "step_size": 0.04},
    ):
        assert experiment(settings({attack: given}))


def test_steps_that_reach_eps_but_for_rounding_are_enough():
    assert 7 * (1 / 70) < 0.1
    changes = {"threat.eps": 0.1, "training.attack": {"steps": 7, "step_size": "1/70"}}
    assert experiment(settings(changes)).training.attack.size == 1 / 70


def test_evaluation_steps_that_cannot_reach_eps_are_refused_too():
    message = refusal(settings({"evaluation.pgd.pgd20.steps": 2}))
    assert message.startswith("evaluation.pgd.pgd20: ")


def test_a_width_that_is_the_models_own_changes_neither_label_nor_spec():
    default = experiment(settings())
    same = experiment(settings({"model.width": 16}))
    narrow = experiment(settings({"model.width": 8}))
    assert default == same
    assert same.model.label == "small_cnn"
    assert narrow.model.label == "small_cnn-w8"


def test_a_width_is_refused_where_the_model_has_none(monkeypatch):
    monkeypatch.setattr("bench.config.experiment.default_width", lambda name: None)
    assert refusal(settings({"model.width": 8})).startswith("model.width: ")
    assert experiment(settings()).model.label == "small_cnn"


def test_specs_go_through_json_and_back_unchanged():
    changes = {
        "threat.eps": "3/255",
        "training.schedule": {"name": "steps", "milestones": [2], "factor": 0.3},
        "evaluation.autoattack": {"images": 5},
        "data.classes": ["a", "b"],
    }
    read = experiment(settings(changes))
    train, evaluation = read.train_spec("trades", 1), read.evaluation_spec()
    for kind, spec in ((TrainSpec, train), (EvaluationSpec, evaluation), (Data, read.data)):
        text = json.dumps(spec_json(spec))
        again = parse(kind, json.loads(text), where="spec")
        assert again == spec
        assert json.dumps(spec_json(again)) == text


@pytest.mark.parametrize(
    ("device", "key", "values", "same"),
    [
        ("cuda", "threads", [1, 2], True),
        ("cpu", "tf32", [True, False], True),
        ("cpu", "threads", [1, 2], False),
        ("cuda", "tf32", [True, False], False),
    ],
)
def test_a_spec_has_what_may_change_a_result_alone(device, key, values, same):
    one, other = (
        experiment(settings({"compute.device": device, f"compute.{key}": value}))
        for value in values
    )
    assert one.compute != other.compute
    assert (one.train_spec("trades", 0) == other.train_spec("trades", 0)) == same
    assert (one.evaluation_spec() == other.evaluation_spec()) == same


def test_the_order_of_keys_changes_no_spec():
    raw = settings({"evaluation.pgd.pgd10": {"steps": 10}})
    turned = json.loads(json.dumps(raw), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    texts = [
        [
            json.dumps(spec_json(spec))
            for spec in (read.train_spec("trades", 0), read.evaluation_spec(), read.data)
        ]
        for read in (experiment(raw), experiment(turned))
    ]
    assert texts[0] == texts[1]


def test_an_engine_refuses_what_it_has_not():
    eager = settings({"training.engine": "eager", "training.precision": "bfloat16"})
    assert refusal(eager).startswith("training.precision: ")
    on_cpu = refusal(settings({"training.engine": "cuda_graph"}))
    assert on_cpu.startswith("methods.trades: training.engine ")


# Which runs the section `diagnostics` means


def test_without_the_section_nothing_is_diagnosed():
    for raw in (settings(), settings({"diagnostics": None})):
        assert experiment(raw).diagnosed() == []
        assert experiment(raw).transfer_seeds() == ()


def test_the_first_seed_is_diagnosed_unless_others_are_named():
    methods = {"methods.standard": {}}
    first = experiment(settings({"diagnostics": {}, **methods}))
    assert first.diagnosed() == [("trades", 0), ("standard", 0)]
    assert first.transfer_seeds() == (0,)
    both = experiment(settings({"diagnostics": {"seeds": [1, 0]}, **methods}))
    assert set(both.diagnosed()) == set(both.runs())
    assert both.transfer_seeds() == (1, 0)
    assert both.diagnostics_spec() == first.diagnostics_spec()
    without = experiment(settings({"diagnostics": {"transfer": False}, **methods}))
    assert without.transfer_seeds() == ()
    assert experiment(settings({"diagnostics": {}})).transfer_seeds() == ()

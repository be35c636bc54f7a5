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
    ("section", "wrong", "message"),
    [
        ("", "seed", "config: unknown key 'seed'; did you mean 'seeds'? known: "),
        ("data.", "sourec", "data: unknown key 'sourec'; did you mean 'source'? known: "),
        ("model.", "widht", "model: unknown key 'widht'; did you mean 'width'? known: name, width"),
        ("threat.", "epsilon", "threat: unknown key 'epsilon'; did you mean 'eps'? known: eps, no"),
        ("compute.", "gpu", "compute: unknown key 'gpu'; known: device, tf32, threads"),
        ("training.", "epoch", "training: unknown key 'epoch'; did you mean 'epochs'? known: "),
        ("training.optimizer.", "lr", "training.optimizer: unknown key 'lr'; "),
        ("training.schedule.", "milestone", "training.schedule: unknown key 'milestone'; did you "),
        ("training.attack.", "step", "training.attack: unknown key 'step'; did you mean 'steps'? "),
        ("methods.trades.", "betta", "methods.trades: the method 'trades' has no option 'betta'; "),
        ("methods.trades.training.", "epoch", "methods.trades.training: unknown key 'epoch'; did"),
        ("evaluation.", "batchsize", "evaluation: unknown key 'batchsize'; did you mean 'batch_s"),
        ("evaluation.pgd.pgd20.", "stepz", "evaluation.pgd.pgd20: unknown key 'stepz'; did you "),
        ("evaluation.autoattack.", "bs", "evaluation.autoattack: unknown key 'bs'; "),
        ("reference.", "model", "reference: unknown key 'model'; did you mean 'models'? known: "),
    ],
)
def test_an_unknown_key_is_named_at_every_level(section, wrong, message):
    assert refusal(settings({f"{section}{wrong}": 1})).startswith(message)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("experiment", "config: the key 'experiment' is missing"),
        ("methods", "config: the key 'methods' is missing"),
        ("training", "config: the key 'training' is missing"),
        ("data.name", "data: the key 'name' is missing"),
        ("threat.eps", "threat: the key 'eps' is missing"),
        ("training.optimizer.learning_rate", "training.optimizer: the key 'learning_rate' is mis"),
        ("evaluation.pgd.pgd20.steps", "evaluation.pgd.pgd20: the key 'steps' is missing"),
        ("compute.threads", "compute.threads: a CPU run needs a fixed number, such as threads: 1"),
    ],
)
def test_a_missing_key_is_named(key, message):
    assert refusal(settings(without=key)).startswith(message)


SECTIONS = ("data", "model", "threat", "compute", "training", "evaluation", "reference")


@pytest.mark.parametrize("section", [*SECTIONS, "training.optimizer", "evaluation.pgd"])
@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_a_section_without_keys_is_named(section, value):
    message = refusal(settings({section: value}))
    assert message.startswith(f"{section}: expected keys and values, got {value!r}")


@pytest.mark.parametrize("raw", [None, [], "text"])
def test_a_configuration_without_keys_is_refused(raw):
    assert refusal(raw) == f"config: expected keys and values, got {raw!r}"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("threat.eps", 8, "threat.eps: expected a distance in (0, 1] such as 8/255 (divide by 255"),
        ("threat.eps", 0, "threat.eps: expected a distance"),
        ("threat.eps", "8/0", "threat.eps: expected a distance"),
        ("threat.norm", "L2", "threat.norm: 'L2' is unknown; "),
        ("model.name", "resnet81", "model.name: 'resnet81' is unknown; did you mean 'resnet18'?"),
        ("model.width", 0, "model.width: expected a whole number of at least 1, got 0"),
        ("data.source", "cifar", "data.source: 'cifar' is unknown; did you mean 'cifar10'? known"),
        ("data.source", "folder", "data.path: the source 'folder' needs the folder of its images"),
        ("data.name", "", "data.name: it is empty; say what results call these images"),
        ("data.classes", [0, "b"], "data.classes[0]: expected text (in quotes), got 0"),
        ("data.test_images", 2.5, "data.test_images: expected a whole number of at least 1"),
        ("training.epochs", True, "training.epochs: expected a whole number of at least 1, got Tr"),
        ("training.flip", 1, "training.flip: expected true or false, got 1"),
        ("training.optimizer.learning_rate", float("nan"), "training.optimizer.learning_rate: exp"),
        ("training.optimizer.momentum", 9, "training.optimizer.momentum: expected a share in [0,"),
        ("training.optimizer.momentum", 0, "training.optimizer.nesterov: it needs a momentum abo"),
        ("training.schedule.warmup", 1, "training.schedule.warmup: 1 leaves no step to come dow"),
        ("training.schedule.name", "cosine", "training.schedule.name: 'cosine' is unknown; "),
        ("training.schedule.milestones", [1], "training.schedule.milestones: onecycle has none; "),
        (
            "training.checkpoint_selection",
            "tests",
            "training.checkpoint_selection: 'tests' is unknown; did you mean 't",
        ),
        ("evaluation.autoattack.version", "plus", "evaluation.autoattack.version: 'plus' is unkn"),
        ("evaluation.pgd.clean", {"steps": 9}, "evaluation.pgd: 'clean' cannot name an attack; "),
        ("evaluation.pgd.a/b", {"steps": 9}, "evaluation.pgd: 'a/b' cannot name an attack; "),
        ("evaluation.pgd.pgd20.checkpoints", ["beste"], "evaluation.pgd.pgd20.checkpoints[0]: 'b"),
        ("reference.models", ["a", "a"], "reference.models: ['a', 'a'] names a model twice"),
        ("reference.models", ["a/../b"], "reference.models: 'a/../b' cannot be a RobustBench mod"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key, value, message):
    assert refusal(settings({key: value})).startswith(message)


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", 3, None, "reference", "Reference"])
def test_an_experiment_is_named_like_a_free_folder(name):
    assert refusal(settings({"experiment": name})).startswith("experiment: ")


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([], "seeds: expected a list of whole numbers such as [0, 1], got []"),
        (None, "seeds: expected a list of whole numbers such as [0, 1], got None"),
        (3, "seeds: expected a list of whole numbers such as [0, 1], got 3"),
        ([0, 1, 0], "seeds: [0, 1, 0] names a seed twice"),
        ([0, "0"], "seeds: [0, 0] names a seed twice"),
        ([0, -1], "seeds[1]: expected a whole number of at least 0, got -1"),
        ([True], "seeds[0]: expected a whole number of at least 0, got True"),
        ([0.5], "seeds[0]: expected a whole number of at least 0, got 0.5"),
    ],
)
def test_seeds_are_different_whole_numbers(seeds, message):
    assert refusal(settings({"seeds": seeds})) == message


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
        message = refusal(settings({attack: given}))
        assert message.startswith(f"{attack}: {given['steps']} steps of 0.00")
        assert message.endswith("cannot reach eps 0.0313725; raise steps or step_size")
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
    assert message.startswith("evaluation.pgd.pgd20: 2 steps of ")


def test_a_width_that_is_the_models_own_changes_neither_label_nor_spec():
    default = experiment(settings())
    same = experiment(settings({"model.width": 16}))
    narrow = experiment(settings({"model.width": 8}))
    assert default == same
    assert same.model.label == "small_cnn"
    assert narrow.model.label == "small_cnn-w8"


def test_a_width_is_refused_where_the_model_has_none(monkeypatch):
    monkeypatch.setattr("bench.config.experiment.default_width", lambda name: None)
    message = refusal(settings({"model.width": 8}))
    assert message == "model.width: the model 'small_cnn' has none; remove the key"
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
    ("device", "key", "values"),
    [("cuda", "threads", [1, 2]), ("cpu", "tf32", [True, False])],
)
def test_what_changes_no_result_changes_no_spec(device, key, values):
    one, other = (
        experiment(settings({"compute.device": device, f"compute.{key}": value}))
        for value in values
    )
    assert one.compute != other.compute
    assert one.train_spec("trades", 0) == other.train_spec("trades", 0)
    assert one.evaluation_spec() == other.evaluation_spec()


@pytest.mark.parametrize(
    ("device", "key", "values"),
    [("cpu", "threads", [1, 2]), ("cuda", "tf32", [True, False])],
)
def test_what_may_change_a_result_changes_the_spec(device, key, values):
    one, other = (
        experiment(settings({"compute.device": device, f"compute.{key}": value}))
        for value in values
    )
    assert one.train_spec("trades", 0) != other.train_spec("trades", 0)
    assert one.evaluation_spec() != other.evaluation_spec()


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


def test_the_eager_engine_has_no_other_precision() -> None:
    raw = settings({"training.engine": "eager", "training.precision": "bfloat16"})
    with pytest.raises(ConfigError, match=r"training\.precision: the eager engine is float32"):
        experiment(raw)


def test_a_cuda_graph_needs_a_cuda_device() -> None:
    with pytest.raises(ConfigError, match=r"methods\.trades: training\.engine cuda_graph .*cpu"):
        experiment(settings({"training.engine": "cuda_graph"}))

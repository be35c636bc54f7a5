from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from factory import ResultsFactory, edit_json
from safetensors.torch import save_file
from synthetic import narrow_width
from torch import nn

from bench.config.schema import Normalization
from bench.evaluation.architecture import standalone
from bench.evaluation.export import export
from bench.evaluation.job import load_network
from bench.external import network as external
from bench.models.base import build, names
from bench.models.checkpoint import Description, save
from bench.results.records import EvaluationRecord, TrainRecord
from bench.results.wilson import wilson
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256


def finished(
    folder: Path, *, name: str = "small_cnn", channels: int = 1, width: int | None = 4, **kind: Any
) -> tuple[Path, nn.Module]:
    """A run whose best weights are a real, untrained network's."""
    run = ResultsFactory(folder, model=name, **kind).run("trades_beta3")
    model = build(name, classes=10, channels=channels, seed=0, width=width)
    # Trained networks have statistics and counters that differ from the initial ones.
    model(torch.rand(4, channels, 16, 16))
    write_weights(run, model, name=name, channels=channels, width=width)
    written = sha256(run / "best.safetensors")
    for record in ("train.json", "evaluation.json"):
        edit_json(run / record, checkpoints__best__weights_sha256=written)
    return run, model.eval()


def write_weights(
    run: Path, model: nn.Module, *, name: str, channels: int, width: int | None
) -> None:
    description = Description(
        model=name, width=width, classes=10, channels=channels, data="digits", fingerprint="0" * 64
    )
    save(run / "best.safetensors", model.state_dict(), description)


def imported(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", names())
def test_every_architecture_loads_alone_and_gives_the_same_logits(tmp_path, name, channels):
    width = narrow_width(name)
    run, model = finished(tmp_path / "results", name=name, channels=channels, width=width)
    out = export(run, "best", tmp_path / "out").parent

    loaded = imported(out).load()

    images = torch.rand(3, channels, 16, 16)
    assert not loaded.training
    assert type(loaded) is not type(model)
    with torch.no_grad():
        assert torch.equal(loaded(images), model(images))


@pytest.mark.parametrize("name", names())
def test_an_exported_module_imports_torch_and_safetensors_only(tmp_path, name):
    run, _ = finished(tmp_path / "results", name=name, width=narrow_width(name))
    tree = ast.parse((export(run, "best", tmp_path / "out").parent / "model.py").read_text())
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add(str(node.module).split(".")[0])
    assert roots <= {"__future__", "pathlib", "safetensors", "torch"}


def test_weights_are_copied_byte_for_byte_and_the_default_width_is_left_to_the_class(tmp_path):
    run, _ = finished(tmp_path / "results", width=None)
    out = export(run, "best", tmp_path / "out").parent
    assert (out / "model.safetensors").read_bytes() == (run / "best.safetensors").read_bytes()
    assert "SmallCNN(classes=10, channels=1)" in (out / "model.py").read_text()


def test_the_record_is_train_json_with_the_evaluated_accuracies(tmp_path):
    run, _ = finished(tmp_path / "results")
    # With every key, as training leaves it.
    TrainRecord.read(run / "train.json", "").write(run / "train.json")
    record = json.loads((export(run, "best", tmp_path / "out").parent / "record.json").read_text())
    train = json.loads((run / "train.json").read_text())
    assert {key: record[key] for key in train} == train
    assert record["exported"] == "best"
    assert {attack: entry["correct"] for attack, entry in record["accuracy"].items()} == {
        "clean": 16,
        "pgd20": 12,
        "autoattack": 10,
    }
    assert record["accuracy"]["autoattack"]["percent"] == 50.0


def test_a_run_that_was_not_evaluated_is_exported_without_accuracies(tmp_path):
    run, _ = finished(tmp_path / "results")
    (run / "evaluation.json").unlink()
    out = export(run, "best", tmp_path / "out").parent
    assert json.loads((out / "record.json").read_text())["accuracy"] == {}
    assert "## Measured" not in (out / "README.md").read_text()


CIFAR = {"dataset": "cifar10", "channels": 3}


def readme(folder: Path, **kind: Any) -> str:
    run, _ = finished(folder / "results", **kind)
    return export(run, "best", folder / "out").read_text()


def test_the_readme_scores_cifar_models_as_they_were_evaluated(tmp_path):
    run, _ = finished(tmp_path / "results", dataset="cifar10-jpeg", channels=3)
    details = {"batch_size": 7}
    edit_json(run / "evaluation.json", checkpoints__best__attacks__autoattack__details=details)
    edit_json(run / "evaluation.json", checkpoints__best__attacks__autoattack__seed=3)
    text = export(run, "best", tmp_path / "out").read_text()
    for expected in (
        "| autoattack | 8/255 | 10 | 20 | 50.00 | 29.93 to 70.07 | pyautoattack 0.2.0 |",
        "partial(robustbench.eval.AutoAttack, seed=3)",
        'dataset="cifar10",',
        "eps=8/255,",
        "n_examples=20,",
        "batch_size=7,",
        "units of 7 images",
        "`cifar10-jpeg`",
    ):
        assert expected in text
    assert text.index("autoattack.provide()") < text.index("import robustbench.eval")


def test_the_first_images_of_the_whole_test_set_can_be_scored(tmp_path):
    text = readme(tmp_path, **CIFAR, images=18, source_sizes={"test": 20})
    assert "n_examples=18," in text


def test_a_choice_of_test_images_gets_the_reason_instead_of_lines_for_others(tmp_path):
    text = readme(tmp_path, **CIFAR, source_sizes={"test": 21})
    assert "20 of the 21 test images" in text
    assert "n_examples" not in text


def test_the_readme_says_where_robustbench_has_no_test_set(tmp_path):
    text = readme(tmp_path, dataset="digits")
    assert "`digits`" in text
    assert "robustbench.eval.AutoAttack" not in text


def test_nothing_is_written_over(tmp_path):
    run, _ = finished(tmp_path / "results")
    out = tmp_path / "out"
    out.mkdir()
    assert export(run, "best", out) == out / "README.md"
    with pytest.raises(BenchError, match=str(out)):
        export(run, "best", out)


def truncate(run: Path) -> None:
    path = run / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def swap(run: Path) -> None:
    other = build("small_cnn", classes=10, channels=1, seed=1, width=4)
    write_weights(run, other, name="small_cnn", channels=1, width=4)


def reevaluate(run: Path) -> None:
    edit_json(run / "evaluation.json", checkpoints__best__weights_sha256="0" * 64)


def forget(run: Path) -> None:
    edit_json(run / "train.json", spec={"method": "trades"})


def cut(run: Path) -> None:
    (run / "train.json").write_text('{"method": ')


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda run: (run / "best.safetensors").unlink(), r"best\.safetensors: "),
        (truncate, r"best\.safetensors: "),
        (swap, r"train\.json"),
        (reevaluate, r"evaluation\.json"),
        (forget, r"train\.json: "),
        (cut, r"train\.json: "),
        (lambda run: (run / "train.json").unlink(), r"train\.json: "),
    ],
)
def test_what_is_wrong_with_a_run_is_named_and_nothing_is_written(tmp_path, harm, message):
    run, _ = finished(tmp_path / "results")
    harm(run)
    with pytest.raises(BenchError, match=message):
        export(run, "best", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_checkpoint_gets_the_nearest_one(tmp_path):
    run, _ = finished(tmp_path / "results")
    with pytest.raises(BenchError, match="did you mean 'last'"):
        export(run, "lst", tmp_path / "out")


BUILDER = '''
from safetensors.torch import save_file
from torch import nn

from bench.models.base import register
from bench.runtime.errors import (
    BenchError as Wrong,
)


@register(
    "line"
)
def line(*, classes: int, channels: int) -> nn.Module:
    """Build a line."""
    if classes < 2:
        raise Wrong("too few")
    return nn.Sequential(nn.Flatten(), nn.Linear(channels, classes))
'''


def test_a_function_may_be_registered_and_errors_become_value_errors(tmp_path):
    (tmp_path / "line.py").write_text(BUILDER)
    (tmp_path / "model.py").write_text(
        standalone("line", {"classes": 2, "channels": 3}, models=tmp_path)
    )
    module = imported(tmp_path)
    save_file(module.line(classes=2, channels=3).state_dict(), tmp_path / "model.safetensors")
    assert module.load(tmp_path)(torch.zeros(1, 3, 1, 1)).shape == (1, 2)
    with pytest.raises(ValueError, match="too few"):
        module.line(classes=1, channels=3)


@pytest.mark.parametrize(
    "line",
    [
        "from bench.numerics.seeding import stream",
        "from .base import other",
        "import bench.numerics.seeding",
    ],
)
def test_an_architecture_that_leans_on_the_suite_is_refused(tmp_path, line):
    (tmp_path / "line.py").write_text(f"{line}\n{BUILDER}")
    with pytest.raises(BenchError, match=r"line\.py"):
        standalone("line", {}, models=tmp_path)


def test_an_architecture_without_a_file_is_refused(tmp_path):
    with pytest.raises(BenchError, match="'circle'"):
        standalone("circle", {}, models=tmp_path)


def test_a_network_that_normalises_its_images_does_so_outside_of_the_suite_too(tmp_path):
    normalization = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2))
    model = build(
        "small_cnn", classes=10, channels=3, seed=0, width=4, normalization=normalization
    ).eval()
    source = standalone(
        "small_cnn", {"classes": 10, "channels": 3, "width": 4}, normalization=normalization
    )
    (tmp_path / "model.py").write_text(source)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    images = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(imported(tmp_path).load()(images), model(images))
    assert not torch.equal(model(images), model.network(images))
    assert "mean" not in model.state_dict()


def test_the_card_has_the_metadata_of_the_hub_and_leaves_the_licence_to_the_user(tmp_path):
    cards = pytest.importorskip("huggingface_hub")
    run, _ = finished(tmp_path, dataset="digits")
    text = export(run, "best", tmp_path / "out").read_text()
    data = cards.ModelCard(text).data
    assert data.get("license") is None
    assert "# license:" in text
    evaluated = EvaluationRecord.read(run / "evaluation.json", "").checkpoints["best"].attacks
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    assert sorted(found.values()) == sorted(
        round(100 * one.correct / one.n, 2) for one in evaluated.values()
    )
    for one in evaluated.values():
        low, high = wilson(one.correct, one.n)
        assert f"{low:.2f} to {high:.2f}" in text


def of_others(run: Path, network: nn.Module, **changes: Any) -> None:
    """Put the weights of another's network in the place of those of a run."""
    described = external.ExternalDescription(
        **{
            "architecture": "small_cnn",
            "arguments": {"width": 4},
            "normalization": Normalization(mean=(0.4,), std=(0.3,)),
            "channel_order": "rgb",
            "outputs": (1, 0, *range(2, 10)),
            "classes": 10,
            "channels": 1,
            "fingerprint": "0" * 64,
            **changes,
        }
    )
    external.save(run / "best.safetensors", network.state_dict(), described)
    written = sha256(run / "best.safetensors")
    for record in ("train.json", "evaluation.json"):
        edit_json(run / record, checkpoints__best__weights_sha256=written)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"architecture": "architecture.py:mine", "arguments": {"width": 4}},
        {"outputs": None, "normalization": None},
    ],
)
def test_a_network_of_others_loads_alone_and_gives_the_same_logits(tmp_path, changes):
    run, network = finished(tmp_path)
    (run / "architecture.py").write_text(
        "from bench.models.small_cnn import SmallCNN\n"
        "def mine(num_classes, in_channels, width):\n"
        "    return SmallCNN(classes=num_classes, channels=in_channels, width=width)\n"
    )
    of_others(run, network, **changes)
    out = export(run, "best", tmp_path / "out").parent
    images = torch.rand(5, 1, 8, 8)
    sys.path.insert(0, str(out))
    try:
        alone = imported(out).load(out)
    finally:
        sys.path.remove(str(out))
    assert torch.equal(alone(images), load_network(run / "best.safetensors")[0](images))
    assert (out / "architecture.py").is_file() == ("architecture" in changes)


def test_witnesses_go_with_the_weights(tmp_path):
    run, _ = finished(tmp_path)
    (run / "witnesses").mkdir()
    (run / "witnesses" / "best.safetensors").write_bytes(b"1")
    out = export(run, "best", tmp_path / "out").parent
    assert (out / "witnesses" / "best.safetensors").read_bytes() == b"1"
    assert "recheck" in (out / "README.md").read_text()

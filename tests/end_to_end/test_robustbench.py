"""RobustBench has the last word: its own benchmark scores an exported model as the adapter does."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from brief import brief_autoattack
from factory import ResultsFactory, edit_json
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from bench.attacks.autoattack import provide, run_standard
from bench.evaluation.export import export
from bench.evaluation.reference import load_reference
from bench.models.base import build
from bench.models.checkpoint import Description, save
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

CLASSES, COLOURS, SIDE = 10, 3, 32
EPS = 8 / 255
SEED, BATCH = 7, 8
LABELS = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]
# An image of level L is robust exactly where eps < L / 255; two images get a wrong label.
LEVELS = [4, 16, 4, 16, 4, 16, 4, 16, 4, 16, 16, 4]
WRONG = [10, 11]
FEW = {
    "apgd": {"n_iter": 30},
    "apgd_targeted": {"n_iter": 30},
    "fab": {"n_iter": 10},
    "square": {"n_queries": 500},
}


def on_paper() -> nn.Module:
    """small_cnn with weights under which the first three logits are the means of red, green, blue.

    Every image is positive, so each ReLU is the identity and the network is linear. The other
    logits are constant and low. All are steep, which hides the gradient of cross-entropy: only
    AutoAttack's other components see it.
    """
    model = build("small_cnn", classes=CLASSES, channels=COLOURS, seed=0, width=COLOURS).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.zero_()
        for colour in range(COLOURS):
            for layer in (model.conv1, model.conv2, model.conv3):
                layer.weight[colour, colour, 1, 1] = 1
            model.linear.weight[colour, colour] = 1e4
        model.linear.bias.zero_()
    return model


def pictures() -> tuple[Tensor, Tensor]:
    """Uint8 images whose label's colour lies 2 x level above the next colour."""
    images = torch.full((len(LABELS), COLOURS, SIDE, SIDE), 80, dtype=torch.uint8)
    for image, label, level in zip(images, LABELS, LEVELS, strict=True):
        image[label] = 128 + level
        image[(label + 1) % COLOURS] = 128 - level
    labels = torch.tensor(LABELS)
    labels[WRONG] = (labels[WRONG] + 5) % CLASSES
    return images, labels


class StandIn(Dataset[tuple[Any, int]]):
    """What RobustBench asks torchvision's CIFAR10 for: images through a transform, and labels."""

    def __init__(
        self, root: str, *, train: bool, transform: Callable[[Any], Tensor], download: bool
    ) -> None:
        assert not train
        self.images, self.labels = pictures()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index].permute(1, 2, 0).numpy())
        return self.transform(image), int(self.labels[index])


def exported(tmp_path: Path) -> nn.Module:
    """The network on paper as someone else would load it: from an exported folder."""
    run = ResultsFactory(tmp_path / "results", model="small_cnn").run("trades")
    description = Description(
        model="small_cnn",
        width=COLOURS,
        classes=CLASSES,
        channels=COLOURS,
        data="paper",
        fingerprint="0" * 64,
    )
    path = run / "best.safetensors"
    save(path, on_paper().state_dict(), description)
    for record in ("train.json", "evaluation.json"):
        edit_json(run / record, checkpoints__best__weights_sha256=sha256(path))
    folder = export(run, "best", tmp_path / "exported").parent
    spec = importlib.util.spec_from_file_location("exported_for_robustbench", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model: nn.Module = module.load()
    return model


@pytest.fixture(scope="module")
def robustbench() -> ModuleType:
    provide()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("robustbench.eval")


@pytest.fixture
def benchmark(robustbench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """RobustBench's benchmark on the stand-in images, with AutoAttack's seed fixed."""
    monkeypatch.setattr(importlib.import_module("robustbench.data").datasets, "CIFAR10", StandIn)
    # On these images more iterations find nothing more.
    brief = brief_autoattack(monkeypatch, **FEW)
    seeded = functools.partial(brief, seed=SEED)
    monkeypatch.setattr(robustbench, "AutoAttack", seeded)
    return functools.partial(
        robustbench.benchmark,
        n_examples=len(LABELS),
        dataset="cifar10",
        threat_model="Linf",
        eps=EPS,
        batch_size=BATCH,
        device=torch.device("cpu"),
    )


def test_paper_adapter_and_robustbench_give_an_exported_model_the_same_counts(benchmark, tmp_path):
    images, labels = pictures()
    right = [index not in WRONG for index in range(len(LABELS))]
    robust = [level / 255 > EPS and fine for level, fine in zip(LEVELS, right, strict=True)]

    clean_share, robust_share = benchmark(exported(tmp_path))
    result = run_standard(
        on_paper(), images / 255, labels, eps=EPS, seed=SEED, batch_size=BATCH, device="cpu"
    )

    assert result.clean.tolist() == right
    assert result.robust.tolist() == robust
    assert result.left == {"apgd-ce": 10, "apgd-t": 5, "fab-t": 5, "square": 5}
    assert round(clean_share * len(LABELS)) == sum(right)
    assert round(robust_share * len(LABELS)) == sum(robust)


def test_a_listed_model_that_cannot_be_fetched_is_asked_for_by_its_path(
    robustbench, monkeypatch, tmp_path
):
    def offline(*_: object) -> None:
        raise ConnectionError("no route to host")

    loader = importlib.import_module("robustbench.utils")
    monkeypatch.setattr(loader, "download_gdrive_new", offline)
    with pytest.raises(BenchError, match="could not be fetched") as caught:
        load_reference("Rice2020Overfitting", folder=tmp_path)
    assert str(tmp_path / "cifar10" / "Linf" / "Rice2020Overfitting.pt") in str(caught.value)

"""The model card of an exported network: what it is, what was measured, how to load and score it.

It is the README.md of the folder, and begins with the metadata that the Hugging Face Hub reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from scipy.stats import binomtest

from bench.config.parsing import plain
from bench.data.published import robustbench_name
from bench.results.records import AttackRecord, NetworkRecord, OriginRecord, TrainRecord
from bench.results.text import eps_text

LICENCE = "# license: choose one before you publish, such as mit\n"
HEAD = """\
# {method}, seed {seed}, checkpoint `{exported}` ({label})

`model.py` needs {needs}, nothing else. Images in [0, 1] go in, logits come out; any
normalisation is part of the model.

```python
from model import load

model = load()
```

{origin} Data set `{data}`, {classes} classes ({names}); robustness in the Linf ball of radius
{eps}. `record.json` has every setting, digest and version.
"""
TRAINED = "Trained with {method} ({options}), checkpoint selected on the {selected_on} set."
TAKEN = "The weights come from a file that was trained elsewhere ({file}, sha256 {digest})."
RECIPE = """
## Recipe

| | |
|---|---|
{rows}
"""
TABLE = """
## Measured

| attack | eps | correct | of | % | 95 % interval over images | source |
|---|---|---|---|---|---|---|
{rows}

Other seeds of the same training differ by more than these intervals say.
"""
PROOF = """
`witnesses/{exported}.safetensors` has an adversarial image for each test image that is not robust,
for `python -m bench recheck` of this folder.
"""
SCORE = """
## Score it through RobustBench

RobustBench from PyPI imports a module `autoattack` that only git's package has. Install that one,
or call `bench.attacks.autoattack.provide()` of this suite before the lines below.

```python
from functools import partial

import robustbench.eval

from model import load

robustbench.eval.AutoAttack = partial(robustbench.eval.AutoAttack, seed={seed})
clean, robust = robustbench.eval.benchmark(
    load(),
    dataset="{dataset}",
    threat_model="Linf",
    eps={eps},
    n_examples={n},
    batch_size={batch_size},
    device="{device}",
)
```

By itself this call seeds AutoAttack from the clock, so its count moves by a few images from run to
run; the line before it fixes the seed. Random starts are drawn per batch: the batch size is part of
the result.
"""
OTHER_DATA = """
The accuracies above are on `{data}`. RobustBench evaluates on the original {dataset} images, so its
numbers differ.
"""
UNITS = """
AutoAttack ran in units of {batch_size} images, each with a seed of its own; the call above draws
the starts of all batches from one, so its AutoAttack count may differ by a few images.
"""
NO_SCORE = """
RobustBench has no test set for `{data}`, so `robustbench.eval.benchmark` cannot score this model.
"""
CHOSEN = """
The images above are a choice of {chosen} of the {all} test images of `{data}`, the same share of
every class. `robustbench.eval.benchmark` can evaluate the first images only, so it would score
others: no lines for it are given here.
"""


def model_card(
    origin: OriginRecord,
    checkpoint: str,
    attacks: Mapping[str, AttackRecord],
    *,
    needs: str,
    witnesses: bool,
) -> str:
    """Return the card of a checkpoint and the attacks on it, by name.

    `needs` are the packages that its module imports; `witnesses`: their file is in the folder.
    """
    data, eps = origin.data, eps_text(origin.spec.threat.eps)
    text = _metadata(origin, checkpoint, attacks)
    text += HEAD.format(
        method=origin.method,
        seed=origin.seed,
        exported=checkpoint,
        label=origin.model.label,
        needs=needs,
        origin=_origin(origin),
        data=data.name,
        classes=len(data.classes),
        names=", ".join(data.classes[:10]) + (" and more" if len(data.classes) > 10 else ""),
        eps=eps,
    )
    if isinstance(origin, TrainRecord):
        text += RECIPE.format(rows="\n".join(_recipe(origin)))
    if attacks:
        text += TABLE.format(rows="\n".join(_measured(attacks)))
    if witnesses:
        text += PROOF.format(exported=checkpoint)
    dataset = robustbench_name(data.name)
    if dataset is None:
        return text + NO_SCORE.format(data=data.name)
    if data.test_images < data.source_test_images:
        return text + CHOSEN.format(
            chosen=data.test_images, all=data.source_test_images, data=data.name
        )
    return text + _score(origin, attacks, dataset)


def _metadata(origin: OriginRecord, checkpoint: str, attacks: Mapping[str, AttackRecord]) -> str:
    """Return the YAML block of the Hugging Face Hub, with a result for each attack."""
    data, name = origin.data, f"{origin.method} seed {origin.seed} {checkpoint}"
    results = [
        {
            "task": {"type": "image-classification"},
            "dataset": {"name": data.name, "type": data.name, "split": "test"},
            "metrics": [
                {
                    "type": "accuracy",
                    "value": round(100 * one.correct / one.n, 2),
                    "name": _name(attack, one),
                }
            ],
        }
        for attack, one in attacks.items()
    ]
    block: dict[str, Any] = {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": ["adversarial-robustness", "adversarial-training", "linf"],
        "datasets": [data.name],
        "metrics": ["accuracy"],
    }
    if results:
        block["model-index"] = [{"name": name, "results": results}]
    return f"---\n{LICENCE}{yaml.safe_dump(block, sort_keys=False, allow_unicode=True)}---\n\n"


def _name(attack: str, record: AttackRecord) -> str:
    if attack == "clean":
        return "clean accuracy (%)"
    return f"accuracy under {attack} (%), Linf eps {eps_text(record.eps)}, {record.n} images"


def _origin(origin: OriginRecord) -> str:
    if isinstance(origin, NetworkRecord):
        return TAKEN.format(file=origin.spec.path.name, digest=origin.file_sha256[:12])
    options = ", ".join(f"{key} {value}" for key, value in origin.spec.options.items())
    return TRAINED.format(
        method=origin.spec.method, options=options or "no options", selected_on=origin.selected_on
    )


def _recipe(origin: TrainRecord) -> list[str]:
    """Return a row for each key of the training recipe that is set."""
    rows = []
    for key, value in plain(origin.spec.training).items():
        inner = value.items() if isinstance(value, dict) else [("", value)]
        said = ", ".join(f"{name} {one}".strip() for name, one in inner if one not in (None, []))
        if said:
            rows.append(f"| {key} | {said} |")
    return rows


def _measured(attacks: Mapping[str, AttackRecord]) -> list[str]:
    rows = []
    for attack, one in attacks.items():
        low, high = binomtest(one.correct, one.n).proportion_ci(method="wilson")
        rows.append(
            f"| {attack} | {eps_text(one.eps)} | {one.correct} | {one.n} |"
            f" {100 * one.correct / one.n:.2f} | {100 * low:.2f} to {100 * high:.2f} |"
            f" {one.source} |"
        )
    return rows


def _score(origin: OriginRecord, attacks: Mapping[str, AttackRecord], dataset: str) -> str:
    """Return how RobustBench scores the network as it was evaluated."""
    data, auto = origin.data, attacks.get("autoattack")
    details = auto.details if auto else {}
    text = SCORE.format(
        seed=auto.seed if auto else 0,
        dataset=dataset,
        eps=eps_text(auto.eps if auto else origin.spec.threat.eps),
        n=auto.n if auto else data.test_images,
        batch_size=details.get("batch_size", 500),
        device="cpu" if origin.device == "cpu" else "cuda",
    )
    if auto and auto.n > details.get("batch_size", auto.n):
        text += UNITS.format(batch_size=details["batch_size"])
    if data.name != dataset:
        text += OTHER_DATA.format(data=data.name, dataset=dataset)
    return text

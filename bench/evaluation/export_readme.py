"""The README.md of an exported model: how to load it, what was measured, how to score it."""

from __future__ import annotations

from collections.abc import Mapping

from bench.data.published import robustbench_name
from bench.results.records import AttackRecord, TrainRecord
from bench.results.text import eps_text

HEAD = """\
# {method}, seed {seed}, checkpoint `{exported}` ({label})

`model.py` needs torch and safetensors, nothing else. Images in [0, 1] go in, logits come out; any
normalisation is part of the model.

```python
from model import load

model = load()
```

`record.json` says how it was trained and on what: data set `{data}`, {classes} classes, Linf
eps {eps}, checkpoint selected on the {selected_on} set.
"""
TABLE = """
## Measured

| attack | eps | correct | of | % | source |
|---|---|---|---|---|---|
{rows}
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
SHARDED = """
The images were evaluated in {shards} shards, each with batches of its own; RobustBench evaluates
them in one piece, so its AutoAttack count may differ by a few images.
"""
NO_SCORE = """
RobustBench has no test set for `{data}`, so `robustbench.eval.benchmark` cannot score this model.
"""
CHOSEN = """
The images above are a choice of {chosen} of the {all} test images of `{data}`, the same share of
every class. `robustbench.eval.benchmark` can evaluate the first images only, so it would score
others: no lines for it are given here.
"""


def readme(trained: TrainRecord, checkpoint: str, attacks: Mapping[str, AttackRecord]) -> str:
    """Return the text for a checkpoint of a run and the attacks on it, by name."""
    data, eps = trained.data, eps_text(trained.spec.threat.eps)
    text = HEAD.format(
        method=trained.method,
        seed=trained.seed,
        exported=checkpoint,
        label=trained.model.label,
        data=data.name,
        classes=len(data.classes),
        eps=eps,
        selected_on=trained.selected_on,
    )
    rows = [
        f"| {attack} | {eps_text(one.eps)} | {one.correct} | {one.n} |"
        f" {100 * one.correct / one.n:.2f} | {one.source} |"
        for attack, one in attacks.items()
    ]
    if rows:
        text += TABLE.format(rows="\n".join(rows))
    dataset = robustbench_name(data.name)
    if dataset is None:
        return text + NO_SCORE.format(data=data.name)
    if data.test_images < data.source_test_images:
        return text + CHOSEN.format(
            chosen=data.test_images, all=data.source_test_images, data=data.name
        )
    auto = attacks.get("autoattack")
    details = auto.details if auto else {}
    text += SCORE.format(
        seed=auto.seed if auto else 0,
        dataset=dataset,
        eps=eps_text(auto.eps) if auto else eps,
        n=auto.n if auto else data.test_images,
        batch_size=details.get("batch_size", 500),
        device="cpu" if trained.device == "cpu" else "cuda",
    )
    if details.get("shards", 1) != 1:
        text += SHARDED.format(shards=details["shards"])
    if data.name != dataset:
        text += OTHER_DATA.format(data=data.name, dataset=dataset)
    return text

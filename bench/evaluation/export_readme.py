"""The README.md of an exported model: how to load it, what was measured, how to score it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.evaluation.reference import listed_dataset

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
The accuracies above are on `{data}`. RobustBench judges on the original {dataset} images, so its
numbers differ.
"""
SHARDED = """
The images were judged in {shards} shards, each with batches of its own; RobustBench judges them in
one piece, so its AutoAttack count may differ by a few images.
"""
NO_SCORE = """
RobustBench has no test set for `{data}`, so `robustbench.eval.benchmark` cannot score this model.
"""
CHOSEN = """
The images above are a choice of {chosen} of the {all} test images of `{data}`, the same share of
every class. `robustbench.eval.benchmark` can judge the first images only, so it would score others:
no lines for it are given here.
"""


def readme(record: Mapping[str, Any]) -> str:
    """Return the text for a record of train.json's keys, `exported` and `accuracy`.

    Raises
    ------
    KeyError
        A key of the record is missing.
    """
    data = record["data"]["name"]
    judged = record["accuracy"].get("autoattack", {})
    details = judged.get("details", {})
    eps = fraction(judged.get("eps", record["spec"]["threat"]["eps"]))
    text = HEAD.format(
        method=record["method"],
        seed=record["seed"],
        exported=record["exported"],
        label=record["model"]["label"],
        data=data,
        classes=len(record["data"]["classes"]),
        eps=fraction(record["spec"]["threat"]["eps"]),
        selected_on=record["selected_on"],
    )
    rows = [
        f"| {attack} | {fraction(entry['eps'])} | {entry['correct']} | {entry['n']} |"
        f" {entry['percent']:.2f} | {entry['source']} |"
        for attack, entry in record["accuracy"].items()
    ]
    if rows:
        text += TABLE.format(rows="\n".join(rows))
    dataset = listed_dataset(data)
    if dataset is None:
        return text + NO_SCORE.format(data=data)
    there = record["data"]["test_images"]
    # A record without the source's count is of before it was kept.
    whole = record["data"].get("source_test_images", there)
    if there < whole:
        return text + CHOSEN.format(chosen=there, all=whole, data=data)
    text += SCORE.format(
        seed=judged.get("seed", 0),
        dataset=dataset,
        eps=eps,
        n=judged.get("n", there),
        batch_size=details.get("batch_size", 500),
        device="cpu" if record["device"] == "cpu" else "cuda",
    )
    if details.get("shards", 1) != 1:
        text += SHARDED.format(shards=details["shards"])
    if data != dataset:
        text += OTHER_DATA.format(data=data, dataset=dataset)
    return text


def fraction(eps: float) -> str:
    """Return a distance as papers give it, such as 8/255, where it is a whole number of 255ths."""
    steps = round(eps * 255)
    return f"{steps}/255" if steps and abs(eps * 255 - steps) < 1e-6 else repr(eps)

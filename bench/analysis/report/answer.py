"""The answer in one paragraph: yes or no, what claims decide, the best methods, what was run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.claims.verdict import (
    MEANINGS,
    NO_GAIN,
    NO_GAIN_HERE,
    NOT_OBSERVED,
    NOT_REPRODUCED,
    OBSERVED,
    REPRODUCED,
)
from bench.analysis.names import model_name
from bench.analysis.plots.caption import DATASETS, datasets, images, joined, models
from bench.analysis.plots.context import Context
from bench.analysis.robust import under
from bench.analysis.sheets import span
from bench.analysis.statistics.table import deciding
from bench.config.method_options import declared, method_names
from bench.results.flags import OTHER_IMAGES, flags_of
from bench.results.text import decimal, eps_text

OPENINGS = {
    REPRODUCED: "Reproduced",
    NOT_REPRODUCED: "Not reproduced",
    NO_GAIN: "No gain worth having",
    OBSERVED: "Observed here",
    NOT_OBSERVED: "Not observed here",
    NO_GAIN_HERE: "No gain worth having here",
}
HELPS = {REPRODUCED, OBSERVED}
HELPS_NOT = OPENINGS.keys() - HELPS
WORSE = {NOT_REPRODUCED, NOT_OBSERVED}
ELSEWHERE = {OBSERVED, NOT_OBSERVED, NO_GAIN_HERE}
RECYCLING = (
    "MemLoss, in its variants V1 to V3, trains on last epoch's adversarial examples as well; its "
    "placebo takes last epoch's clean images in their place."
)
TOLD = 3  # claims of a verdict that the answer quotes
MEMORY = "memloss"


def has_memory(context: Context) -> bool:
    """Say whether a method of the experiment has a memory of adversarial examples."""
    return any(_remembers(context, label) for label in context.methods)


def claimed(context: Context) -> bool:
    """Say whether there are claims with verdicts."""
    claims = context.results.claims
    return claims is not None and not claims.empty


def answer(context: Context) -> list[str]:
    """Return the sentences at the head of the page."""
    results = context.results
    said = ["No claim was checked against these results: there are numbers here and no verdict."]
    if claimed(context):
        said = [
            *_in_plain_words(results.claims),
            *_decided(results.claims),
            *_other_data(context, results.claims),
        ]
    said += [*_balance(context), *_run(context)]
    if flags := sorted(flags_of(results.summary["flags"])):
        said.append(f"Rows carry flags, whose meanings are below the tables: {joined(flags)}.")
    return [_unbroken(sentence) for sentence in said]


def _run(context: Context) -> list[str]:
    """Return what was trained or taken, and how it was evaluated."""
    ours, trained = context.results.ours, context.results.trained
    taken = len(context.methods) - trained["method"].nunique()
    seeds = sorted(trained["seed"].unique().tolist())
    parts = []
    if seeds:
        methods = _counted(trained["method"].nunique(), "method")
        parts.append(f"{methods} with {_counted(len(seeds), 'seed')} ({span(seeds)})")
    if taken:
        parts.append(f"{_counted(taken, 'network')} trained elsewhere")
    runs, attacked = (
        len(rows[["method", "seed"]].drop_duplicates())
        for rows in (ours, ours[ours["attack"] == context.attack])
    )
    which = "Each network was" if attacked == runs else f"{attacked} of {runs} networks were"
    said = [
        f"What was run: {' and '.join(parts)}; architecture: {models(ours)}.",
        f"{which} evaluated by {under(context.attack)} on {images(ours, context.attack)} test "
        f"images of {datasets(ours)}, L∞ ε = {_radii(context)}.",
    ]
    if len(seeds) == 1:
        said.append("With one seed no interval tells what another training would give.")
    return said


def _in_plain_words(claims: pd.DataFrame) -> list[str]:
    """Return whether recycling helps, by how much, and what would decide it where nothing does.

    The claims with a gain worth having decide. It helps where every one of them says so, since each
    has an explanation without a memory, and one that says the opposite is enough for a no.
    """
    asked = claims[(claims["about"] == "memory") & claims["worth"].notna()]
    if asked.empty:
        return []
    verdicts = set(asked["verdict"])
    here = " on these images" if verdicts & ELSEWHERE else ""
    told = [RECYCLING, *map(_by_how_much, asked.to_dict("records"))]
    if verdicts <= HELPS:
        return [f"Yes, recycling adversarial examples helps{here}.", *told]
    if verdicts <= WORSE:
        return [f"No, recycling adversarial examples does harm{here}.", *told]
    if verdicts & HELPS_NOT:
        worth = f"{asked['worth'].max():g} points"
        head = f"No, recycling adversarial examples brings no gain worth having ({worth}){here}."
        return [head, *told]
    return [
        "Whether recycling adversarial examples helps is not decided by this run.",
        *told,
        "Before a run, bench plan --decide says how likely its seeds decide.",
    ]


def _by_how_much(claim: Mapping[str, Any]) -> str:
    """Return a claim with its verdict, the number behind it, and what would decide it."""
    told = claim["verdict"]
    if not math.isnan(claim["estimate"]):
        told += f", {decimal(claim['estimate'], 1)} points"
    if not math.isnan(claim["low"]):
        told += f", 95 % interval [{decimal(claim['low'], 1)}, {decimal(claim['high'], 1)}]"
    if claim["verdict"] not in OPENINGS and claim["detail"]:
        told += f"; {claim['detail']}"
    return f"{claim['text']}: {told}."


def _decided(claims: pd.DataFrame) -> list[str]:
    counts = claims["verdict"].value_counts().to_dict()
    told = ", ".join(f"{counts[name]} {name}" for name in MEANINGS if name in counts)
    decided = sum(counts.get(verdict, 0) for verdict in OPENINGS)
    said = [f"Of {_counted(len(claims), 'claim')} this run decides {decided or 'none'}: {told}."]
    of_memory = claims.loc[claims["about"] == "memory", "verdict"]
    if len(of_memory):
        count = of_memory.isin(list(OPENINGS)).sum() or "none"
        said.append(f"Of the {len(of_memory)} about the memory itself it decides {count}.")
    for verdict, opening in OPENINGS.items():
        texts = claims.loc[claims["verdict"] == verdict, "text"].tolist()
        if texts:
            more = f"; and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
            said.append(f"{opening}: {'; '.join(texts[:TOLD])}{more}.")
    return said


def _other_data(context: Context, claims: pd.DataFrame) -> list[str]:
    """Return the warning that these are not the claims' data; none where they are."""
    stated = set(claims["stated_for"])
    first = context.results.ours.iloc[0]
    here = {f"{first['dataset']};{model};eps={_radii(context)}" for model in context.networks}
    if OTHER_IMAGES in flags_of(context.results.ours["flags"]):
        name = DATASETS.get(first["dataset"], first["dataset"])
        return [
            f"The images here are called {name} and are not shown to be the published ones: none "
            "of the claims' numbers can be reproduced or refuted here."
        ]
    if here & stated:
        return []
    places = []
    for place in sorted(stated):
        dataset, model, eps = [*place.split(";"), "", ""][:3]
        name = DATASETS.get(dataset, dataset)
        places.append(f"{name} ({model_name(model)}, ε = {eps.removeprefix('eps=')})")
    return [
        f"These are not the data that the claims are about, which are stated for {joined(places)}: "
        "none of their numbers can be reproduced or refuted here, and an order can only be "
        "observed or not."
    ]


def _balance(context: Context) -> list[str]:
    """Return how the best method that recycles compares with the best that does not, by network."""
    known = _harmonic_means(context)
    return [said for labels in context.networks.values() for said in _best(context, labels, *known)]


def _best(
    context: Context,
    labels: Sequence[str],
    means: Mapping[str, float],
    difference: Mapping[tuple[str, str], tuple[float, float]],
) -> list[str]:
    groups: dict[bool, list[str]] = {True: [], False: []}
    for label in labels:
        if label in means:
            groups[_remembers(context, label)].append(label)
    if not all(groups.values()):
        return []
    ours, theirs = (max(groups[memory], key=means.__getitem__) for memory in (True, False))
    text = (
        f"By the harmonic mean of clean accuracy and that under {under(context.attack)} the best "
        "method here that recycles adversarial examples is "
        f"{context.methods[ours].name} ({decimal(means[ours], 1)} %), and the best that does not "
        f"is {context.methods[theirs].name} ({decimal(means[theirs], 1)} %): a difference of "
        f"{decimal(means[ours] - means[theirs], 1)} points"
    )
    low, high = difference.get((ours, theirs), (math.nan, math.nan))
    if math.isnan(low):
        return [f"{text}; how far it may be trusted is not known."]
    zero = "which includes zero" if low <= 0 <= high else "which excludes zero"
    return [
        f"{text}, with a 95 % interval [{decimal(low, 1)}, {decimal(high, 1)}] over seeds and "
        f"images, {zero} (these two were chosen for being best, which flatters both)."
    ]


def _remembers(context: Context, label: str) -> bool:
    """Return whether a method has a memory of adversarial examples, as a placebo has not."""
    shown = context.methods[label]
    if shown.placebo:
        return False
    if shown.family in method_names():
        return "memory" in (declared(shown.family, "passes") or ())
    return shown.family.startswith(MEMORY)


def _harmonic_means(
    context: Context,
) -> tuple[dict[str, float], dict[tuple[str, str], tuple[float, float]]]:
    """Return the harmonic mean of each method at `best`, and the intervals of all differences.

    They are those of statistics.csv, on common images; without it the means of the two means.
    """
    found = context.results.statistics
    if found is None:
        means = context.accuracies(context.attack).groupby("method")[["clean", "robust"]].mean()
        total = (means["clean"] + means["robust"]).clip(lower=1e-9)
        return dict(2 * means["clean"] * means["robust"] / total), {}
    found = found[(found["checkpoint"] == "best") & (found["attack"] == context.attack)]
    rows = found[found["quantity"] == "harmonic_mean"]
    bounds = {}
    for row in deciding(found[found["quantity"] == "harmonic_mean_difference"]).itertuples():
        bounds[row.method, row.against] = row.low, row.high
        bounds[row.against, row.method] = -row.high, -row.low
    return dict(zip(rows["method"], rows["estimate"], strict=True)), bounds


def _radii(context: Context) -> str:
    return joined(map(eps_text, context.radii))


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _unbroken(text: str) -> str:
    """Return text whose numbers stay on a line with their units."""
    return text.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")

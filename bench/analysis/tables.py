"""The comparison of all methods beside published numbers, and what the training of each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.names import attack_name, attack_notes, names_of, noun
from bench.analysis.robust import strongest_at_best
from bench.analysis.sheets import (
    NOT_MEASURED,
    Sheet,
    listed,
    means,
    numbers,
    span,
    with_images,
)
from bench.results.experiment import ExperimentResults
from bench.results.flags import ON_TEST, OWN_RECIPE, SUBSET
from bench.results.order import checkpoint_order
from bench.results.origin import EXTERNAL_ORIGIN
from bench.results.text import decimal, eps_text
from bench.runtime.errors import BenchError

ATTACKS = ("clean", "pgd20", "autoattack", "worst_case")
COMPARED = ATTACKS[:-1]  # beside published numbers
MEASURED = ("mean", "std", "seeds", "n")
PUBLISHED = ("reported", "difference", "source")
REFERENCES = "Reference models (RobustBench)"
RULES = {
    "validation": "best is the epoch that did best on held-out training images, "
    "chosen without the test set",
    "test": "best was chosen on the test set, as the authors' code does, and is optimistic",
}


def attacks_of(results: ExperimentResults) -> tuple[str, ...]:
    """Return the attacks that the comparison shows: `ATTACKS` and those of `evaluation.attacks`."""
    *single, worst = ATTACKS
    return (*single, *results.registered_attacks, worst)


def comparison(results: ExperimentResults) -> pd.DataFrame:
    """Return one row for each method and checkpoint, baselines first, RobustBench's models last.

    Columns are label, name, checkpoint, seeds (0 for a network not trained here), and for each
    attack ``<attack>_mean`` and ``_std`` over seeds (NA with one), ``_seeds``, ``_n`` (images, a
    range where seeds differ), and but for the worst case ``_reported``, ``_difference`` and
    ``_source``. Attacks are those of `attacks_of` that were run.
    """
    names, rows = names_of(results.ours), results.summary
    cells = rows.groupby(["model", "method", "checkpoint", "attack"], sort=False)
    measured = pd.DataFrame(
        {
            "mean": cells["accuracy"].mean(),
            "std": cells["accuracy"].std(),
            "seeds": cells["seed"].count(),
            "n": cells["n"].agg(_span),
            # The mean is comparable only where every seed is.
            "reported": cells["reported"].agg(_shared),
            "source": cells["reported_source"].agg(_shared),
        }
    )
    measured["difference"] = measured["mean"] - measured["reported"]
    wide = measured.unstack("attack").swaplevel(axis=1)
    places = {label: place for place, label in enumerate(names)}
    order = sorted(
        wide.index,
        key=lambda key: (places.get(key[1], len(places)), key[1], checkpoint_order(key[2])),
    )
    wide = wide.loc[order]
    found = pd.DataFrame(
        {
            "label": wide.index.get_level_values("method"),
            "name": [names.get(method, method) for _, method, _ in order],
            "checkpoint": wide.index.get_level_values("checkpoint"),
        }
    )
    seeds = wide.xs("seeds", axis=1, level=1).max(axis=1)
    found["seeds"] = seeds.astype(int).to_numpy()
    for attack in attacks_of(results):
        for what in (*MEASURED, *(PUBLISHED if attack in COMPARED else ())):
            known = (attack, what) in wide.columns
            found[f"{attack}_{what}"] = wide[attack, what].to_numpy() if known else None
    return found


def comparison_csv(table: pd.DataFrame) -> str:
    """Return the comparison as CSV text."""
    written = table.rename(columns={"label": "method"}).replace({"seeds": {0: None}})
    for of_seeds in [name for name in written if name.endswith("_seeds")]:
        written[of_seeds] = written[of_seeds].astype("Int64").replace(0, pd.NA)
    return csv_text(written)


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV text."""
    return str(table.to_csv(index=False, float_format="%.2f", lineterminator="\n"))


def comparison_sheet(results: ExperimentResults, table: pd.DataFrame) -> Sheet:
    """Return the comparison as readers see it."""
    ours = table["label"].isin(results.ours["method"])
    quoted = [a for a in COMPARED if table[f"{a}_reported"].notna().any()]
    sources: dict[str, str] = {}
    shown = pd.DataFrame(
        {
            noun(results.ours).capitalize(): table["name"],
            "Checkpoint": table["checkpoint"],
            "Seeds": table["seeds"].map(lambda n: str(n or NOT_MEASURED)),
            **with_images(
                {
                    attack_name(a): (_measured(table, a), table[f"{a}_n"].fillna(""))
                    for a in attacks_of(results)
                }
            ),
            **{
                f"{attack_name(a)}, reported (difference)": [
                    _compared(row, a, sources) for row in table.to_dict("records")
                ]
                for a in quoted
            },
        }
    )
    rows = results.summary
    models = listed(results.ours["model"])
    return Sheet(
        name=f"comparison-{rows['experiment'].iloc[0]}",
        caption=f"Accuracy in percent on {listed(rows['dataset'])} ({models}): mean ± standard "
        "deviation over seeds.",
        body=shown[ours],
        notes=[*_notes(results, table), *_source_notes(sources)],
        blocks={} if ours.all() else {REFERENCES: shown[~ours]},
        filters={"Checkpoint": ""},
    )


def _notes(results: ExperimentResults, table: pd.DataFrame) -> list[str]:
    """Return what a reader must know of images, seeds, radius, checkpoints and flagged rows."""
    rows, ours = results.summary, results.ours
    flags = rows["flags"].str.split(";").explode()
    images = "; ".join(
        f"{attack_name(attack)} {listed(table[f'{attack}_n'].dropna())}"
        for attack in attacks_of(results)
        if table[f"{attack}_n"].notna().any()
    )
    subset = " (in part a subset of the test set)" if (flags == SUBSET).any() else ""
    radii = listed(eps_text(eps) for eps in rows.loc[rows["attack"] != "clean", "eps"].unique())
    said = [
        f"Test images: {images}{subset}.",
        f"Seeds: {span(sorted(ours['seed'].dropna().unique()))}; ± is the sample standard "
        "deviation over them, absent with one seed.",
        f"Radius of the attacks (L-infinity, pixels in [0, 1]): {radii or 'none'}.",
        *_rules(rows),
        *attack_notes(results.registered_attacks),
        "AutoAttack is counted alone; the worst case counts an image only if no attack broke it, "
        "of the images that all attacks have in common.",
        f"{NOT_MEASURED} not measured, or not reported.",
    ]
    if len(results.references):
        said.append(
            "Reference models were trained by others, perhaps with other architectures and data, "
            "and evaluated here as ours; best is the checkpoint that RobustBench lists."
        )
    if (own := flags == OWN_RECIPE).any():
        labels = listed(rows.loc[own[own].index, "method"])
        said.append(f"Trained by a recipe of their own, not by the shared one: {labels}.")
    caveats = _caveats(rows.assign(flag=rows["flags"].str.split(";")).explode("flag"))
    warned = sorted({text for cell in rows["warnings"] for text in cell.split(" | ") if text})
    said += [f"Flags: {'; '.join(caveats)}."] if caveats else []
    return said + [f"AutoAttack warned: {text}" for text in warned]


def _source_notes(sources: Mapping[str, str]) -> list[str]:
    if not sources:
        return []
    said = "Reported numbers were not measured here; the difference is ours minus reported."
    return [said, *(f"[{mark}] {source}" for source, mark in sources.items())]


def _shared(values: pd.Series) -> Any:
    """Return the value that all have, NA where they differ or one has none."""
    known = values.unique()
    return known[0] if len(known) == 1 else None


def _span(counts: pd.Series) -> str:
    """Return the counts of several cells as those of one: 20, or 20-300 where they differ."""
    low, high = counts.min(), counts.max()
    return str(low) if low == high else f"{low}-{high}"


def _rules(rows: pd.DataFrame) -> list[str]:
    by_rule = {rule: rows.loc[rows["selected_on"] == rule, "method"] for rule in RULES}
    used = [rule for rule in RULES if len(by_rule[rule])]
    return [
        f"Checkpoints{f' of {listed(by_rule[rule])}' if len(used) > 1 else ''}: "
        f"{RULES[rule]}; last is the last epoch."
        for rule in used
    ]


def _caveats(flagged: pd.DataFrame) -> list[str]:
    """Return each flag with its rows, those together that differ in seed or attack alone."""
    flagged = flagged[~flagged["flag"].isin(["", SUBSET, ON_TEST, OWN_RECIPE])]
    attacks: dict[tuple[str, str, str, tuple[int, ...]], list[str]] = {}
    for (flag, method, checkpoint, attack), rows in flagged.groupby(
        ["flag", "method", "checkpoint", "attack"]
    ):
        seeds = tuple(sorted(rows["seed"].dropna()))
        attacks.setdefault((flag, method, checkpoint, seeds), []).append(attack)
    return [
        f"{flag} ({method}, {_seeds(seeds)}{checkpoint}, {' and '.join(found)})"
        for (flag, method, checkpoint, seeds), found in attacks.items()
    ]


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {span(seeds)}, " if seeds else ""


def _measured(table: pd.DataFrame, attack: str) -> list[str]:
    """Return the means of an attack; one over fewer seeds than the row's says so."""
    texts = means(table[f"{attack}_mean"], table[f"{attack}_std"])
    seeds = zip(texts, table[f"{attack}_seeds"], table["seeds"], strict=True)
    return [
        text if pd.isna(own) or own == every else f"{text} ({int(own)} of {every} seeds)"
        for text, own, every in seeds
    ]


def _compared(row: Mapping[str, Any], attack: str, sources: dict[str, str]) -> str:
    reported, difference, source = (row[f"{attack}_{what}"] for what in PUBLISHED)
    if pd.isna(reported):
        return NOT_MEASURED
    mark = sources.setdefault(str(source), f"r{len(sources) + 1}")
    sign = "+" if round(difference, 2) > 0 else ""
    return f"{decimal(reported)} [{mark}] ({sign}{decimal(difference).replace('-', '−')})"


def costs(results: ExperimentResults) -> pd.DataFrame:
    """Return one row for each method, baselines first; NA where nothing was recorded.

    Of networks that were trained elsewhere the evaluation alone is known.

    Seconds are means over seeds, passes are those of one image in one training step,
    `evaluation_seconds` of all attacks on one seed's checkpoints. `accuracy` is the mean over
    seeds of the best checkpoint under `attack`, and `accuracy_per_hour` that over the hours of one
    training. Times are those of one machine: compare them within one experiment, never across.

    Raises
    ------
    BenchError
        costs.csv is missing, or has no training of a method.
    """
    every, ours, names = results.costs, results.ours, names_of(results.ours)
    if every is None:
        raise BenchError(f"{results.paths.costs} is missing; make it with `bench summarize`")
    attack = strongest_at_best(ours) or ""
    best = ours[(ours["checkpoint"] == "best") & (ours["attack"] == attack)]
    accuracy = best.groupby("method")["accuracy"].mean()
    elsewhere = set(ours.loc[ours["origin"] == EXTERNAL_ORIGIN, "method"])
    rows = []
    for label, name in names.items():
        own = every[every["method"] == label]
        trained = own[own["stage"] == "train"]
        if trained.empty and label not in elsewhere:
            raise BenchError(
                f"{results.paths.costs}: no training of {label}; make it with `bench summarize`"
            )
        seconds, reached = trained["seconds"].mean(), accuracy.get(label, np.nan)
        evaluated = own.loc[own["stage"] == "evaluate", "seconds"].sum()
        rows.append(
            {
                "method": label,
                "name": name,
                "seeds": own["seed"].nunique(),
                "seconds_mean": seconds,
                "seconds_std": trained["seconds"].std(),
                "images_per_second": trained["images_per_second"].mean(),
                "forward_passes": trained["forward_passes"].mean(),
                "backward_passes": trained["backward_passes"].mean(),
                "peak_memory_mb": trained["peak_memory_mb"].max(),
                "evaluation_seconds": evaluated / own["seed"].nunique(),
                "attack": attack,
                "accuracy": reached,
                "accuracy_per_hour": reached / (seconds / 3600) if seconds > 0 else np.nan,
                "device": listed(own["device"] if trained.empty else trained["device"]),
            }
        )
    return pd.DataFrame(rows)


def costs_sheet(results: ExperimentResults, table: pd.DataFrame) -> Sheet:
    """Return the costs as readers see them."""
    attack = table["attack"].iloc[0]
    robust = attack_name(attack) if attack else "Robust"
    return Sheet(
        name=f"costs-{results.ours['experiment'].iloc[0]}",
        caption="What one training costs: mean ± standard deviation over seeds.",
        body=pd.DataFrame(
            {
                noun(results.ours).capitalize(): table["name"],
                "Seeds": table["seeds"].astype(str),
                "Training (s)": means(table["seconds_mean"], table["seconds_std"], 1),
                "Images/s": numbers(table["images_per_second"], 0),
                "Passes per image": [_passes(row) for row in table.to_dict("records")],
                "Peak memory (MB)": numbers(table["peak_memory_mb"], 0),
                "Evaluation (s)": numbers(table["evaluation_seconds"], 1),
                f"{robust} accuracy per training hour": numbers(table["accuracy_per_hour"], 1),
            }
        ),
        notes=[
            "Passes per image and step: forward + backward, of attack and update together; for "
            "MemLoss from the second epoch on.",
            f"Device: {listed(table['device'])}. Other work on the machine counts too, so compare "
            "within a table, and a few percent are no finding. Peak memory is that of a CUDA "
            "device.",
            "Accuracy per hour is the best checkpoint's accuracy in points over the hours of one "
            "training: it rewards cheap trainings, not good ones.",
        ],
        words=1,
    )


def _passes(row: Mapping[str, float]) -> str:
    forward, backward = row["forward_passes"], row["backward_passes"]
    known = not (pd.isna(forward) or pd.isna(backward))
    return f"{forward:g} + {backward:g}" if known else NOT_MEASURED

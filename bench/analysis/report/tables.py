"""The tables that only the page has: every row of the results, and where each comes from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.analysis.claims.table import claims_sheet
from bench.analysis.claims.verdict import MEANINGS
from bench.analysis.names import attack_name, attack_notes, noun
from bench.analysis.plots.context import Context
from bench.analysis.plots.transfer import Transfer
from bench.analysis.sheets import NOT_MEASURED, Sheet, flag_notes, intervals, numbers, wholes
from bench.analysis.statistics.table import (
    BOTH,
    BOTH_MODERATED,
    IMAGES,
    SEEDS,
    WILSON,
    deciding,
)
from bench.diagnostics.checks import RISK
from bench.results.order import attack_order, checkpoint_order
from bench.results.records import CheckRecord, JobRecord
from bench.results.text import decimal, eps_text

QUANTITIES = {
    "accuracy": "accuracy",
    "accuracy_difference": "difference in accuracy",
    "harmonic_mean": "harmonic mean with clean accuracy",
    "harmonic_mean_difference": "difference in harmonic mean",
    "front_distance": "distance to the hull of the others",
}
INTERVALS = {
    BOTH: "Other seeds and images",
    BOTH_MODERATED: "The same, moderated",
    SEEDS: "Other seeds, these images",
    IMAGES: "These models, other images",
}


def claims_page(context: Context, claims: pd.DataFrame) -> Sheet:
    """Return every claim with its verdict and what decided it, what is decided first."""
    order = {verdict: place for place, verdict in enumerate(MEANINGS)}
    found = claims.sort_values("verdict", key=lambda column: column.map(order), kind="stable")
    sources = {source: f"s{i}" for i, source in enumerate(claims["source"].unique(), 1)}
    sheet, names = claims_sheet(found), _names(context)
    claim, _, claimed, *measured = sheet.body
    marks = found["source"].map(sources)
    body = pd.DataFrame(
        {
            claim: [f"{text} [{mark}]" for text, mark in zip(found["text"], marks, strict=True)],
            "Verdict": found["verdict"].tolist(),
            claimed: sheet.body[claimed],
            **{name: sheet.body[name] for name in measured},
            "Why": found["detail"].tolist(),
            f"{_noun(context)}s": [_joined(m.split(";"), names) for m in found["methods"]],
            "Flags": found["flags"].str.replace(";", "; ").tolist(),
            "Seeds": wholes(found["n_seeds"]),
            "Images": wholes(found["n_images"]),
        }
    )
    notes = [*sheet.notes, *flag_notes(found["flags"])]
    notes += [f"[{mark}] {source}" for source, mark in sources.items()]
    # The interval is to be seen beside the verdict, without scrolling to the right.
    words = body.columns.get_loc("Seeds")
    return replace(sheet, body=body, notes=notes, words=words, filters={"Verdict": ""})


def summary_sheet(context: Context) -> Sheet:
    """Return summary.csv row by row."""
    rows = context.results.summary
    order = {label: place for place, label in enumerate(context.methods)}
    by = pd.DataFrame(
        {
            "place": rows["method"].map(order).fillna(len(order)),
            "method": rows["method"],
            "seed": rows["seed"].fillna(-1),
            "checkpoint": rows["checkpoint"].map(checkpoint_order),
            "attack": rows["attack"].map(attack_order),
        }
    )
    rows = rows.loc[by.sort_values(list(by), kind="stable").index]
    body = {
        _noun(context): rows["method"].replace(_names(context)).tolist(),
        "Seed": wholes(rows["seed"]),
        "Checkpoint": rows["checkpoint"].tolist(),
        "Attack": rows["attack"].map(attack_name).tolist(),
        "Flags": rows["flags"].str.replace(";", "; ").tolist(),
        "Accuracy, %": numbers(rows["accuracy"]),
        "95 % over images": intervals(rows["ci_low"], rows["ci_high"]),
        "Correct": wholes(rows["correct"]),
        "Images": wholes(rows["n"]),
        "Reported": numbers(rows["reported"]),
        "Ours − reported": numbers(rows["difference"]),
    }
    return Sheet(
        "summary",
        "Every row of summary.csv: one network, checkpoint and attack each.",
        pd.DataFrame(body),
        [
            "Wilson's interval is over other images for this network, not over other seeds.",
            *flag_notes(rows["flags"]),
        ],
        words=5,
        filters=dict.fromkeys((_noun(context), "Checkpoint", "Attack"), ""),
    )


def statistics_sheet(context: Context, found: pd.DataFrame) -> Sheet:
    """Return statistics.csv with one row for each quantity and its intervals side by side."""
    key = ["checkpoint", "quantity", "attack", "method", "against"]
    names = _names(context)
    found = found.assign(
        interval=found["interval"].replace(WILSON, IMAGES),
        ends=intervals(found["low"], found["high"]),
    )
    rows = found.groupby(key, sort=False).first().reset_index()
    by_key = found.set_index([*key, "interval"])
    ends = by_key["ends"].unstack("interval").reindex(columns=list(INTERVALS))
    ends = ends.loc[pd.MultiIndex.from_frame(rows[key])].fillna(NOT_MEASURED)
    tested = deciding(found).set_index(key)["p_holm"].reindex(ends.index)
    body = {
        "Quantity": rows["quantity"].replace(QUANTITIES).tolist(),
        "Attack": rows["attack"].map(attack_name).tolist(),
        "Checkpoint": rows["checkpoint"].tolist(),
        _noun(context): rows["method"].replace(names).tolist(),
        "Minus": rows["against"].replace({**names, "": NOT_MEASURED}).tolist(),
        "Estimate": numbers(rows["estimate"]),
        **{heading: ends[name].tolist() for name, heading in INTERVALS.items()},
        "p (Holm)": [NOT_MEASURED if pd.isna(p) else f"{p:.4g}" for p in tested],
        "Seeds": wholes(rows["n_seeds"]),
        "Images": wholes(rows["n_images"]),
    }
    return Sheet(
        "statistics",
        "How far each mean and each difference may be trusted: 95 % intervals.",
        pd.DataFrame(body),
        [
            "“Other seeds and images” is the interval that tells whether a method is better: the "
            "moderated one, whose spread borrows from all methods, from three seeds and six "
            "methods on. p is of no difference in its sense; an interval over images alone is of "
            "these networks. docs/statistics.md has the formulas.",
            f"An interval that is {NOT_MEASURED} cannot be known from so few seeds.",
        ],
        words=5,
        filters={"Quantity": "", "Attack": attack_name(context.attack), "Checkpoint": "best"},
    )


def checks_sheet(context: Context) -> Sheet | None:
    """Return every check on every network; None where no diagnostics were run."""
    found: dict[tuple[str, int, str], dict[str, CheckRecord]] = {}
    causes: dict[tuple[str, int, str], str] = {}
    for (method, seed), record in context.results.diagnostics.items():
        for checkpoint, own in record.checkpoints.items():
            found.setdefault((method, seed, checkpoint), {}).update(own.checks)
            causes[method, seed, checkpoint] = own.cause
    for seed, transfers in context.results.transfers.items():
        for checkpoint, by_method in transfers.checkpoints.items():
            for method, of_method in by_method.items():
                if method in context.methods:
                    found.setdefault((method, seed, checkpoint), {}).update(of_method.checks)
    if not found:
        return None
    every = [check for checks in found.values() for check in checks.values()]
    limits = {name: c.threshold for checks in found.values() for name, c in checks.items()}
    frame = pd.DataFrame(list(found), columns=["method", "seed", "checkpoint"])
    frame = context.ordered(frame)
    networks = list(frame.itertuples(index=False, name=None))
    ordered = [found[network] for network in networks]
    named = [causes.get(network, "") for network in networks]
    done = {method for method, _ in context.results.diagnostics}
    missing = [d.name for label, d in context.methods.items() if label not in done]
    counts = sorted({check.n for check in every})
    return Sheet(
        "diagnostics",
        f"{sum(not check.passed for check in every)} of {len(every)} checks failed, on "
        f"{len(found)} networks (seeds: {_joined(sorted(frame['seed'].unique()))}) and "
        f"{_joined(counts)} test images; the percentage of images at fault by each check, and its "
        f"limit.{f' Not diagnosed: {_joined(missing)}.' if missing else ''}",
        pd.DataFrame(
            {
                _noun(context): frame["method"].replace(_names(context)).tolist(),
                "Checkpoint": frame["checkpoint"].tolist(),
                "Seed": wholes(frame["seed"]),
                **{
                    f"{name}, ≤ {limit:g} %": [_outcome(checks.get(name)) for checks in ordered]
                    for name, limit in limits.items()
                },
                **({"Most probable cause": named} if any(named) else {}),
            }
        ),
        [
            "A passed check proves nothing; a failed one (✗) means that the robust accuracy is "
            "likely an overestimate. A check fails where the value is beyond the limit and chance "
            f"is ruled out, with a probability below {RISK:g}; one beyond the limit that does not "
            "fail is within chance. docs/diagnostics.md says what each check asks, what a failure "
            "means and what to do. Few images find only gross faults."
        ],
        filters={_noun(context): ""},
    )


def _outcome(check: CheckRecord | None) -> str:
    if check is None:
        return NOT_MEASURED
    mark = "✓" if check.passed else "✗"
    if check.passed and check.value > check.threshold:
        mark = "within chance"
    return f"{decimal(check.value)} {mark}"


def transfer_sheet(data: Transfer) -> Sheet:
    """Return the accuracies under transferred attacks, a row a target."""
    names = {label: shown.name for label, shown in data.displays.items()}
    by_source = {f"made on {names[s]}": numbers(data.accuracy.loc[s, list(names)]) for s in names}
    return Sheet(
        "transfer",
        "Accuracy (%) when images made on one network are tried on another; seeds: "
        f"{_joined(data.seeds)}, and their mean where there are several.",
        pd.DataFrame({"Tried on": list(names.values()), **by_source}),
        ["On the diagonal are attacks on the network itself: they should be the lowest."],
        words=1,
    )


def networks_sheet(context: Context) -> Sheet:
    """Return what every network that was evaluated came from."""
    results, names = context.results, _names(context)
    frame = results.ours.drop_duplicates(["method", "seed", "checkpoint"])
    frame = frame.assign(order=frame["checkpoint"].map(checkpoint_order))
    rows = []
    for row in context.ordered(frame.sort_values("order", kind="stable")).itertuples():
        trained: Any = results.trainings.get((row.method, row.seed))
        evaluated = results.evaluations.get((row.method, row.seed))
        kept = trained.checkpoints.get(row.checkpoint) if trained else None
        tf32 = "unknown" if pd.isna(row.tf32) else str(bool(row.tf32)).lower()
        rows.append(
            {
                _noun(context): names[row.method],
                "Seed": str(row.seed),
                "Checkpoint": row.checkpoint,
                "Epoch": str(kept.epoch) if kept else NOT_MEASURED,
                "Weights, SHA-256": row.weights_sha256,
                "Training code, SHA-256": trained.code_digest if trained else NOT_MEASURED,
                "Evaluation code, SHA-256": row.code_digest,
                "Images, SHA-256": trained.data.fingerprint if trained else NOT_MEASURED,
                "Trained in": f"{row.precision}, {row.engine}, tf32 {tf32}",
                "Trained on": trained.device if trained else NOT_MEASURED,
                "Evaluated on": evaluated.device if evaluated else NOT_MEASURED,
            }
        )
    return Sheet(
        "networks",
        "Every network: its weights, and the code, images and device behind it.",
        pd.DataFrame(rows),
        [
            "Digests are shown in part and copied whole; those of weights and of the evaluation "
            "code are in summary.csv, all others in train.json."
        ],
        words=11,
        filters={_noun(context): ""},
    )


def parts_sheet(context: Context) -> Sheet | None:
    """Return who made which runs; None of an experiment that was not merged from parts."""
    results, names = context.results, _names(context)
    if results.merged is None:
        return None
    rows = []
    for part in results.merged.parts:
        by_seeds: dict[tuple[int, ...], list[str]] = {}
        for label, seeds in part.seeds.items():
            by_seeds.setdefault(seeds, []).append(label)
        for seeds, labels in by_seeds.items():
            runs = [(label, seed) for label in labels for seed in seeds]
            records = [(results.trainings.get(run), results.evaluations.get(run)) for run in runs]
            rows.append(
                {
                    "Part": part.name,
                    "Methods": _joined(labels, names),
                    "Seeds": _joined(seeds),
                    "Trained on": _devices(trained for trained, _ in records),
                    "Evaluated on": _devices(evaluated for _, evaluated in records),
                    "Evaluated, UTC": " to ".join(dict.fromkeys((part.first, part.last))),
                }
            )
    references = [part for part in results.merged.parts if part.references]
    return Sheet(
        "parts",
        "Who measured what: the parts that this experiment was merged from.",
        pd.DataFrame(rows),
        [
            "Dates (UTC) are those of the files when they were merged. A run of several parts had "
            "equal results in all of them.",
            *(f"RobustBench's models of {p.name}: {', '.join(p.references)}." for p in references),
        ],
        words=6,
    )


def _devices(records: Iterable[JobRecord | None]) -> str:
    return _joined(record.device for record in records if record) or NOT_MEASURED


def attacks_sheet(context: Context) -> Sheet:
    """Return which package, seed and settings gave the results of each attack."""
    columns = ["attack", "attack_source", "attack_seed", "eps", "n", "attack_engine"]
    rows = context.results.ours[columns].drop_duplicates()
    rows = rows.sort_values("attack", key=lambda c: c.map(attack_order), kind="stable")
    body = {
        "Attack": rows["attack"].map(attack_name).tolist(),
        "Source": rows["attack_source"].replace("", NOT_MEASURED).tolist(),
        "Searched with": rows["attack_engine"].replace("", NOT_MEASURED).tolist(),
        "Seed": wholes(rows["attack_seed"]),
        "ε": rows["eps"].map(eps_text).tolist(),
        "Images": wholes(rows["n"]),
    }
    return Sheet(
        "attacks",
        "Every attack: who made it, its seed, radius and images.",
        pd.DataFrame(body),
        [
            "The result on every adversarial image is the network's own, in float32 without TF32.",
            *attack_notes(context.results.registered_attacks),
        ],
        words=3,
    )


def _noun(context: Context) -> str:
    return noun(context.results.ours).capitalize()


def _names(context: Context) -> dict[str, str]:
    return {label: shown.name for label, shown in context.methods.items()}


def _joined(words: Iterable[object], names: dict[str, str] | None = None) -> str:
    return ", ".join(dict.fromkeys((names or {}).get(str(word), str(word)) for word in words))

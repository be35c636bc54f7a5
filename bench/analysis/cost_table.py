"""What each method's training costs, and how much accuracy an hour of it gives.

Times are those of the machine that made the results: compare them within one experiment, never
across.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from bench.analysis.names import attack_name, method_order, names_of
from bench.analysis.robust import strongest_at_best
from bench.analysis.sheets import NOT_MEASURED, Sheet, listed
from bench.results.experiment import ExperimentResults
from bench.runtime.errors import BenchError

COLUMNS = (
    *("method", "name", "seeds", "seconds_mean", "seconds_std", "images_per_second"),
    *("forward_passes", "backward_passes", "peak_memory_mb", "evaluation_seconds"),
    *("attack", "accuracy", "accuracy_per_hour", "device"),
)


def costs(results: ExperimentResults) -> pd.DataFrame:
    """Return a row with `COLUMNS` for each method, baselines first; NA where nothing was recorded.

    Seconds are means over seeds, passes are those of one image in one training step,
    `evaluation_seconds` of all attacks on one seed's checkpoints. `accuracy` is the mean over
    seeds of the best checkpoint under `attack`, and `accuracy_per_hour` that over the hours of one
    training.

    Raises
    ------
    BenchError
        costs.csv is missing, or has no training of a method.
    """
    every, names = results.costs, names_of(results.ours)
    if every is None:
        raise BenchError(f"{results.paths.costs} is missing; make it with `bench summarize`")
    attack = strongest_at_best(results.ours) or ""
    best = results.ours[(results.ours["checkpoint"] == "best") & (results.ours["attack"] == attack)]
    accuracy = best.groupby("method")["accuracy"].mean()
    bases = results.ours.groupby("method")["base_method"].first()
    rows = []
    for label in sorted(names, key=lambda label: method_order(label, bases[label])):
        own = every[every["method"] == label]
        trained = own[own["stage"] == "train"]
        if trained.empty:
            raise BenchError(
                f"{results.paths.costs}: no training of {label}; make it with `bench summarize`"
            )
        hours = trained["seconds"].mean() / 3600
        reached = accuracy.get(label)
        rows.append(
            {
                "method": label,
                "name": names[label],
                "seeds": len(trained),
                "seconds_mean": trained["seconds"].mean(),
                "seconds_std": trained["seconds"].std(),
                "images_per_second": trained["images_per_second"].mean(),
                "forward_passes": trained["forward_passes"].mean(),
                "backward_passes": trained["backward_passes"].mean(),
                "peak_memory_mb": trained["peak_memory_mb"].max(),
                "evaluation_seconds": own.loc[own["stage"] == "evaluate", "seconds"].sum()
                / len(trained),
                "attack": attack,
                "accuracy": reached,
                "accuracy_per_hour": reached / hours if reached is not None and hours > 0 else None,
                "device": listed(trained["device"]),
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def costs_csv(table: pd.DataFrame) -> str:
    """Return the costs as CSV text."""
    return str(table.to_csv(index=False, float_format="%.2f", lineterminator="\n"))


def costs_sheet(results: ExperimentResults, table: pd.DataFrame) -> Sheet:
    """Return the costs as readers see them."""
    attack = table["attack"].iloc[0]
    robust = attack_name(attack) if attack else "Robust"
    rows = table.to_dict("records")
    return Sheet(
        name=f"costs-{results.ours['experiment'].iloc[0]}",
        caption="What one training costs: mean ± standard deviation over seeds.",
        body=pd.DataFrame(
            {
                "Method": table["name"],
                "Seeds": table["seeds"].astype(str),
                "Training (s)": [_spread(row) for row in rows],
                "Images/s": [number(row["images_per_second"], ".0f") for row in rows],
                "Passes per image": [passes(row) for row in rows],
                "Peak memory (MB)": [number(row["peak_memory_mb"], ".0f") for row in rows],
                "Evaluation (s)": [number(row["evaluation_seconds"], ".1f") for row in rows],
                f"{robust} accuracy per training hour": [
                    number(row["accuracy_per_hour"], ".1f") for row in rows
                ],
            }
        ),
        notes=notes(table),
        words=1,
    )


def notes(table: pd.DataFrame) -> list[str]:
    """Return what a reader must know of the table."""
    return [
        "Passes per image and step: forward + backward, of attack and update together; for "
        "MemLoss from the second epoch on.",
        f"Device: {listed(table['device'])}. Other work on the machine counts too, so compare "
        "within a table, and a few percent are no finding. Peak memory is that of a CUDA device.",
        "Accuracy per hour is the best checkpoint's accuracy in points over the hours of one "
        "training: it rewards cheap trainings, not good ones.",
    ]


def passes(row: Mapping[str, float]) -> str:
    """Return forward and backward passes of a row of `costs`."""
    forward, backward = row["forward_passes"], row["backward_passes"]
    known = not (pd.isna(forward) or pd.isna(backward))
    return f"{forward:g} + {backward:g}" if known else NOT_MEASURED


def number(value: float | None, form: str) -> str:
    """Return a number as text, or that there is none."""
    return NOT_MEASURED if pd.isna(value) else format(value, form)


def _spread(row: Mapping[str, float]) -> str:
    spread = "" if pd.isna(row["seconds_std"]) else f" ± {row['seconds_std']:.1f}"
    return f"{row['seconds_mean']:.1f}{spread}"

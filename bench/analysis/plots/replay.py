"""Replayed adversarial examples: success and forgetting rate, direction, loss by age, weights."""

from __future__ import annotations

import re

import pandas as pd

from bench.analysis.plots import caption
from bench.analysis.plots.context import Context, mean_over_seeds
from bench.analysis.plots.panels import Band, Curve, Panel, Panels, of_epochs
from bench.results.options import options_of

AGE = re.compile(r"replay_loss_age(\d+)")
FORGETTING = "forgetting_rate"
WEIGHT = "replay_weight_p50"
# By column: title, title of the y axis, unit.
PANELS = {
    "replay_success_rate": ("Replay success rate", "of last epoch's examples", " %"),
    FORGETTING: ("Forgetting rate", "of those it had resisted", " %"),
    "replay_cosine": ("Cosine of old and new perturbation", "cosine", ""),
    "age": ("Loss by age, at the end of training", "cross-entropy, nats", " nats"),
    WEIGHT: ("V1's weight: median (band: 10th to 90th percentile)", "1.0000001 − p(y | x″)", ""),
}
EMPHASIZED = "memloss"
EXPLAINED = (
    "Up to 256 training images, followed with every method that attacks them in training, with a "
    "memory or without; means over seeds. An example is what that attack made of an image in an "
    "epoch; it is replayed to the network at the end of later epochs.",
    "Replay success rate: how many of last epoch's examples fool the network. Forgetting rate: of "
    "those that did not at the end of their own epoch, how many do now. Cosine: between an "
    "image's perturbations of last epoch and this one. Loss by age: mean cross-entropy at the end "
    "of training, whatever loss a method was trained with.",
)


def collect(context: Context) -> Panels:
    """Return what was measured of replayed examples; no panel where nothing was."""
    history = context.results.history
    measured = [name for name in history if name.startswith("replay_") or name == FORGETTING]
    history = history[history[measured].notna().any(axis=1)] if measured else history.iloc[:0]
    epochs = history.groupby("method")["epoch"].max()
    # Learning rates fall at shares of a training, which is where methods are comparable.
    share = epochs.nunique() > 1
    at = 100 * history["epoch"] / history["method"].map(epochs) if share else history["epoch"]
    history = history.assign(x=at)
    panels = []
    for column, (title, y, unit) in PANELS.items():
        by_age = column == "age"
        means = _by_age(history) if by_age else _means(history, column)
        curves = [
            Curve(
                name=shown.name,
                points=means[means["method"] == label],
                colour=shown.colour,
                legend=shown.name,
                width=1.6 if shown.family == EMPHASIZED else 0.9,
                dash=shown.dash,
                label=label,
            )
            for label, shown in context.methods.items()
            if (means["method"] == label).any()
        ]
        if curves:
            if by_age:
                panels.append(Panel(title, "Age in epochs", y, curves, unit))
                continue
            xlim = (0.0, 102.0) if share else of_epochs(int(epochs.max()))
            x = "Share of training, %" if share else "Epoch"
            bands = _bands(context, history) if column == WEIGHT else []
            panels.append(Panel(title, x, y, curves, unit, bands, xlim))
    methods = set(history["method"])
    return Panels(
        panels=panels,
        caption=[caption.setting(context), *EXPLAINED, *caption.lengths(context, epochs)],
        displays={label: shown for label, shown in context.methods.items() if label in methods},
        columns=2,
        height=1.8,
        nothing="no method here trains on adversarial examples",
    )


def _means(history: pd.DataFrame, column: str) -> pd.DataFrame:
    if column not in history:
        return pd.DataFrame(columns=["method", "x", "y"])
    return mean_over_seeds(history.rename(columns={column: "y"}), "x", "y")


def _by_age(history: pd.DataFrame) -> pd.DataFrame:
    columns = {name: int(found[1]) for name in history if (found := AGE.fullmatch(name))}
    last = history.sort_values("epoch", kind="stable").groupby(["method", "seed"]).tail(1)
    tidy = last.melt(["method", "seed"], list(columns), "x", "y").dropna()
    return mean_over_seeds(tidy.assign(x=tidy["x"].map(columns)).astype({"y": float}), "x", "y")


def _bands(context: Context, history: pd.DataFrame) -> list[Band]:
    """Return between which percentiles the weights lie, of the methods that use them."""
    low, high = (_means(history, f"replay_weight_p{percent}") for percent in (10, 90))
    points = low.merge(high, on=["method", "x"]).rename(columns={"y_x": "low", "y_y": "high"})
    found = []
    for row in context.results.ours.drop_duplicates("method").itertuples():
        own = options_of(row.options)
        shown = context.methods[row.method]
        weighs = shown.family == EMPHASIZED and not shown.placebo
        if weighs and (own.get("variant"), own.get("weight")) == ("v1", "A"):
            found.append(Band(shown, points[points["method"] == row.method]))
    return found

"""Accuracy against stronger and stronger attacks: by radius, steps, restarts, and Square alone."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.plots import caption, style
from bench.analysis.plots.context import (
    Context,
    mean_over_seeds,
    of_shown_checkpoint,
    shown_checkpoint,
)
from bench.analysis.plots.panels import SEED, Curve, Panel, Panels
from bench.analysis.plots.style import DASHES, MARKERS, MethodDisplay
from bench.diagnostics.checks import RISK

PIXEL = 1 / 255  # a step of eight bits
# By check: the name in the legend, and the look.
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "fgsm": ("FGSM, one step", {"colour": style.SKY, "width": 1.2, "dash": DASHES[1]}),
    "eps": ("PGD", {"colour": style.VERMILLION}),
    "steps": ("PGD", {"colour": style.VERMILLION}),
    "restarts": (
        "PGD, all restarts",
        {"colour": style.VERMILLION, "width": 0, "marker": MARKERS[4]},
    ),
    "square": ("Square alone", {"colour": style.BLACK, "width": 0, "marker": MARKERS[3]}),
}


def collect(context: Context) -> Panels | None:
    """Return two panels a method, by radius and by PGD's steps; None without diagnostics."""
    found = shown_checkpoint(context.results.curves)
    found = found[found["check"].isin(list(LOOKS))]
    if found.empty:
        return None
    by_radius = found["check"].isin(["eps", "fgsm"])
    eps = max(context.radii)
    unit, title = _unit(eps)
    points = found.assign(x=found["x"].where(~by_radius, found["x"] / unit))
    points, eps = points.rename(columns={"accuracy": "y"}), eps / unit
    end = _end(points[points["check"] == "eps"], eps)
    failed: dict[str, dict[str, None]] = {}
    for (method, _), record in context.results.diagnostics.items():
        checks = of_shown_checkpoint(record.checkpoints).failed
        failed.setdefault(method, {}).update(dict.fromkeys(checks))
    shown = [label for label in context.methods if (points["method"] == label).any()]
    n = int(found["n"].max())
    return Panels(
        panels=[
            panel
            for label in shown
            for panel in _panels(
                context.methods[label],
                points[points["method"] == label],
                list(failed.get(label, ())),
                title,
                eps,
                end,
            )
        ],
        caption=[
            caption.setting(context, seeds=found["seed"].unique().tolist(), n=n),
            "First of each pair: against the radius, evenly to twice the ε that robustness is "
            "claimed for (dotted), then by doublings. Second: against PGD steps at that ε.",
            "Accuracy that rises, that does not reach 0, or Square below PGD are signs of masked "
            f"gradients. A check fails (✗) only where that is beyond chance for {n:,} images "
            f"(p < {RISK:g}).",
        ],
        displays={label: context.methods[label] for label in shown},
        columns=4,
    )


def _panels(
    shown: MethodDisplay,
    points: pd.DataFrame,
    failed: list[str],
    title: str,
    eps: float,
    end: float,
) -> tuple[Panel, Panel]:
    of = {check: _curves(check, points[points["check"] == check]) for check in LOOKS}
    most = float(points.loc[points["check"] == "steps", "x"].max())
    # At the end of PGD's steps, whose restarts and alternative they are.
    ends = [c for check in ("restarts", "square") for c in of[check][-1:]]
    ends = [Curve(**vars(c) | {"points": c.points[-1:].assign(x=most)}) for c in ends]
    shared: dict[str, Any] = {"y": "Accuracy", "unit": " %", "ylim": (-2, 102)}
    by_radius = Panel(
        title="\n✗\N{NO-BREAK SPACE}".join([shown.name, *failed]),
        x=title,
        curves=[*of["fgsm"], *of["eps"]],
        xlim=(0, end),
        even=2 * eps,  # as the points lie
        ticks=[0, *(eps * 2**k for k in range(9) if eps * 2**k <= end)],
        guide=(eps, "ε"),
        **shared,
    )
    by_steps = Panel(
        title=f"{shown.name}, by steps",
        x="Steps, at ε",
        curves=[*of["steps"], *ends],
        xlim=(0.9, 1.25 * max(most, 1.0)),
        log=True,
        ticks=[x for x in (1, 10, 100, 1000) if x <= most],
        **shared,
    )
    return by_radius, by_steps


def _curves(check: str, points: pd.DataFrame) -> list[Curve]:
    """Return a thin curve for each seed and one for their mean."""
    legend, look = LOOKS[check]
    if points.empty:
        return []
    thin = look | {"width": 0.6, "alpha": 0.5, "dash": DASHES[0]}
    seeds = points.groupby("seed") if points["seed"].nunique() > 1 else ()
    return [
        *(Curve(f"{legend}, seed {seed}", own, legend=SEED, **thin) for seed, own in seeds),
        Curve(legend, mean_over_seeds(points, "x", "y"), legend=legend, **look),
    ]


def _unit(eps: float) -> tuple[float, str]:
    """Return the unit that radii are shown in, and the title of their axis."""
    if abs(eps / PIXEL - round(eps / PIXEL)) < 1e-6:
        return PIXEL, "Radius, 1/255"
    return 1.0, "Radius"


def _end(curves: pd.DataFrame, eps: float) -> float:
    """Return the radius from which on all curves are at 0, or where the last one ends."""
    ends = []
    for _, curve in curves.groupby(["method", "seed"]):
        last_above = curve.loc[curve["y"] > 0, "x"].max()
        beyond = curve.loc[~(curve["x"] <= last_above), "x"]
        ends.append(float(beyond.min() if len(beyond) else curve["x"].max()))
    return max([eps, *ends])

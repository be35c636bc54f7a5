"""The accuracy-robustness frontier: what a method pays in clean accuracy for its robustness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bench.analysis.names import attack_name
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.caption import short
from bench.analysis.plots.context import Context, ReportedPoint
from bench.analysis.plots.style import MethodDisplay
from bench.analysis.statistics.front import distance
from bench.analysis.statistics.table import BOTH
from bench.results.published import ModelCard
from bench.results.text import decimal, eps_text

HULL: dict[str, Any] = {"color": style.SOFT, "lw": 1.0, "ls": (0, (5, 2.5))}
BETAS: dict[str, Any] = {"color": style.BLUE, "lw": 1.1}
CARDS = {  # by what a model was trained on: colour, hover text, sign in the caption
    "plain": (style.SOFT, "RobustBench", ""),
    "generated": (style.GREEN, "RobustBench, trained with generated images", "†"),
    "extra": (style.PURPLE, "RobustBench, trained with extra images", "‡"),
}
MANY = 6  # seeds from which on their points are small and faint and not tied to the mean
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, eq=False)
class Frontier:
    """One attack on one checkpoint; accuracies in percent.

    `seeds` has method, seed, clean and robust; `means` is indexed by method and has clean, robust
    and the number of seeds. `corners` are the methods on the hull of mixtures, by clean accuracy,
    and `betas` TRADES over its values of beta. `outliers` are so far below all others that the axes
    leave them out.
    """

    attack: str
    checkpoint: str
    displays: Mapping[str, MethodDisplay]
    seeds: pd.DataFrame
    means: pd.DataFrame
    corners: Sequence[str]
    betas: Sequence[str]
    outliers: Sequence[str]
    reported: Sequence[ReportedPoint]
    cards: Sequence[ModelCard]
    card_outliers: Sequence[str]
    caption: Sequence[str]


def frontier(context: Context, attack: str, checkpoint: str = "best") -> Frontier:
    """Return what the figure shows of `attack` on `checkpoint`; no method may have a point there.

    What others report stands beside `best` alone: published numbers are of a chosen epoch.
    """
    seeds = context.accuracies(attack, checkpoint)
    grouped = seeds.groupby("method", sort=False)
    means = grouped[["clean", "robust"]].mean().assign(seeds=grouped["seed"].count())
    best = checkpoint == "best"
    reported = context.reported(attack) if best else []
    cards = context.cards(attack) if best else []
    listed = pd.DataFrame(
        [(card.clean, card.autoattack) for card in cards],
        index=[card.name for card in cards],
        columns=["clean", "robust"],
        dtype=float,
    )
    corners = hull(means)
    betas = {label: context.displays[label].beta for label in means.index}
    ordered = sorted((beta, label) for label, beta in betas.items() if beta is not None)
    caption = [
        captions.setting(context, attack),
        captions.selection(context),
        *captions.frontier_gaps(context, attack, means.index),
    ]
    if len(corners) > 1:
        caption.append(
            "Dashed: the best that drawing one of two methods at random for each image gives on "
            "average (the upper hull of the means)."
        )
    if seeds.duplicated(["clean", "robust"]).any():
        caption.append("Seeds with equal accuracies coincide.")
    return Frontier(
        attack=attack,
        checkpoint=checkpoint,
        displays=context.displays,
        seeds=seeds,
        means=means,
        corners=corners,
        betas=[label for _, label in ordered] if len(ordered) > 1 else [],
        outliers=outliers(means),
        reported=reported,
        cards=cards,
        card_outliers=outliers(listed),
        caption=[*caption, *(captions.reported_radii(context, attack) if best else ())],
    )


def hull(means: pd.DataFrame) -> list[str]:
    """Return the methods that no mixture of others reaches in both accuracies, by clean accuracy.

    `means` has columns clean and robust; of equal points the first counts.
    """
    points = means[["clean", "robust"]].drop_duplicates()
    if len(points) < 2:
        return list(points.index)
    values = points.to_numpy(float)
    beyond = [
        float(distance(values[i], np.delete(values, i, axis=0))) < -1e-9 for i in range(len(values))
    ]
    return list(points[beyond].sort_values("clean").index)


def outliers(points: pd.DataFrame) -> list[str]:
    """Return the few points so far below all others that showing them would squeeze the rest.

    In either accuracy at most a quarter of the points may go, and only over a gap of more than ten
    points of accuracy and of half of what the rest spans.
    """
    away: list[str] = []
    for column in ("robust", "clean"):
        ordered = points[column].sort_values(ascending=False, kind="stable")
        values = ordered.to_numpy(float)
        fewest = max(2, len(values) - max(1, len(values) // 4))
        for keep in range(fewest, len(values)):
            span, gap = values[0] - values[keep - 1], values[keep - 1] - values[keep]
            if gap > max(10.0, span / 2):
                away += [name for name in ordered.index[keep:] if name not in away]
                break
    return away


def draw(data: Frontier) -> Figure:
    """Return the figure: this experiment, and beside it RobustBench's models if there are any."""
    cards = [card for card in data.cards if card.name not in data.card_outliers]
    figure = style.sheet(4.1)
    ours: Axes
    if cards:
        ours, beside = figure.subplots(1, 2, width_ratios=(3, 2))
        ours.set_title("a  This experiment")
        beside.set_title("b  Beside RobustBench")
    else:
        ours = figure.subplots()
    _draw_ours(ours, data)
    if cards:
        _draw_beside(beside, ours, data, cards)
    return style.finish(figure, [*data.caption, *_lettered(cards)], _entries(data), columns=4)


def _draw_ours(axes: Axes, data: Frontier) -> None:
    near = data.means.drop(list(data.outliers))
    seeds = data.seeds[data.seeds["method"].isin(near.index)]
    few = near["seeds"].max() < MANY
    for point in seeds.itertuples():
        colour, mean = data.displays[point.method].colour, near.loc[point.method]
        if few and mean["seeds"] > 1:
            ends = (mean["clean"], point.clean), (mean["robust"], point.robust)
            axes.plot(*ends, color=colour, lw=0.6, alpha=0.55, zorder=2)
        size, alpha = (2.6, 0.9) if few else (2.0, 0.45)
        axes.plot(
            point.clean, point.robust, "o", ms=size, color=colour, alpha=alpha, mew=0, zorder=3
        )
    corners, path = data.means.loc[list(data.corners)], near.loc[near.index.isin(data.betas)]
    path = path.reindex([label for label in data.betas if label in path.index])
    axes.plot(path["clean"], path["robust"], zorder=2.5, **BETAS)
    for label, mean in near.iterrows():
        look = style.mark(data.displays[label], 8.0, mec=style.INK, mew=0.7)
        axes.plot(mean["clean"], mean["robust"], zorder=5, **look)
    for reported in data.reported:
        axes.plot(reported.clean, reported.robust.value, zorder=4, **_hollow(reported, data))
    # Through what lies outside as well: the axes, which do not grow for it, cut the line.
    axes.set_autoscale_on(False)
    _limits(axes, [*near["clean"], *seeds["clean"], *(r.clean for r in data.reported)], "x")
    robust = [*near["robust"], *seeds["robust"], *(r.robust.value for r in data.reported)]
    _limits(axes, robust, "y", below=0.16 if data.outliers else 0.08)
    if len(corners) > 1:
        axes.plot(corners["clean"], corners["robust"], zorder=1, **HULL)
    _ticks(axes, data.attack)
    _point_at(
        axes,
        [
            (data.displays[label].name, data.displays[label].colour, *data.means.loc[label][:2])
            for label in data.outliers
        ],
    )


def _draw_beside(axes: Axes, ours: Axes, data: Frontier, cards: Sequence[ModelCard]) -> None:
    (left, right), (bottom, top) = ours.get_xlim(), ours.get_ylim()
    _limits(axes, [left, right, *(card.clean for card in cards)], "x")
    below = 0.2 if data.card_outliers else 0.08
    _limits(axes, [bottom, top, *(card.autoattack for card in cards)], "y", below=below)
    window = Rectangle((left, bottom), right - left, top - bottom, fill=False)
    window.set(ec=style.SOFT, lw=0.6)
    axes.add_patch(window)
    axes.annotate(
        "panel a", (left, top), (3, -3), textcoords="offset points", va="top", weight="bold"
    )
    for label, mean in data.means.drop(list(data.outliers)).iterrows():
        look = style.mark(data.displays[label], 3.6, mew=0.3)
        axes.plot(mean["clean"], mean["robust"], zorder=3, **look)
    for reported in data.reported:
        small = _hollow(reported, data) | {"ms": 3.6, "mew": 0.7}
        axes.plot(reported.clean, reported.robust.value, zorder=3, **small)
    for letter, card in zip(LETTERS, cards, strict=False):
        look = {"color": CARDS[card.data][0], "weight": "bold", "ha": "center", "va": "center"}
        axes.text(card.clean, card.autoattack, letter, zorder=4, clip_on=True, **look)
    _ticks(axes, data.attack)
    away = [card for card in data.cards if card.name in data.card_outliers]
    _point_at(axes, [(short(c.name), CARDS[c.data][0], c.clean, c.autoattack) for c in away])


def _point_at(axes: Axes, points: Sequence[tuple[str, str, float, float]]) -> None:
    """Point at what lies beyond the axes, and say where it is."""
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    for row, (name, colour, clean, robust) in enumerate(points):
        x, y = np.clip(clean, left, right), np.clip(robust, bottom, top)
        to_right = x > (left + right) / 2
        arrow = "v" if robust < bottom else ("<" if clean < left else ">")
        axes.plot(x, y, arrow, ms=6, color=colour, mew=0, clip_on=False, zorder=6)
        axes.annotate(
            f"{name} ({clean:.1f}%, {robust:.1f}%)",
            (x, y),
            (-6 if to_right else 6, 4 + 9 * row),
            textcoords="offset points",
            ha="right" if to_right else "left",
            size=7,
            bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.85},
        )


def _hollow(point: ReportedPoint, data: Frontier) -> dict[str, Any]:
    shown, own = data.displays[point.method], point.robust.kind == "paper"
    size, edge = (8.0, 1.3) if own else (6.0, 0.8)
    return style.mark(shown, size, mfc="white", mec=shown.colour, mew=edge)


def _lettered(cards: Sequence[ModelCard]) -> list[str]:
    """Return the sentence that names the models of the letters."""
    if not cards:
        return []
    names = [
        f"{letter} {short(card.name)}{CARDS[card.data][2]}"
        for letter, card in zip(LETTERS, cards, strict=False)
    ]
    kinds = {card.data for card in cards}
    signs = [
        f"{sign} {text.partition(', ')[2]}"
        for kind, (_, text, sign) in CARDS.items()
        if sign and kind in kinds
    ]
    return [f"RobustBench: {', '.join(names)}{''.join(f'; {sign}' for sign in signs)}."]


def _limits(axes: Axes, values: Sequence[float], axis: str, below: float = 0.08) -> None:
    low, high = min(values), max(values)
    span = max(high - low, 2.0)
    # Nothing is beyond 0 or 100 %, but a marker on that edge must not be cut.
    limits = max(low - below * span, -2.0), min(high + 0.08 * span, 102.0)
    (axes.set_xlim if axis == "x" else axes.set_ylim)(*limits)


def _ticks(axes: Axes, attack: str) -> None:
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        side.set_major_formatter("{x:g}%")
    axes.grid(True)
    axes.set_xlabel("Clean accuracy")
    axes.set_ylabel(f"{attack_name(attack)} accuracy")


def _entries(data: Frontier) -> list[tuple[str, Any]]:
    seen = dict.fromkeys([*data.means.index, *(point.method for point in data.reported)])
    entries = [
        (shown.name, style.key(**style.mark(shown, 7.0, mec=style.INK, mew=0.6)))
        for label, shown in data.displays.items()
        if label in seen and label not in data.outliers
    ]
    grey: dict[str, Any] = {"color": style.SOFT, "ls": "none"}
    several = bool((data.means["seeds"] > 1).any())
    entries += [("one seed; large: mean", style.key(marker="o", ms=2.6, **grey))] * several
    if data.betas:
        entries.append(("TRADES in order of β", style.key(**BETAS)))
    if len(data.corners) > 1:
        entries.append(("hull of mixtures", style.key(**HULL)))
    for kind, text, size, edge in (
        ("paper", "hollow: reported by its authors", 7, 1.3),
        ("secondary", "small, hollow: reported by others", 5, 0.8),
    ):
        if any(point.robust.kind == kind for point in data.reported):
            look = {"marker": "o", "ms": size, "mfc": "white", "mec": style.SOFT, "mew": edge}
            entries.append((text, style.key(ls="none", **look)))
    return entries


def plotly(data: Frontier, context: Context) -> go.Figure:
    """Return the figure for the page; `meta.kind` of a trace says what it shows."""
    attack = attack_name(data.attack)
    traces = [*_lines(data), *_points(data, context)]
    traces += [_reported(point, data, attack) for point in data.reported]
    traces += [_card(card) for card in data.cards]
    _tell_together(traces)
    return style.chart(
        traces,
        title="",
        label=f"Clean accuracy against {attack} accuracy; the tables below have every number. "
        "Arrow keys go from point to point.",
        x="Clean accuracy, %",
        y=f"{attack} accuracy, %",
        height=520,
    )


def _lines(data: Frontier) -> Iterator[Any]:
    for left, right in zip(data.corners, data.corners[1:], strict=False):
        ends = data.means.loc[[left, right]]
        yield _segment(ends, "hull", {"color": style.SOFT, "width": 1.2, "dash": "6px,3px"}, data)
    if data.betas:
        path = data.means.loc[list(data.betas)]
        yield _segment(path, "betas", {"color": style.BLUE, "width": 1.2}, data)


def _segment(ends: pd.DataFrame, kind: str, look: Mapping[str, Any], data: Frontier) -> Any:
    far = kind == "hull" and bool(set(ends.index) & set(data.outliers))
    return go.Scatter(
        x=ends["clean"].tolist(),
        y=ends["robust"].tolist(),
        mode="lines",
        line=dict(look),
        hoverinfo="skip",
        showlegend=False,
        meta={"kind": kind, "far": far},
    )


def _points(data: Frontier, context: Context) -> Iterator[Any]:
    texts = _Texts(context, data)
    for label, mean in data.means.iterrows():
        shown, own = data.displays[label], data.seeds[data.seeds["method"] == label]
        far = label in data.outliers
        look = {"color": shown.colour, "symbol": shown.marker.page}
        if len(own) > 1:
            yield style.scatter(
                shown,
                own["clean"],
                own["robust"],
                mode="markers",
                marker=look | {"size": 7 if len(own) < MANY else 4, "opacity": 0.55},
                text=[texts.seed(shown, int(seed)) for seed in own["seed"]],
                hovertemplate="%{text}<extra></extra>",
                showlegend=False,
                meta={"kind": "seed", "far": far},
            )
        yield style.scatter(
            shown,
            [mean["clean"]],
            [mean["robust"]],
            mode="markers",
            marker=look | {"size": 13, "line": {"width": 1, "color": "white"}},
            text=[texts.mean(shown, own)],
            hovertemplate="%{text}<extra></extra>",
            meta={"kind": "mean", "far": far},
        )


def _reported(point: ReportedPoint, data: Frontier, attack: str) -> Any:
    shown, robust = data.displays[point.method], point.robust
    by = "its authors" if robust.kind == "paper" else "others"
    eps = "unknown" if robust.eps is None else eps_text(robust.eps)
    text = [
        f"<b>{shown.html}</b>, reported by {by} for ε = {eps}",
        f"Clean {decimal(point.clean)} %",
        f"{escape(attack)} {decimal(robust.value)} %",
        "not measured here",
    ]
    marker: dict[str, Any] = {"color": shown.colour, "symbol": f"{shown.marker.page}-open"}
    marker |= {"size": 12 if robust.kind == "paper" else 9, "line": {"width": 2}}
    return style.scatter(
        shown,
        [point.clean],
        [robust.value],
        mode="markers",
        marker=marker,
        text=["<br>".join(text)],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        meta={"kind": "paper"},
    )


def _card(card: ModelCard) -> Any:
    colour, kind, _ = CARDS[card.data]
    text = [
        f"<b>{escape(short(card.name))}</b>, {kind}",
        f"Clean {decimal(card.clean)} %",
        f"AutoAttack {decimal(card.autoattack)} %",
        "not measured here",
    ]
    return go.Scatter(
        x=[card.clean],
        y=[card.autoattack],
        mode="markers",
        marker={"color": colour, "symbol": "square-open", "size": 9, "line": {"width": 1.5}},
        text=["<br>".join(text)],
        hovertemplate="%{text}<extra></extra>",
        name=escape(short(card.name)),
        showlegend=False,
        meta={"kind": "card"},
    )


class _Texts:
    """What hovering over a point shows: accuracies with intervals, and flags."""

    def __init__(self, context: Context, data: Frontier) -> None:
        ours = context.results.ours
        rows = ours[
            (ours["checkpoint"] == data.checkpoint) & ours["attack"].isin(["clean", data.attack])
        ]
        self.rows = {(row.method, row.seed, row.attack): row for row in rows.itertuples()}
        self.attacks = ("clean", data.attack)
        self.checkpoint = escape(data.checkpoint)
        self.bounds: dict[tuple[str, str], str] = {}
        found = context.results.statistics
        if found is not None:
            wanted = (found["quantity"] == "accuracy") & (found["interval"] == BOTH)
            for row in found[wanted & (found["checkpoint"] == data.checkpoint)].itertuples():
                if row.low == row.low:
                    self.bounds[row.method, row.attack] = (
                        f"[{decimal(row.low)}, {decimal(row.high)}]"
                    )

    def seed(self, shown: MethodDisplay, seed: int) -> str:
        """Return the text of one network."""
        said = [f"<b>{shown.html}</b>, seed {seed}, {self.checkpoint}"]
        flags: dict[str, None] = {}
        for attack in self.attacks:
            row = self.rows[shown.label, seed, attack]
            interval = f"[{decimal(row.ci_low)}, {decimal(row.ci_high)}]"
            accuracy = f"{attack_name(attack)} {decimal(row.accuracy)} %"
            said.append(escape(f"{accuracy} {interval} of {row.n} images"))
            flags |= dict.fromkeys(filter(None, row.flags.split(";")))
        return "<br>".join([*said, *([f"flags: {escape(', '.join(flags))}"] if flags else [])])

    def mean(self, shown: MethodDisplay, seeds: pd.DataFrame) -> str:
        """Return the text of a mean; of a single seed that of the network."""
        if len(seeds) == 1:
            return self.seed(shown, int(seeds["seed"].iloc[0]))
        said = [f"<b>{shown.html}</b>, mean of {len(seeds)} seeds, {self.checkpoint}"]
        bounds = [self.bounds.get((shown.label, attack), "") for attack in self.attacks]
        for attack, column, bound in zip(self.attacks, ("clean", "robust"), bounds, strict=True):
            value, spread = seeds[column].mean(), seeds[column].std(ddof=1)
            text = f"{attack_name(attack)} {decimal(value)} ± {decimal(spread)} % {bound}"
            said.append(escape(text.rstrip()))
        return "<br>".join([*said, *(["[ ]: 95 % over seeds and images"] if any(bounds) else [])])


def _tell_together(traces: Sequence[Any]) -> None:
    """Let each point tell of all of its kind at its place: hovering finds only one of them."""
    spots: dict[tuple[Any, ...], list[str]] = {}
    marked = [trace for trace in traces if trace.mode == "markers"]
    for trace in marked:
        for x, y, text in zip(trace.x, trace.y, trace.text, strict=True):
            spots.setdefault((trace.meta["kind"], x, y), []).append(text)
    if max(Counter(map(len, spots.values())), default=1) > 1:
        for trace in marked:
            kind = trace.meta["kind"]
            trace.text = [
                "<br><br>".join(spots[kind, x, y]) for x, y in zip(trace.x, trace.y, strict=True)
            ]

"""The accuracy-robustness frontier: what a method pays in clean accuracy for its robustness."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import cycle, pairwise, product
from string import ascii_letters
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.names import attack_name, attack_notes, noun
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.caption import joined
from bench.analysis.plots.context import Context, ReportedPoint
from bench.analysis.plots.style import Chart, Marker, MethodDisplay, Trace
from bench.analysis.robust import under
from bench.analysis.sheets import intervals
from bench.analysis.statistics.front import distance
from bench.results.flags import OWN_RECIPE, flags_of
from bench.results.order import attack_order, checkpoint_order
from bench.results.published import ModelCard
from bench.results.text import decimal, eps_text

HULL: dict[str, Any] = {"color": style.SOFT, "lw": 1.0, "ls": (0, (5, 2.5))}
BETAS: dict[str, Any] = {"color": style.BLUE, "lw": 1.1}
CARDS = {  # by what a model was trained on: colour, hover text, sign in the caption
    "plain": (style.SOFT, "RobustBench", ""),
    "generated": (style.GREEN, "RobustBench, trained with generated images", "†"),
    "extra": (style.PURPLE, "RobustBench, trained with extra images", "‡"),
}
# Of RobustBench's models that were evaluated here; no method has one of these.
REFERENCES = (
    Marker("d", "diamond-tall", "♦"),
    Marker((6, 1, 0), "hexagram", "✶"),
    Marker("H", "hexagon2", "⬣"),
)
HOVER = {"mode": "markers", "hovertemplate": "%{text}<extra></extra>"}
SMALL, LARGE = 3.6, 8.0  # points of a mean's marker
MANY = 6  # seeds from which on their points are small and faint and not tied to the mean


@dataclass(frozen=True)
class Reference:
    """A model of RobustBench that was evaluated here, by RobustBench's name of it.

    `text` is what hovering shows.
    """

    label: str
    clean: float
    robust: float
    text: str
    marker: Marker
    colour: ClassVar[str] = style.SOFT

    @property
    def name(self) -> str:
        """How legends name it."""
        return f"{short(self.label)} (RobustBench)"

    def paper(self, size: float) -> dict[str, Any]:
        """Return its marker as arguments of matplotlib's `plot`."""
        look = {"mfc": self.colour, "mec": style.INK, "mew": size / 12, "ls": "none"}
        return look | {"marker": self.marker.paper, "ms": size}


@dataclass(frozen=True, eq=False)
class Frontier:
    """One attack on one checkpoint; accuracies in percent.

    `seeds` has method, seed, clean, robust and text, `means` is indexed by method and has clean,
    robust, text and the number of seeds; a text is what hovering shows. `corners` are the
    methods on the hull of mixtures, by clean accuracy, for each network, and `betas` TRADES over
    its values of beta, on one network by the shared recipe.
    `outliers` are so far below all others that the axes leave them out, by label or by name.
    """

    attack: str
    displays: Mapping[str, MethodDisplay]
    seeds: pd.DataFrame
    means: pd.DataFrame
    corners: Sequence[Sequence[str]]
    betas: Sequence[str]
    outliers: Sequence[str]
    references: Sequence[Reference]
    reported: Sequence[ReportedPoint]
    cards: Sequence[ModelCard]
    card_outliers: Sequence[str]
    caption: Sequence[str]

    def draw(self) -> Figure:
        """Return the figure: this experiment, beside it RobustBench's models if there are any."""
        figure = style.sheet(4.1)
        cards = [card for card in self.cards if card.name not in self.card_outliers]
        if cards:
            ours, beside = figure.subplots(1, 2, width_ratios=(3, 2))
            ours.set_title("a  This experiment")
            beside.set_title("b  Beside RobustBench")
            _draw_cards(beside, cards)
            _draw_points(beside, self, size=SMALL)
        else:
            ours = figure.subplots()
        _draw_seeds(ours, self)
        _draw_points(ours, self, size=LARGE)
        ours.set_autoscale_on(False)
        if cards:
            (left, right), (bottom, top) = self.window()
            ours.set(xlim=(left, right), ylim=(bottom, top))
        # Through outliers as well: the axes, which do not grow for them, cut the line.
        for labels in self.corners:
            corners = self.means.loc[list(labels)]
            ours.plot(corners["clean"], corners["robust"], zorder=1, **HULL)
        betas = [label for label in self.betas if label not in self.outliers]
        path = self.means.loc[betas]
        ours.plot(path["clean"], path["robust"], zorder=2.5, **BETAS)
        return style.finish(figure, [*self.caption, *_lettered(cards)], _entries(self))

    def window(self) -> list[tuple[float, float]]:
        """Return the ends of both axes around our networks and what is reported of their methods.

        Other reported numbers may lie far away, and are shown beside RobustBench's models.
        """
        near = self.means.drop(list(self.outliers), errors="ignore")
        found = [near, self.seeds[self.seeds["method"].isin(near.index)]]
        others = {one.label: (one.clean, one.robust) for one in self.references}
        others |= {
            f"{point.method} {number}": (point.clean, point.robust.value)
            for number, point in enumerate(self.reported)
            if point.method in near.index
        }
        points = pd.concat([*found, _points_of(others).drop(list(self.outliers), errors="ignore")])
        ends = []
        for column in ("clean", "robust"):
            low, high = points[column].min(), points[column].max()
            room = max(0.08 * (high - low), 0.5)
            ends.append((float(low - room), float(high + room)))
        return ends

    def chart(self) -> Chart:
        """Return the figure for the page; `meta.kind` of a trace says what it shows."""
        attack = attack_name(self.attack)
        return style.chart(
            [*_lines(self), *_points(self), *_published(self)],
            title="",
            label=f"Clean accuracy against {attack} accuracy; the tables below have every number. "
            "Arrow keys go from point to point.",
            x="Clean accuracy, %",
            y=f"{attack} accuracy, %",
            height=520,
        )


@dataclass(frozen=True, eq=False)
class Frontiers:
    """The frontier of every attack on every checkpoint; on paper that of `main` on `best`."""

    context: Context
    main: str
    columns: ClassVar[int] = 1

    @cached_property
    def on_paper(self) -> Frontier:
        """The frontier that is drawn on paper, and first on the page."""
        return frontier(self.context, self.main)

    @cached_property
    def by_attack(self) -> dict[tuple[str, str], Frontier]:
        """All of them, by attack and checkpoint."""
        ours = self.context.results.ours
        attacks = sorted(set(ours["attack"]) - {"clean"}, key=attack_order)
        checkpoints = sorted(ours["checkpoint"].unique(), key=checkpoint_order)
        known = {(self.main, "best"): self.on_paper}
        return {
            at: known[at] if at in known else frontier(self.context, *at)
            for at in product(attacks, checkpoints)
        }

    @property
    def caption(self) -> Sequence[str]:
        """The caption of the figure on paper."""
        return self.on_paper.caption

    def draw(self) -> Figure:
        """Return the figure for paper."""
        return self.on_paper.draw()

    def charts(self) -> dict[str, Chart]:
        """Return the charts of the page by `attack/checkpoint`."""
        return {"/".join(at): one.chart() for at, one in self.by_attack.items()}


def collect(context: Context) -> Frontiers:
    """Return every frontier; robustness is told by the strongest attack on `best`."""
    return Frontiers(context, context.attack)


def frontier(context: Context, attack: str, checkpoint: str = "best") -> Frontier:
    """Return what the figure shows of `attack` on `checkpoint`; no method may have a point there.

    Published numbers are shown beside `best` alone: they are of a chosen epoch.
    """
    seeds = _seeds(context, attack, checkpoint)
    means = _means(context, seeds, attack, checkpoint)
    references = _references(context, attack, checkpoint)
    best = checkpoint == "best"
    reported = context.reported(attack) if best else []
    cards = context.cards(attack) if best else []
    theirs = {one.label: (one.clean, one.robust) for one in references}
    outliers = _outliers(pd.concat([means[["clean", "robust"]], _points_of(theirs)]))
    hulls = [hull(means[means.index.isin(labels)]) for labels in context.networks.values()]
    corners = [found for found in hulls if len(found) > 1]
    caption = [
        captions.setting(context, attack),
        captions.selection(context),
        *_gaps(context, attack, means.index),
    ]
    listed = {card.name: (card.clean, card.autoattack) for card in cards}
    card_outliers = _outliers(_points_of(listed))
    if outliers or card_outliers:
        ours = {label: (at["clean"], at["robust"]) for label, at in means.iterrows()}
        every = ours | theirs | listed
        told = joined(
            f"{name_of(context, label)} ({every[label][0]:.1f}%, {every[label][1]:.1f}%)"
            for label in [*outliers, *card_outliers]
        )
        caption.append(f"Beyond the axes: {told}.")
    if corners:
        several = ", for each network" if len(context.networks) > 1 else ""
        caption.append(
            f"Dashed: the best that drawing one of two {noun(context.results.ours)}s at random for "
            f"each image gives on average (the upper hull of the means{several})."
        )
    if references:
        caption.append(
            "Evaluated here, but trained by others, perhaps with another architecture and more "
            f"data (RobustBench): {joined(short(one.label) for one in references)}."
        )
    caption += _reported_radii(context, reported, cards)
    if cards and any(point.method not in means.index for point in reported):
        caption.append("Reported numbers beyond the axes of a are in b.")
    return Frontier(
        attack=attack,
        displays=context.displays,
        seeds=seeds,
        means=means,
        corners=corners,
        betas=_betas(context, means.index),
        outliers=outliers,
        references=references,
        reported=reported,
        cards=cards,
        card_outliers=card_outliers,
        caption=caption,
    )


def _points_of(accuracies: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    columns = ["clean", "robust"]
    return pd.DataFrame.from_dict(accuracies, "index", columns=columns, dtype=float)


def _betas(context: Context, among: Collection[str]) -> list[str]:
    """Return TRADES in order of beta, of the network with most values; none of a single one.

    What has a recipe of its own, such as averaged weights, differs in more than beta.
    """
    found: dict[str, dict[float, str]] = {}
    for run in context.results.ours.drop_duplicates("method").itertuples():
        beta = context.displays[run.method].beta
        own = OWN_RECIPE in flags_of([run.flags])
        if beta is not None and run.method in among and not own:
            found.setdefault(run.model, {})[beta] = run.method
    longest = max(found.values(), key=len, default={})
    return [longest[beta] for beta in sorted(longest)] if len(longest) > 1 else []


def _seeds(context: Context, attack: str, checkpoint: str) -> pd.DataFrame:
    ours = context.results.ours
    rows = ours[(ours["checkpoint"] == checkpoint) & ours["attack"].isin(["clean", attack])]
    texts = _measured(rows, ["method", "seed"])
    seeds = context.accuracies(attack, checkpoint)
    seeds["text"] = [
        f"<b>{context.displays[method].html}</b>, seed {seed}, {escape(checkpoint)}<br>"
        f"{texts[method, seed]}"
        for method, seed in zip(seeds["method"], seeds["seed"], strict=True)
    ]
    return seeds


def _references(context: Context, attack: str, checkpoint: str) -> list[Reference]:
    rows = context.results.references
    rows = rows[(rows["checkpoint"] == checkpoint) & rows["attack"].isin(["clean", attack])]
    wide = rows.pivot(index="method", columns="attack", values="accuracy")
    wide = wide.reindex(columns=["clean", attack]).dropna()
    texts = _measured(rows, "method")
    return [
        Reference(
            label=str(name),
            clean=at["clean"],
            robust=at[attack],
            text=f"<b>{escape(short(str(name)))}</b>, RobustBench, evaluated here<br>{texts[name]}",
            marker=marker,
        )
        for marker, (name, at) in zip(cycle(REFERENCES), wide.iterrows(), strict=False)
    ]


def _measured(rows: pd.DataFrame, by: str | list[str]) -> dict[Any, str]:
    """Return what hovering says of the accuracies of each group of summary rows."""
    rows = rows.sort_values("attack", key=lambda names: names.map(attack_order))
    ends = intervals(rows["ci_low"], rows["ci_high"])
    # Of all columns a row of plain Python would be slow.
    rows = rows[["method", "seed", "attack", "accuracy", "n", "flags"]].assign(interval=ends)
    texts = {}
    for of, own in rows.groupby(by):
        lines = [
            f"{attack_name(row.attack)} {decimal(row.accuracy)} % {row.interval} of {row.n} images"
            for row in own.itertuples()
        ]
        texts[of] = "<br>".join(map(escape, [*lines, *_flags(own["flags"])]))
    return texts


def _flags(cells: Iterable[str]) -> list[str]:
    flags = sorted(flags_of(cells))
    return [f"flags: {', '.join(flags)}"] if flags else []


def _means(context: Context, seeds: pd.DataFrame, attack: str, checkpoint: str) -> pd.DataFrame:
    rows = {}
    for label, own in seeds.groupby("method", sort=False):
        mean, std = (getattr(own[["clean", "robust"]], of)() for of in ("mean", "std"))
        text = own["text"].iloc[0]
        if len(own) > 1:
            said = f"<b>{context.displays[label].html}</b>, mean of {len(own)} seeds, {checkpoint}"
            parts = [
                f"{escape(attack_name(name))} {decimal(mean[of])} ± {decimal(std[of])} %"
                for name, of in (("clean", "clean"), (attack, "robust"))
            ]
            text = "<br>".join([said, *parts])
        rows[label] = (mean["clean"], mean["robust"], len(own), text)
    columns = ["clean", "robust", "seeds", "text"]
    return pd.DataFrame.from_dict(rows, "index", columns=columns)


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


def _outliers(points: pd.DataFrame) -> list[str]:
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


def _gaps(context: Context, attack: str, shown: Iterable[str]) -> list[str]:
    """Return what the frontier does not show as a reader expects it."""
    clean, robust = (captions.images(context.results.ours, name) for name in ("clean", attack))
    said = [f"Clean accuracy is that on {clean} test images."] if clean != robust else []
    if attack != "autoattack":
        said.append(f"AutoAttack was not run: robustness is against {under(attack)}.")
    registered = context.results.registered_attacks
    said += attack_notes({attack: registered[attack]} if attack in registered else {})
    known = set(shown)
    absent = joined(d.name for label, d in context.methods.items() if label not in known)
    if absent:
        said.append(f"Not shown, as {attack_name(attack)} was not run: {absent}.")
    return said


def _reported_radii(
    context: Context, reported: Sequence[ReportedPoint], cards: Sequence[ModelCard]
) -> list[str]:
    """Return which reported numbers are for another radius than ours, or do not state it."""
    points = [(context.displays[point.method].name, point.robust.eps) for point in reported]
    points += [(short(card.name), card.eps) for card in cards]
    differing = joined(
        f"{name} for {eps_text(eps)}"
        for name, eps in points
        if eps is not None and all(abs(eps - ours) > 1e-6 for ours in context.radii)
    )
    silent = joined(name for name, eps in points if eps is None)
    said = [f"Reported for another ε: {differing}."] if differing else []
    return said + ([f"Some reports do not state ε: {silent}."] if silent else [])


def name_of(context: Context, label: str) -> str:
    """Return the name of a method by its label, or of a model of RobustBench by its own."""
    return context.displays[label].name if label in context.displays else short(label)


def short(name: str) -> str:
    """Return a RobustBench model's first author and year: Gowal2021Improving_R18 is Gowal 2021."""
    digits = next((i for i, sign in enumerate(name) if sign.isdigit()), 0)
    year = name[digits : digits + 4]
    return f"{name[:digits]} {year}" if digits and year.isdigit() and len(year) == 4 else name


def _draw_seeds(axes: Axes, data: Frontier) -> None:
    near = data.means.drop(list(data.outliers), errors="ignore")
    few = near["seeds"].max() < MANY
    size, alpha = (2.6, 0.9) if few else (2.0, 0.45)
    for point in data.seeds[data.seeds["method"].isin(near.index)].itertuples():
        colour, mean = data.displays[point.method].colour, near.loc[point.method]
        if few and mean["seeds"] > 1:
            ends = (mean["clean"], point.clean), (mean["robust"], point.robust)
            axes.plot(*ends, color=colour, lw=0.6, alpha=0.55, zorder=2)
        look: dict[str, Any] = {"ms": size, "color": colour, "alpha": alpha, "mew": 0, "zorder": 3}
        axes.plot(point.clean, point.robust, "o", **look)


def _draw_points(axes: Axes, data: Frontier, size: float) -> None:
    for label, mean in data.means.drop(list(data.outliers), errors="ignore").iterrows():
        look = style.mark(data.displays[label], size, mec=style.INK, mew=size / 12)
        axes.plot(mean["clean"], mean["robust"], zorder=5, **look)
    for one in data.references:
        if one.label not in data.outliers:
            axes.plot(one.clean, one.robust, zorder=5, **one.paper(size))
    for point in data.reported:
        shown, own = data.displays[point.method], point.robust.kind == "paper"
        scale, edge = (1.0, 1.3) if own else (0.75, 0.8)
        look = style.mark(shown, scale * size, mfc="white", mec=shown.colour, mew=edge * size / 8)
        axes.plot(point.clean, point.robust.value, zorder=4, **look)
    axes.margins(0.08)
    axes.autoscale_view()
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        side.set_major_formatter("{x:g}%")
    axes.grid(True)
    axes.set_xlabel("Clean accuracy")
    axes.set_ylabel(f"{attack_name(data.attack)} accuracy")


def _draw_cards(axes: Axes, cards: Sequence[ModelCard]) -> None:
    look: dict[str, Any] = {"weight": "bold", "ha": "center", "va": "center", "clip_on": True}
    for letter, card in zip(ascii_letters, cards, strict=False):
        colour = CARDS[card.data][0]
        axes.text(card.clean, card.autoattack, letter, color=colour, zorder=6, **look)
        axes.update_datalim([(card.clean, card.autoattack)])


def _lettered(cards: Sequence[ModelCard]) -> list[str]:
    """Return the sentence that names the models of the letters."""
    if not cards:
        return []
    names = [
        f"{letter} {short(card.name)}{CARDS[card.data][2]}"
        for letter, card in zip(ascii_letters, cards, strict=False)
    ]
    kinds = {card.data for card in cards}
    signs = [
        f"; {sign} {text.partition(', ')[2]}"
        for kind, (_, text, sign) in CARDS.items()
        if sign and kind in kinds
    ]
    return [f"RobustBench: {', '.join(names)}{''.join(signs)}."]


def _entries(data: Frontier) -> dict[str, Any]:
    seen = {*data.means.index, *(point.method for point in data.reported)} - set(data.outliers)
    entries = {
        shown.name: style.key(**style.mark(shown, 7.0, mec=style.INK, mew=0.6))
        for label, shown in data.displays.items()
        if label in seen
    }
    entries |= {
        one.name: style.key(**one.paper(7.0))
        for one in data.references
        if one.label not in data.outliers
    }
    grey: dict[str, Any] = {"ls": "none", "marker": "o", "mec": style.SOFT}
    if (data.means["seeds"] > 1).any():
        entries["one seed; large: mean"] = style.key(ms=2.6, **grey | {"color": style.SOFT})
    if data.betas:
        entries["TRADES in order of β"] = style.key(**BETAS)
    if data.corners:
        entries["hull of mixtures"] = style.key(**HULL)
    hollow = grey | {"mfc": "white"}
    kinds = {point.robust.kind for point in data.reported}
    if "paper" in kinds:
        entries["hollow: reported by its authors"] = style.key(ms=7, mew=1.3, **hollow)
    if "secondary" in kinds:
        entries["small, hollow: reported by others"] = style.key(ms=5, mew=0.8, **hollow)
    return entries


def _lines(data: Frontier) -> Iterator[Any]:
    dashed = {"color": style.SOFT, "width": 1.2, "dash": "6px,3px"}
    for ends in (ends for labels in data.corners for ends in pairwise(labels)):
        far = bool(set(ends) & set(data.outliers))
        yield _line(data.means.loc[list(ends)], dashed, {"kind": "hull", "far": far})
    if data.betas:
        solid = {"color": style.BLUE, "width": 1.2}
        yield _line(data.means.loc[list(data.betas)], solid, {"kind": "betas"})


def _line(path: pd.DataFrame, look: dict[str, Any], meta: dict[str, Any]) -> Trace:
    x, y = path["clean"].tolist(), path["robust"].tolist()
    shared = {"type": "scatter", "mode": "lines", "hoverinfo": "skip"}
    return {**shared, "x": x, "y": y, "line": look, "meta": meta}


def _points(data: Frontier) -> Iterator[Any]:
    means = data.means.reset_index(names="method")
    few = {"size": 7, "opacity": 0.55}
    many = {"size": 4, "opacity": 0.35}
    of_seeds = few if data.means["seeds"].max() < MANY else many
    of_means = {"size": 13, "line": {"width": 1, "color": "white"}}
    several = data.seeds[data.seeds["method"].map(data.means["seeds"]) > 1]
    # All means lie over all seeds.
    for kind, rows, look in (("seed", several, of_seeds), ("mean", means, of_means)):
        for label, points in rows.groupby("method", sort=False):
            shown = data.displays[str(label)]
            yield style.scatter(
                shown,
                points["clean"],
                points["robust"],
                text=points["text"].tolist(),
                marker={"color": shown.colour, "symbol": shown.marker.page, **look},
                meta={"kind": kind, "far": label in data.outliers},
                **HOVER,
            )
    for one in data.references:
        yield {
            "type": "scatter",
            "x": [one.clean],
            "y": [one.robust],
            "text": [one.text],
            "marker": {"color": one.colour, "symbol": one.marker.page, "size": 13},
            "name": escape(one.name, quote=False),
            "legendgroup": one.label,
            "meta": {"kind": "reference", "far": one.label in data.outliers},
            **HOVER,
        }


def _published(data: Frontier) -> Iterator[Any]:
    """Yield what others report: it was not measured here."""
    attack = escape(attack_name(data.attack))
    for point in data.reported:
        shown, robust = data.displays[point.method], point.robust
        own = robust.kind == "paper"
        eps = "unknown" if robust.eps is None else eps_text(robust.eps)
        about = f"reported by {'its authors' if own else 'others'} for ε = {eps}"
        look = {"color": shown.colour, "symbol": f"{shown.marker.page}-open", "line": {"width": 2}}
        yield style.scatter(
            shown,
            [point.clean],
            [robust.value],
            text=[_text(shown.html, about, point.clean, attack, robust.value)],
            marker=look | {"size": 12 if own else 9},
            meta={"kind": "paper"},
            **HOVER,
        )
    for card in data.cards:
        colour, about, _ = CARDS[card.data]
        yield {
            "type": "scatter",
            "x": [card.clean],
            "y": [card.autoattack],
            "text": [_text(escape(short(card.name)), about, card.clean, attack, card.autoattack)],
            "marker": {"color": colour, "symbol": "square-open", "size": 9, "line": {"width": 1.5}},
            "meta": {"kind": "card"},
            **HOVER,
        }


def _text(name: str, about: str, clean: float, attack: str, robust: float) -> str:
    return (
        f"<b>{name}</b>, {about}<br>Clean {decimal(clean)} %<br>{attack} {decimal(robust)} %<br>"
        "not measured here"
    )

"""The interactive frontier: clean accuracy against that under each attack, at each checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import stdev
from typing import Any

from bench.analysis.figures import style
from bench.analysis.figures.frontier import short
from bench.analysis.figures.known import Known
from bench.analysis.figures.points import Mean, Other, front, means, strays
from bench.analysis.figures.published import beside
from bench.analysis.image_counts import span
from bench.analysis.labels import attack_name, attack_order, checkpoint_order, eps_text
from bench.analysis.report.chart import Chart, Key, Looks, Trace
from bench.analysis.report.flags import flags_of
from bench.analysis.report.grid import between, plain
from bench.analysis.report.material import Material
from bench.analysis.report.numbers import optional
from bench.analysis.statistics.table import BOTH

CARDS = {"plain": "", "extra": ", trained with extra images", "generated": ", generated images"}
HOVER = "%{text}<extra></extra>"
Place = tuple[str, int, str, str]


@dataclass(frozen=True)
class Frontier:
    """The chart with what its switches offer.

    `far` tells of methods so far from all others that the chart leaves them out at first.
    """

    chart: Chart
    legend: Sequence[Key]
    attacks: Mapping[str, str]
    checkpoints: Sequence[str]
    chosen: str
    papers: int
    cards: int
    far: str


def frontier(
    material: Material,
    known: Known,
    looks: Looks,
    *,
    attack: str,
    files: tuple[Path | None, Path | None],
    statistics: Path,
) -> Frontier:
    """Return the frontier, which shows `attack` first; `files` are reported numbers and cards."""
    texts = _Texts(material, looks, statistics)
    checkpoints = sorted({row.checkpoint for row in material.rows}, key=checkpoint_order)
    attacks = sorted({row.attack for row in material.rows} - {"clean"}, key=attack_order)
    traces: list[Trace] = []
    counts = {"paper": 0, "card": 0}
    far: dict[str, str] = {}
    shown: dict[str, None] = {}
    for checkpoint in checkpoints:
        for attacked in attacks:
            meta = {"attack": attacked, "checkpoint": checkpoint}
            found = means(material.rows, attacked, checkpoint)
            found.sort(key=lambda mean: known.order.index(mean.method))
            away = {mean.method for mean in strays(found)}
            for mean in found:
                shown[mean.method] = None
                if mean.method in away:
                    far[mean.method] = known.names[mean.method]
            near = [mean for mean in found if mean.method in known.betas]
            own = [
                *_front(found, away),
                *_betas(near, known),
                *(trace for mean in found for trace in texts.method(mean, checkpoint, attacked)),
            ]
            _told_together(own)
            # A published number is of one epoch; which, decides the checkpoint that it stands with.
            papers, cards = (
                beside(material.rows, attacked, *files) if checkpoint == "best" else ([], [])
            )
            own += [texts.paper(paper, attacked) for paper in papers if paper.name in known.names]
            own += [texts.card(card) for card in cards]
            counts["paper"] += len(papers)
            counts["card"] += len(cards)
            for trace in own:
                trace["meta"] = {"far": trace["meta"].get("method") in away} | trace["meta"] | meta
            traces += own
    chart = Chart(
        name="frontier",
        label="Clean accuracy against accuracy under attack; the tables below have every number. "
        "Arrow keys go from point to point.",
        x="Clean accuracy, %",
        y=f"{attack_name(attack)} accuracy, %",
        traces=traces,
        layout={"height": 520, "hovermode": "closest"},
    )
    return Frontier(
        chart=chart,
        legend=looks.legend(list(shown)),
        attacks={name: attack_name(name) for name in attacks},
        checkpoints=checkpoints,
        chosen=attack,
        papers=counts["paper"],
        cards=counts["card"],
        far=", ".join(far.values()),
    )


class _Texts:
    """Traces of points, each with the text that hovering shows."""

    def __init__(self, material: Material, looks: Looks, statistics: Path) -> None:
        self.looks = looks
        self.by_place: dict[Place, Mapping[str, str]] = {
            (row["method"], int(row["seed"]), row["checkpoint"], row["attack"]): row
            for row in material.ours
        }
        self.bounds = {
            (row["method"], row["checkpoint"], row["attack"]): between(
                optional(row, "low", statistics), optional(row, "high", statistics)
            )
            for row in material.statistics or ()
            if (row["quantity"], row["interval"]) == ("accuracy", BOTH)
        }

    def method(self, mean: Mean, checkpoint: str, attack: str) -> Iterator[Trace]:
        """Yield the traces of a method's seeds and of their mean."""
        colour, symbol = self.looks.colour(mean.method), self.looks.symbol(mean.method)
        yield self._points(
            "seed",
            [seed.clean for seed in mean.seeds],
            [seed.robust for seed in mean.seeds],
            [self._seed(mean.method, seed.seed, checkpoint, attack) for seed in mean.seeds],
            {"color": colour, "symbol": symbol, "size": 7, "opacity": 0.55},
            mean.method,
        )
        yield self._points(
            "mean",
            [mean.clean],
            [mean.robust],
            [self._mean(mean, checkpoint, attack)],
            {"color": colour, "symbol": symbol, "size": 13, "line": {"width": 1}},
            mean.method,
        )

    def paper(self, paper: Other, attack: str) -> Trace:
        """Return the trace of a reported point."""
        by = "its authors" if paper.kind == "paper" else "others"
        eps = "unknown" if paper.eps is None else eps_text(paper.eps)
        text = (
            f"<b>{self.looks.name(paper.name)}</b>, reported by {by} for ε = {eps}<br>"
            f"Clean {plain(paper.clean)} %<br>{escape(attack_name(attack))} "
            f"{plain(paper.robust)} %<br>not measured here"
        )
        marker = {"color": self.looks.colour(paper.name), "symbol": "diamond-open", "size": 11}
        return self._points(
            "paper", [paper.clean], [paper.robust], [text], marker | {"line": {"width": 2}}
        )

    def card(self, card: Other) -> Trace:
        """Return the trace of a model of RobustBench."""
        text = (
            f"<b>{escape(short(card.name))}</b>, RobustBench{CARDS.get(card.kind, '')}<br>"
            f"Clean {plain(card.clean)} %<br>AutoAttack {plain(card.robust)} %<br>not measured here"
        )
        marker = {"color": style.SOFT, "symbol": "square-open", "size": 9, "line": {"width": 1.5}}
        return self._points("card", [card.clean], [card.robust], [text], marker)

    def _points(
        self,
        kind: str,
        x: Sequence[float],
        y: Sequence[float],
        texts: Sequence[str],
        marker: Mapping[str, Any],
        method: str = "",
    ) -> Trace:
        return {
            "type": "scatter",
            "mode": "markers",
            "x": list(x),
            "y": list(y),
            "text": list(texts),
            "hovertemplate": HOVER,
            "marker": dict(marker),
            "meta": {"kind": kind} | ({"method": method} if method else {}),
        }

    def _seed(self, method: str, seed: int, checkpoint: str, attack: str) -> str:
        lines = [f"<b>{self.looks.name(method)}</b>, seed {seed}, {escape(checkpoint)}"]
        flags: dict[str, None] = {}
        for name in ("clean", attack):
            row = self.by_place[method, seed, checkpoint, name]
            interval = f"[{row['ci_low']}, {row['ci_high']}]"
            told = f"{attack_name(name)} {row['accuracy']} % {interval} of {row['n']} images"
            lines.append(escape(told))
            flags |= dict.fromkeys(flags_of(row))
        lines += [f"flags: {escape(', '.join(flags))}"] if flags else []
        return "<br>".join(lines)

    def _mean(self, mean: Mean, checkpoint: str, attack: str) -> str:
        count = len(mean.seeds)
        noun = "seed" if count == 1 else "seeds"
        lines = [
            f"<b>{self.looks.name(mean.method)}</b>, mean of {count} {noun}, {escape(checkpoint)}"
        ]
        for name, value, values in (
            ("clean", mean.clean, [seed.clean for seed in mean.seeds]),
            (attack, mean.robust, [seed.robust for seed in mean.seeds]),
        ):
            spread = f" ± {plain(stdev(values))}" if count > 1 else ""
            known = self.bounds.get((mean.method, checkpoint, name), "")
            rows = (self.by_place[mean.method, one.seed, checkpoint, name] for one in mean.seeds)
            told = f"{attack_name(name)} {plain(value)}{spread} % {known}".rstrip()
            lines.append(f"{escape(told)} of {span(int(row['n']) for row in rows)} images")
        if any(self.bounds.values()):
            lines.append("[ ]: 95 % over seeds and images")
        return "<br>".join(lines)


def _front(found: Sequence[Mean], away: Set[str]) -> list[Trace]:
    """Return the front of mixtures, line by line: those to methods far off are shown with them."""
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [left.clean, right.clean],
            "y": [left.robust, right.robust],
            "line": {"color": style.SOFT, "width": 1.2, "dash": "6px,3px"},
            "hoverinfo": "skip",
            "meta": {"kind": "front", "far": not away.isdisjoint({left.method, right.method})},
        }
        for left, right in pairwise(front(found))
    ]


def _betas(near: Sequence[Mean], known: Known) -> list[Trace]:
    """Return the line that joins TRADES over its values of beta."""
    joined = sorted(near, key=lambda mean: known.betas[mean.method])
    if len(joined) < 2:
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [mean.clean for mean in joined],
            "y": [mean.robust for mean in joined],
            "line": {"color": style.BLUE, "width": 1.2},
            "hoverinfo": "skip",
            "meta": {"kind": "betas"},
        }
    ]


def _told_together(traces: Sequence[Trace]) -> None:
    """Let each point tell of all that lie on its spot: hovering finds only one of them."""
    spots: dict[tuple[str, float, float], list[str]] = {}
    for trace in traces:
        for x, y, text in zip(trace["x"], trace["y"], trace.get("text", ()), strict=False):
            spots.setdefault((trace["meta"]["kind"], x, y), []).append(text)
    for trace in traces:
        if "text" in trace:
            kind = trace["meta"]["kind"]
            places = zip(trace["x"], trace["y"], strict=True)
            trace["text"] = ["<br><br>".join(spots[kind, x, y]) for x, y in places]

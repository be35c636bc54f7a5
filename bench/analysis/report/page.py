"""Write report.html: everything that is known of an experiment, on one page.

It is made of frames and records alone, without weights, torch or a network, and nothing in it
depends on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bench.analysis.cost_table import costs
from bench.analysis.names import attack_name
from bench.analysis.plots import (
    ablations,
    caption,
    components,
    curves,
    diagnostics,
    frontier,
    replay,
    surfaces,
    transfer,
)
from bench.analysis.plots.context import Context
from bench.analysis.plots.style import MethodDisplay
from bench.analysis.report import tables
from bench.analysis.report.answer import answer, has_memory
from bench.analysis.report.choices import ablations_grid, choices_grid
from bench.analysis.report.claims import claims_grid
from bench.analysis.report.diagnostics import diagnosed, transfer_grid
from bench.analysis.report.provenance import Citation, attacks_grid, networks_grid, package_sets
from bench.analysis.tables import comparison
from bench.results.experiment import ExperimentResults
from bench.results.order import attack_order, checkpoint_order
from bench.results.published import Published
from bench.runtime.files import write_text

HERE = Path(__file__).parent
QUESTION = "Does recycling adversarial examples help?"


@dataclass
class Charts:
    """The charts of the page by name, as plotly's JSON."""

    found: dict[str, Any] = field(default_factory=dict)

    def add(self, figures: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Keep the figures, and return of each what the template needs to make room for it."""
        shown = []
        for name, figure in figures.items():
            chart = figure.to_plotly_json()
            chart["layout"].pop("template", None)
            self.found[name] = chart
            shown.append({"name": name, "height": chart["layout"]["height"]})
            shown[-1] |= chart["layout"]["meta"]
        return shown

    @property
    def json(self) -> Markup:
        """The charts as JSON that may stand in a script element."""
        text = json.dumps(
            self.found, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=list
        )
        # No text of a file can end the element or open a comment in it.
        return Markup(text.replace("<", "\\u003c"))


def make_report(
    results: ExperimentResults,
    published: Published,
    citations: list[Citation] | None,
    out: Path,
) -> None:
    """Write the page of an experiment to `out`, whole or not at all.

    Parameters
    ----------
    results
        The experiment; summary.csv must be there, and of what else is missing the page says so.
    published
        What stands beside its numbers, where the data set is the same.
    citations
        What to cite; None where CITATION.cff is missing.

    Raises
    ------
    BenchError
        A file of the results is damaged; it names the file and the fix.
    """
    write_text(out, render(content(Context(results, published), citations)))


def content(context: Context, citations: list[Citation] | None) -> dict[str, Any]:
    """Return all that the template shows, by name; what is missing is None or empty."""
    results, charts = context.results, Charts()
    name = str(results.ours["experiment"].iloc[0])
    learning, broken = curves.curves(context), components.components(context)
    replayed = replay.replay(context)
    return {
        "experiment": name,
        "title": QUESTION if has_memory(context) else f"Robustness of {name}",
        "answer": answer(context),
        "claims": None if results.claims is None else claims_grid(context, results.claims),
        **_frontier(context, charts),
        "comparison": tables.comparison_grid(context, comparison(results)),
        "summary": tables.summary_grid(context),
        "statistics": None
        if results.statistics is None
        else tables.statistics_grid(context, results.statistics),
        "components": charts.add({"components": components.plotly(broken)}) if broken else [],
        "selected_on": caption.selected_on(context),
        "curves": charts.add(curves.plotly(learning)) if learning else [],
        "replay": charts.add(replay.plotly(replayed)),
        "replay_methods": list(replayed.displays.values()),
        **_diagnostics(context, charts),
        "costs": None if results.costs is None else tables.costs_grid(context, costs(results)),
        "choices": choices_grid(context),
        **_ablations(context, charts),
        "networks": networks_grid(context),
        "attacks": attacks_grid(context),
        "packages": package_sets(context),
        "records": len(results.trainings),
        "runs": len(results.runs),
        "citations": citations,
        "charts": charts.json,
    }


def _frontier(context: Context, charts: Charts) -> dict[str, Any]:
    """Return the frontier: a chart for each attack and checkpoint, and its switches."""
    ours = context.results.ours
    attacks = sorted(set(ours["attack"]) - {"clean"}, key=attack_order)
    checkpoints = sorted(ours["checkpoint"].unique(), key=checkpoint_order)
    found = {
        (attack, checkpoint): frontier.frontier(context, attack, checkpoint)
        for attack in attacks
        for checkpoint in checkpoints
    }
    shown = charts.add(
        {f"frontier/{'/'.join(at)}": frontier.plotly(data, context) for at, data in found.items()}
    )
    main = found[context.attack, "best"]
    methods: dict[str, MethodDisplay] = {}
    for data in found.values():
        seen = {*data.means.index, *(point.method for point in data.reported)}
        methods |= {label: shown for label, shown in context.displays.items() if label in seen}
    outliers = dict.fromkeys(label for data in found.values() for label in data.outliers)
    return {
        "attack": attack_name(context.attack),
        "frontier": next(c for c in shown if c["name"] == f"frontier/{context.attack}/best"),
        "frontier_methods": [d for label, d in context.displays.items() if label in methods],
        "frontier_attacks": {attack: attack_name(attack) for attack in attacks},
        "frontier_attack": context.attack,
        "frontier_checkpoints": checkpoints,
        "frontier_reported": any(data.reported for data in found.values()),
        "frontier_cards": any(data.cards for data in found.values()),
        "frontier_outliers": caption.joined(context.displays[label].name for label in outliers),
        "frontier_caption": main.caption,
    }


def _diagnostics(context: Context, charts: Charts) -> dict[str, Any]:
    found, planes = diagnostics.strengths(context), surfaces.surfaces(context)
    matrix = transfer.transfer(context)
    return {
        "diagnosed": diagnosed(context),
        "strengths": charts.add(diagnostics.plotly(found)) if found else [],
        "strength_methods": list(found.displays.values()) if found else [],
        "transfer": transfer_grid(matrix) if matrix else None,
        "transfer_chart": charts.add({"transfer": transfer.plotly(matrix)}) if matrix else [],
        "surfaces": charts.add(surfaces.plotly(planes)) if planes else [],
    }


def _ablations(context: Context, charts: Charts) -> dict[str, Any]:
    differences, rows = ablations.ablations(context), context.results.ablations
    return {
        "ablations": None if rows is None else ablations_grid(context, rows),
        "ablation_charts": charts.add(ablations.plotly(differences)) if differences else [],
    }


def render(sections: Mapping[str, Any]) -> str:
    """Return the page; everything that comes from files is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    inlined = {
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8")),
        "script": Markup((HERE / "page.js").read_text(encoding="utf-8")),
        "plotly": Markup(get_plotlyjs()),
    }
    return environment.get_template("page.html").render(**sections, **inlined)

"""Write report.html: everything that is known of an experiment, on one page.

It is made of frames and records alone, without weights, torch or a network, and nothing in it
depends on the clock.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bench.analysis.ablations import ablations_sheet
from bench.analysis.names import attack_name, noun
from bench.analysis.plots import caption
from bench.analysis.plots.context import Context
from bench.analysis.plots.draw import FigureData, collect_figures
from bench.analysis.plots.frontier import Frontiers, name_of
from bench.analysis.plots.panels import Panels
from bench.analysis.plots.style import Chart
from bench.analysis.report import tables
from bench.analysis.report.answer import MEMORY, answer, claimed, has_memory
from bench.analysis.report.choices import choices_sheet
from bench.analysis.tables import comparison, comparison_sheet, costs, costs_sheet
from bench.results.experiment import ExperimentResults
from bench.results.figures import FIGURES, FigureSpec
from bench.results.published import Published
from bench.runtime.files import write_text

HERE = Path(__file__).parent
QUESTION = "Does recycling adversarial examples help?"


@dataclass(frozen=True)
class Citation:
    """A work to cite; `url` may be empty."""

    text: str
    url: str


def citations(cff: Mapping[str, Any]) -> list[Citation]:
    """Return what to cite, this suite first.

    Raises
    ------
    AttributeError, KeyError, TypeError
        `cff` is not what a CITATION.cff holds.
    """
    return [_citation(cff), *map(_citation, cff.get("references", ()))]


def _citation(told: Mapping[str, Any]) -> Citation:
    authors = [str(author.get("family-names") or author["name"]) for author in told["authors"]]
    by = f"{authors[0]} et al" if len(authors) > 2 else " and ".join(authors)
    version = f"Version {told['version']}" if "version" in told else ""
    conference = told.get("conference", {}).get("name")
    year = "" if conference else told.get("year", "")
    parts = [by, told["title"], conference, told.get("notes"), version, year]
    return Citation(". ".join(str(part) for part in parts if part) + ".", str(told.get("url", "")))


@dataclass
class Charts:
    """The charts of the page by name, as plotly's JSON."""

    found: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, chart: Chart) -> dict[str, Any]:
        """Keep a chart, and return what the template needs to make room for it."""
        self.found[name] = chart
        return {"name": name, "height": chart["layout"]["height"], **chart["layout"]["meta"]}

    @property
    def json(self) -> str:
        """The charts as JSON; pandas leaves numbers of NumPy in them."""
        return json.dumps(
            self.found,
            ensure_ascii=False,
            separators=(",", ":"),
            allow_nan=False,
            default=lambda number: number.item(),
        )


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
        Published numbers to show beside its own, where the data set is the same.
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
    figures, table = list(collect_figures(context)), comparison(results)
    data: dict[str, Any] = {spec.name: shown for spec, shown in figures}
    spent = None if results.costs is None else costs_sheet(results, costs(results))
    rows = results.ablations
    trained = results.trained
    return {
        "experiment": name,
        "noun": noun(results.ours),
        "trained": len(trained) > 0,
        "title": _title(context, name),
        "answer": answer(context),
        "claims": tables.claims_page(context, results.claims) if claimed(context) else None,
        "claims_missing": results.claims is None,
        **_frontier(context, data["frontier"], charts),
        "figures": _sections(figures, charts),
        "comparison": comparison_sheet(results, table),
        "summary": tables.summary_sheet(context),
        "statistics": None
        if results.statistics is None
        else tables.statistics_sheet(context, results.statistics),
        "checks": tables.checks_sheet(context),
        "transfer": tables.transfer_sheet(data["transfer"]) if "transfer" in data else None,
        "costs": spent,
        "choices": choices_sheet(context),
        "ablations": None if rows is None else ablations_sheet(results, rows),
        "parts": tables.parts_sheet(context),
        "networks": tables.networks_sheet(context),
        "attacks": tables.attacks_sheet(context),
        "packages": _packages(context),
        "records": len(results.trainings),
        "runs": len(trained.drop_duplicates(["method", "seed"])),
        "citations": citations,
        "charts": packed(charts.json),
    }


def _title(context: Context, name: str) -> str:
    """Return MemLoss's question where the experiment asks it and no other."""
    claims = context.results.claims
    papers = set() if claims is None else set(claims["paper"])
    return QUESTION if has_memory(context) and papers <= {MEMORY} else f"Robustness of {name}"


def _packages(context: Context) -> list[str]:
    """Return the versions of packages that the runs were made with, each set once."""
    results = context.results
    records: Mapping[str, Mapping[Any, Any]] = {
        "trained": results.trainings,
        "evaluated": results.evaluations,
    }
    sets = [
        f"{what} with {', '.join(f'{name} {version}' for name, version in record.packages.items())}"
        for what, by_run in records.items()
        for record in by_run.values()
    ]
    return list(dict.fromkeys(sets))


def _sections(
    figures: Iterable[tuple[FigureSpec, FigureData]], charts: Charts
) -> dict[str, list[dict[str, Any]]]:
    """Return what the template shows of each figure, by section."""
    found: dict[str, list[dict[str, Any]]] = {spec.section: [] for spec in FIGURES}
    for spec, data in figures:
        own = data.charts() if spec.section else {}
        if not own:
            continue
        curves = data.legend.values() if isinstance(data, Panels) else ()
        found[spec.section].append(
            {
                "heading": spec.heading,
                "charts": [charts.add(f"{spec.name}/{key}", chart) for key, chart in own.items()],
                "columns": data.columns,
                "methods": [one for one in curves if one.label],
                "legend": [one for one in curves if not one.label],
                "caption": data.caption,
            }
        )
    return found


def _frontier(context: Context, data: Frontiers, charts: Charts) -> dict[str, Any]:
    """Return the frontier: a chart for each attack and checkpoint, and its switches."""
    shown = {at: charts.add(f"frontier/{at}", chart) for at, chart in data.charts().items()}
    every = data.by_attack.values()
    methods: set[str] = set()
    for one in every:
        methods |= {*one.means.index, *(point.method for point in one.reported)}
    outliers = dict.fromkeys(label for one in every for label in one.outliers)
    return {
        "attack": attack_name(context.attack),
        "frontier_betas": any(one.betas for one in every),
        "frontier_hull": any(one.corners for one in every),
        "frontier": shown[f"{data.main}/best"],
        "frontier_methods": [
            *(d for label, d in context.displays.items() if label in methods),
            *data.on_paper.references,
        ],
        "frontier_attacks": {attack: attack_name(attack) for attack, _ in data.by_attack},
        "frontier_attack": context.attack,
        "frontier_checkpoints": list(dict.fromkeys(at for _, at in data.by_attack)),
        "frontier_reported": any(one.reported for one in every),
        "frontier_cards": any(one.cards for one in every),
        "frontier_outliers": caption.joined(name_of(context, label) for label in outliers),
        "frontier_caption": data.caption,
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
    # Numbers have a minus sign here; files have the hyphen that programs read.
    environment.filters["minus"] = lambda text: re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    inlined = {
        "style": Markup((HERE / "page.css").read_text(encoding="utf-8")),
        "script": Markup((HERE / "page.js").read_text(encoding="utf-8")),
        "plotly": packed(get_plotlyjs()),
    }
    return environment.get_template("page.html").render(**sections, **inlined)


def packed(text: str) -> str:
    """Return text as base64 of gzip, which page.js unpacks; the same text gives the same."""
    return b64encode(gzip.compress(text.encode(), mtime=0)).decode()

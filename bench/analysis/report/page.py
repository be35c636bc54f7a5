"""Write report.html: everything that is known of an experiment, on one page.

It is made of CSV and JSON files alone, without weights, torch or a network, and nothing in it
depends on the clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from bench.analysis.figures import caption, points
from bench.analysis.figures.known import Known
from bench.analysis.figures.published import beside
from bench.analysis.labels import attack_name
from bench.analysis.report.chart import Chart, Looks
from bench.analysis.report.choices import choices_grid
from bench.analysis.report.costs import costs_grid
from bench.analysis.report.curves import learning_curves, remembered
from bench.analysis.report.frontier import frontier
from bench.analysis.report.material import Material, Run, read_material
from bench.analysis.report.numbers import comparison_grid, statistics_grid, summary_grid
from bench.analysis.report.origins import attacks_grid, citation, networks_grid, package_sets
from bench.analysis.report.robustness import robustness
from bench.analysis.report.variants import ablations_grid
from bench.analysis.report.verdicts import answer, claims_grid
from bench.runtime.files import write_text

HERE = Path(__file__).parent


def make_report(
    folder: Path,
    *,
    out: Path,
    reported: Path | None,
    reference: Path | None,
    cite: Path,
    diagnosed: Iterable[Run] | None = None,
) -> None:
    """Write the page of the experiment in `folder` to `out`, whole or not at all.

    Parameters
    ----------
    folder
        results/<experiment>; summary.csv must be there, and of what else is missing the page says
        so.
    reported, reference
        The papers' and RobustBench's numbers; only those of the same data set are shown.
    cite
        CITATION.cff.
    diagnosed
        The (method, seed) pairs whose diagnostics are shown; None shows all that are there.

    Raises
    ------
    BenchError
        Naming the file that is damaged and the remedy.
    """
    material = read_material(folder, diagnosed)
    write_text(out, render(content(material, folder, (reported, reference), cite)))


def content(
    material: Material, folder: Path, files: tuple[Path | None, Path | None], cite: Path
) -> dict[str, Any]:
    """Return all that the template shows, by name; what is missing is None or empty."""
    rows = material.rows
    attack = points.strongest(rows)
    papers, _ = beside(rows, attack, *files)
    known = Known.of(rows, papers)
    looks = Looks(known)
    chosen = frontier(
        material,
        known,
        looks,
        attack=attack,
        files=files,
        statistics=folder / "statistics.csv",
    )
    means = points.means(rows, attack)
    sections: dict[str, Any] = {
        "experiment": material.experiment,
        "attack": attack_name(attack),
        "answer": answer(material, known, attack, folder / "statistics.csv"),
        "claims": material.claims and claims_grid(material.claims, known, folder / "claims.csv"),
        "frontier": chosen,
        "facts": [
            *caption.setting(rows, attack),
            caption.selection(rows, known.names),
            *caption.gaps(rows, means, attack, known.names),
            *caption.radii(papers, rows, known.names),
        ],
        "comparison": comparison_grid(material, known),
        "summary": summary_grid(material, known),
        "statistics": material.statistics
        and statistics_grid(material.statistics, known, attack, folder / "statistics.csv"),
        "selected_on": caption.selected_on(rows, known.names),
        "curves": learning_curves(material, known, folder),
        "remembered": remembered(material, known, looks, folder),
        "costs": costs_grid(material, known, folder),
        "robustness": robustness(material, known, looks, folder),
        "ablations": material.ablations
        and ablations_grid(material.ablations, known, folder / "ablations.csv"),
        "choices": choices_grid(material, known),
        "networks": networks_grid(material, known),
        "attacks": attacks_grid(material),
        "packages": package_sets(material),
        "citation": citation(cite),
        "records": len(material.trained),
        "runs": len(material.runs),
    }
    real = sections["robustness"]
    drawn = [chosen.chart, *sections["curves"], *sections["remembered"]]
    drawn += [*real.curves, *real.surfaces] if real else []
    sections["remembered_legend"] = looks.legend_of(sections["remembered"])
    sections["strength_legend"] = looks.legend_of(real.curves if real else ())
    return sections | {"charts": _json(drawn)}


def render(sections: dict[str, Any]) -> str:
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


def _json(charts: Iterable[Chart]) -> Markup:
    """Return the charts as JSON that may stand in a script element."""
    named = {chart.name: chart.plotly() for chart in charts}
    text = json.dumps(named, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # No text of a file can end the element or open a comment in it.
    return Markup(text.replace("<", "\\u003c"))

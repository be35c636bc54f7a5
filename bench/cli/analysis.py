"""The commands that turn records and verdicts into numbers to read: none needs torch."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench.cli.arguments import Add, add_diagnosed, add_what
from bench.config.experiment import Experiment
from bench.config.loading import read_config
from bench.config.parsing import parse
from bench.runtime.errors import BenchError
from bench.runtime.places import expanded, of_suite


def add_commands(commands: Any, add: Add) -> None:
    """Add the commands to `commands` by `add`."""
    summarize = add(commands, "summarize", write_summary, "verdicts into summary.csv")
    add_what(summarize, required=False)
    summarize.add_argument("--folder", type=expanded, help="default: that of --config")
    _published(summarize)

    statistics = add(
        commands, "statistics", write_statistics, "intervals and comparisons into statistics.csv"
    )
    _results(statistics)

    claims = add(commands, "claims", write_claims, "what papers claim, with a verdict on each")
    _results(claims)
    _file(claims, "--claims", "config/claims.yaml", "what papers claim")

    tables = add(commands, "tables", write_tables, "summary.csv into comparison tables")
    _results(tables)

    ablations = add(commands, "ablations", write_ablations, "which open choices matter")
    add_what(ablations)
    ablations.add_argument("--folder", type=expanded, help="default: that of --config")

    figures = add(commands, "figures", draw_figures, "redraw the figures from CSV files")
    _results(figures)
    add_diagnosed(figures)
    _published(figures)
    figures.add_argument("--out", type=expanded, help="default: the folder's figures/")

    report = add(commands, "report", write_report, "one interactive page of all results")
    _results(report)
    _published(report)
    _file(report, "--citation", "CITATION.cff", "how to cite the suite")
    report.add_argument("--out", type=expanded, help="default: the folder's report.html")
    add_diagnosed(report)


def _results(command: argparse.ArgumentParser) -> None:
    command.add_argument("--folder", type=expanded, required=True, help="such as results/digits")


def _published(command: argparse.ArgumentParser) -> None:
    _file(command, "--reported", "config/reported.csv", "what papers report")
    _file(command, "--reference", "config/robustbench.csv", "RobustBench's numbers for its models")


def _file(command: argparse.ArgumentParser, flag: str, usual: str, what: str) -> None:
    text = f"{what}; default: {usual} of the suite"
    command.add_argument(flag, type=expanded, default=of_suite(usual), help=text)


def _experiment(chosen: argparse.Namespace) -> Experiment | None:
    """Return the experiment of --config or --spec, if one is given, and fill in its folder."""
    experiment = read_config(chosen.config) if chosen.config else None
    if chosen.spec:
        experiment = parse(Experiment, chosen.spec, where="spec")
    if chosen.folder is None:
        if experiment is None:
            raise BenchError("--folder is needed without --config")
        chosen.folder = Path("results") / experiment.experiment
    return experiment


def write_summary(chosen: argparse.Namespace) -> None:
    """Write summary.csv and costs.csv: of the config's runs, or else of all that are there."""
    experiment = _experiment(chosen)
    if experiment and chosen.config:
        _check_made(experiment, chosen.config, chosen.folder)
    from bench.analysis.summary import summarize

    summarize(
        chosen.folder,
        expected=experiment.runs() if experiment else None,
        reported=chosen.reported,
        references=experiment.reference.models if experiment else None,
        cards=chosen.reference,
        experiment=experiment,
        diagnosed=experiment.diagnosed() if experiment else None,
    )


def _check_made(experiment: Experiment, config: Path, folder: Path) -> None:
    """Raise BenchError unless every run of `config` has been trained and judged."""
    runs = [(run, folder / "models" / run[0] / f"seed{run[1]}") for run in experiment.runs()]
    waiting = [run for run, place in runs if not (place / "evaluation.json").is_file()]
    if not waiting:
        return
    begun = [place for _, place in runs if (place / "train.json").is_file()]
    method, seed = waiting[0]
    others = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    remedy = f"make them with `snakemake --cores all --configfile {config}`"
    # What is trained and not judged would be refused there too.
    if begun and all((place / "evaluation.json").is_file() for place in begun):
        remedy += f", or leave them out with `python -m bench summarize --folder {folder}`"
    raise BenchError(
        f"{folder}: {len(waiting)} of the {len(runs)} runs of {config} are not trained and judged "
        f"({method} seed {seed}{others}); {remedy}"
    )


def write_ablations(chosen: argparse.Namespace) -> None:
    """Write ablations.csv with its table and figure."""
    experiment = _experiment(chosen)
    assert experiment is not None  # --config or --spec is required
    from bench.analysis.ablations import make_ablations

    make_ablations(chosen.folder, experiment.ablations)


def write_statistics(chosen: argparse.Namespace) -> None:
    """Write statistics.csv."""
    from bench.analysis.statistics.table import make_statistics

    make_statistics(chosen.folder)


def write_claims(chosen: argparse.Namespace) -> None:
    """Write claims.csv and its table in Markdown."""
    from bench.analysis.claims.table import make_claims

    make_claims(chosen.folder, chosen.claims)


def write_tables(chosen: argparse.Namespace) -> None:
    """Write the comparison as CSV, Markdown and LaTeX."""
    from bench.analysis.tables import make_tables

    make_tables(chosen.folder)


def draw_figures(chosen: argparse.Namespace) -> None:
    """Draw every figure as SVG, PDF and PNG."""
    from bench.analysis.figures.draw import draw

    drawn = draw(
        chosen.folder,
        reported=chosen.reported,
        reference=chosen.reference,
        diagnosed=chosen.diagnosed,
        out=chosen.out or chosen.folder / "figures",
    )
    print("\n".join(map(str, drawn)))


def write_report(chosen: argparse.Namespace) -> None:
    """Write the page of an experiment, and statistics.csv before it where that is not there."""
    from bench.analysis.report.page import make_report
    from bench.results.agreement import has_verdicts

    # A published run leaves out what its verdicts give again.
    if not (chosen.folder / "statistics.csv").is_file() and has_verdicts(chosen.folder):
        write_statistics(chosen)
    out = chosen.out or chosen.folder / "report.html"
    make_report(
        chosen.folder,
        out=out,
        reported=chosen.reported,
        reference=chosen.reference,
        cite=chosen.citation,
        diagnosed=chosen.diagnosed,
    )
    print(out)

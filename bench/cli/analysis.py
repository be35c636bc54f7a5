"""The commands that turn records and per-example results into numbers: none needs torch."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.cli.arguments import add_command, add_diagnosed, add_what, named_folder
from bench.config.experiment import Experiment
from bench.config.loading import read_config
from bench.config.parsing import parse
from bench.results.paths import TABLE_FORMATS, Paths
from bench.results.records import AnalysisRecord
from bench.runtime.errors import BenchError
from bench.runtime.files import write_text
from bench.runtime.places import SNAKEMAKE, config_file, expanded, of_suite


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's `commands`."""
    text = "one folder of results from the parts that several people or machines ran"
    merge = add_command(commands, "merge", merge_parts, text)
    merge.add_argument(
        "parts",
        nargs="+",
        type=named_folder,
        metavar="[NAME=]FOLDER",
        help="such as alice=digits or the folder alone, whose name is then the part's",
    )
    merge.add_argument("--out", type=expanded, required=True, help="a new folder")
    merge.add_argument(
        "--keep-apart",
        action="append",
        default=[],
        metavar="NAME",
        help="a part of other code, packages or devices: its runs get labels of their own",
    )

    text = "results of all runs into summary.csv"
    summarize = add_command(commands, "summarize", write_summary, text)
    add_what(summarize, required=False)
    summarize.add_argument("--folder", type=expanded, help="default: that of --config")
    _published(summarize)

    text = "intervals and comparisons into statistics.csv"
    _folder(add_command(commands, "statistics", write_statistics, text))

    text = "what papers claim, with a verdict on each"
    claims = add_command(commands, "claims", write_claims, text)
    _folder(claims)
    which = claims.add_mutually_exclusive_group()
    which.add_argument(
        "--claims",
        type=expanded,
        nargs="*",
        help="files of claims; default: those of config/claims whose paper proposes a method of "
        "the experiment",
    )
    which.add_argument(
        "--config",
        type=config_file,
        help="the experiment, where its config names files by `claims`: no record keeps them",
    )

    text = "summary.csv into comparison tables"
    _folder(add_command(commands, "tables", write_tables, text))

    ablations = add_command(commands, "ablations", write_ablations, "which open choices matter")
    add_what(ablations)
    ablations.add_argument("--folder", type=expanded, help="default: that of --config")

    figures = add_command(commands, "figures", write_figures, "draw the figures from CSV files")
    _folder(figures)
    add_diagnosed(figures)
    _published(figures)
    figures.add_argument("--out", type=expanded, help="default: the folder's figures/")

    report = add_command(commands, "report", write_report, "one interactive page of all results")
    _folder(report)
    _published(report)
    _file(report, "--citation", "CITATION.cff", "how to cite the suite")
    report.add_argument("--out", type=expanded, help="default: the folder's report.html")
    add_diagnosed(report)


def _folder(command: argparse.ArgumentParser) -> None:
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
        chosen.folder = Paths.of(experiment.experiment).folder
    return experiment


def merge_parts(chosen: argparse.Namespace) -> None:
    """Join the results of several folders into a new one."""
    from bench.merging.job import merge

    record = merge(chosen.parts, chosen.out, chosen.keep_apart)
    for part in record.parts:
        runs = sum(map(len, part.seeds.values()))
        print(f"{part.name}: {runs} run{'s' * (runs != 1)} of {', '.join(part.seeds)}")
    print(f"{chosen.out}: next `python -m bench summarize --folder {chosen.out}`")


def write_summary(chosen: argparse.Namespace) -> None:
    """Write summary.csv and costs.csv: of the config's runs, or else of all that are there."""
    experiment = _experiment(chosen)
    paths = Paths(chosen.folder)
    if experiment and chosen.config:
        _check_made(experiment, chosen.config, paths)
    from bench.analysis.summary import costs_table, summary_table
    from bench.data.published import difference
    from bench.results.columns import COSTS, SUMMARY
    from bench.results.diagnosed import read_diagnosis
    from bench.results.evaluated import check_settings, read_references, read_runs
    from bench.results.published import read_cards, read_reported

    reported = read_reported(chosen.reported)
    runs = read_runs(paths, experiment.evaluated() if experiment else None)
    names = experiment.reference.models if experiment else None
    references = read_references(paths, names, beside=runs[0].training)
    if experiment:
        check_settings(experiment, runs, references)
    cards = read_cards(chosen.reference) if references else ()
    diagnosis = read_diagnosis(paths, runs, experiment.diagnosed() if experiment else None)
    summary = summary_table(runs, reported, references, cards, diagnosis, experiment)
    costs = costs_table(runs, references, diagnosis)
    # All runs are of the same images.
    images = runs[0].training.data
    if said := difference(images):
        print(f"{paths.folder}: no reported number is shown for {images.name}: {said}", flush=True)
    SUMMARY.write(paths.summary, summary)
    COSTS.write(paths.costs, costs)
    _record(paths, "summary", [paths.summary, paths.costs])


def _check_made(experiment: Experiment, config: Path, paths: Paths) -> None:
    """Raise BenchError unless every run of `config` has been trained and evaluated."""
    runs = [(pair, paths.run(*pair)) for pair in experiment.evaluated()]
    waiting = [pair for pair, run in runs if not run.evaluation_record.is_file()]
    if not waiting:
        return
    begun = [run for _, run in runs if run.origin_record.is_file()]
    method, seed = waiting[0]
    others = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    fix = f"make them with `{SNAKEMAKE} --configfile {config}`"
    # What is trained and not evaluated would be refused there too.
    if begun and all(run.evaluation_record.is_file() for run in begun):
        fix += f", or leave them out with `python -m bench summarize --folder {paths.folder}`"
    raise BenchError(
        f"{paths.folder}: {len(waiting)} of the {len(runs)} runs of {config} are not trained and "
        f"evaluated ({method} seed {seed}{others}); {fix}"
    )


def write_statistics(chosen: argparse.Namespace) -> None:
    """Write statistics.csv."""
    from bench.analysis.statistics.table import statistics
    from bench.results.columns import STATISTICS
    from bench.results.experiment import ExperimentResults

    results = ExperimentResults(chosen.folder)
    STATISTICS.write(results.paths.statistics, statistics(results))
    _record(results.paths, "statistics", [results.paths.statistics])


def write_claims(chosen: argparse.Namespace) -> None:
    """Write claims.csv and its table in Markdown."""
    from bench.analysis.claims.table import claims_sheet, claims_table
    from bench.analysis.sheets import markdown
    from bench.config.claims import claim_files
    from bench.results.columns import CLAIMS
    from bench.results.experiment import ExperimentResults

    results, files = ExperimentResults(chosen.folder), chosen.claims
    if files is None:
        named = read_config(chosen.config).claims if chosen.config else None
        files = claim_files(results.ours["base_method"], named)
    table = claims_table(results, files)
    shown = markdown(claims_sheet(table))
    written = results.paths.claims, results.paths.table("claims", "md")
    CLAIMS.write(written[0], table)
    write_text(written[1], shown)
    _record(results.paths, "claims", written)


def write_tables(chosen: argparse.Namespace) -> None:
    """Write comparison and costs as CSV, Markdown and LaTeX."""
    from bench.analysis.sheets import latex, markdown
    from bench.analysis.tables import (
        comparison,
        comparison_csv,
        comparison_sheet,
        costs,
        costs_sheet,
        csv_text,
    )
    from bench.results.experiment import ExperimentResults

    results = ExperimentResults(chosen.folder)
    table = comparison(results)
    sheet = comparison_sheet(results, table)
    texts = {"comparison": (comparison_csv(table), markdown(sheet), latex(sheet))}
    if results.costs is not None:
        table = costs(results)
        sheet = costs_sheet(results, table)
        texts["costs"] = (csv_text(table), markdown(sheet), latex(sheet))
    files = {
        results.paths.table(name, form): text
        for name, written in texts.items()
        for form, text in zip(TABLE_FORMATS, written, strict=True)
    }
    for path, text in files.items():
        write_text(path, text)
    _record(results.paths, "tables", files)


def write_ablations(chosen: argparse.Namespace) -> None:
    """Write ablations.csv and its table."""
    experiment = _experiment(chosen)
    assert experiment is not None  # --config or --spec is required
    from bench.analysis.ablations import ablations_sheet, ablations_table
    from bench.analysis.sheets import markdown
    from bench.results.columns import ABLATIONS
    from bench.results.experiment import ExperimentResults

    results = ExperimentResults(chosen.folder)
    table = ablations_table(results, experiment.ablations)
    shown = markdown(ablations_sheet(results, table))
    written = results.paths.ablations, results.paths.table("ablations", "md")
    ABLATIONS.write(written[0], table)
    write_text(written[1], shown)
    _record(results.paths, "ablations", written)


def write_figures(chosen: argparse.Namespace) -> None:
    """Draw every figure as SVG, PDF and PNG."""
    from bench.analysis.plots.draw import draw_figures
    from bench.results.experiment import ExperimentResults
    from bench.results.published import Published

    paths = Paths(chosen.folder)
    drawn = draw_figures(
        ExperimentResults(chosen.folder, chosen.diagnosed),
        Published.read(chosen.reported, chosen.reference),
        chosen.out or paths.figures,
    )
    if chosen.out is None:
        _record(paths, "figures", drawn)
    print("\n".join(map(str, drawn)))


def write_report(chosen: argparse.Namespace) -> None:
    """Write the page of an experiment, and statistics.csv before it where that is missing."""
    from bench.analysis.report.page import make_report
    from bench.results.experiment import ExperimentResults
    from bench.results.published import Published

    results = ExperimentResults(chosen.folder, chosen.diagnosed)
    # A published run leaves out what its per-example results give again.
    if not results.paths.statistics.is_file() and results.has_examples:
        write_statistics(chosen)
    out = chosen.out or results.paths.report
    published = Published.read(chosen.reported, chosen.reference)
    make_report(results, published, _citations(chosen.citation), out)
    if chosen.out is None:
        _record(results.paths, "report", [out])
    print(out)


def _record(paths: Paths, step: str, files: Iterable[Path]) -> None:
    """Keep the digests of what a step wrote, by which `verify` knows a file that was damaged."""
    AnalysisRecord.of(paths.folder, files).write(paths.analysis_record(step))


def _citations(path: Path) -> list[Any] | None:
    """Return what a CITATION.cff says to cite; None where it is missing."""
    import yaml

    from bench.analysis.report.page import citations

    if not path.is_file():
        return None
    try:
        return list(citations(yaml.safe_load(path.read_text(encoding="utf-8"))))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError):
        raise BenchError(
            f"{path}: not a CITATION.cff with title and authors; restore it from the repository"
        ) from None

"""The commands that look before anything runs: plan, doctor, verify and path."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.arguments import add_command, positive
from bench.config.experiment import Experiment
from bench.config.loading import read_config
from bench.results.paths import RESULTS
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.exit_code import explained
from bench.runtime.places import ROOT, config_file, expanded

if TYPE_CHECKING:
    from bench.planning.plan import Plan


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's `commands`."""
    text = "what a config will run, how long, how much disk"
    plan = add_command(commands, "plan", print_plan, text)
    plan.add_argument(
        "--config", type=config_file, required=True, help="such as config/digits.yaml"
    )
    _results(plan)
    plan.add_argument(
        "--trial", action="store_true", help="time a few steps where no result tells (needs torch)"
    )
    plan.add_argument(
        "--tflops",
        type=positive,
        metavar="RATE",
        help="10^12 operations a second that the device reaches: count the hours where neither "
        "results nor --trial tell (needs torch, no device)",
    )
    plan.add_argument(
        "--decide",
        action="store_true",
        help="how likely these seeds and images decide each claim (needs numpy and scipy)",
    )
    plan.add_argument("--json", type=expanded, metavar="FILE", help="write the plan there as well")

    add_command(commands, "doctor", print_checks, "what this machine has, lacks, and the fixes")

    text = "results older than code, config or packages"
    verify = add_command(commands, "verify", print_findings, text)
    verify.add_argument(
        "--config", type=config_file, help="default: each in config/ that has results"
    )
    _results(verify)

    path = add_command(commands, "path", print_path, "where a file of the suite lies")
    path.add_argument("name", help="such as Snakefile, config or config/digits.yaml")


def _results(command: argparse.ArgumentParser) -> None:
    text = f"folder of all experiments ({RESULTS})"
    command.add_argument("--results", type=expanded, default=RESULTS, help=text)


def print_plan(chosen: argparse.Namespace) -> None:
    """Print what is to run; write it as JSON too where that is asked for."""
    from bench.planning.plan import as_text, make_plan
    from bench.planning.sizes import Size
    from bench.runtime.files import write_json

    experiment = read_config(chosen.config)

    def measure(size: Size) -> Any:
        gpus.claim_for(experiment.compute.device)
        from bench.planning.trial import trial

        return trial(experiment, size)

    def count(size: Size) -> Any:
        from bench.planning.counted import counted_rates

        return counted_rates(experiment, size, chosen.tflops)

    plan = make_plan(
        experiment,
        chosen.results,
        measure if chosen.trial else None,
        count if chosen.tflops else None,
    )
    print(as_text(plan))
    plain = plan.plain()
    if chosen.decide:
        told, plain["claims"] = _outlooks(experiment, chosen, plan)
        print(f"\n{told}")
    if chosen.json:
        write_json(chosen.json, plain)


def _outlooks(
    experiment: Experiment, chosen: argparse.Namespace, plan: Plan
) -> tuple[str, list[dict[str, Any]]]:
    """Return what the design can do about the claims, as text and as what JSON can hold."""
    from bench.analysis.claims import design
    from bench.config.claims import claim_files
    from bench.planning.sizes import check_sizes
    from bench.results.staleness import Staleness

    size = check_sizes(experiment, Staleness(experiment, chosen.results).images)
    if size is None:
        raise BenchError(
            f"{chosen.config}: --decide needs the number of test images, which is unknown until "
            "`python -m bench data` has read them"
        )
    files = claim_files([method.name for method in experiment.methods], experiment.claims)
    found = design.outlooks(experiment, files, chosen.results, size.test)
    seconds = {row.label: row.each for row in plan.rows}
    plain = [asdict(one) for one in found]
    return design.as_text(found, len(experiment.seeds), seconds), plain


def print_checks(chosen: argparse.Namespace) -> int:
    """Print every check; 1 if one of them fails."""
    from bench.planning.doctor import all_checks, possible

    checks = all_checks()
    print("\n".join(map(str, checks)))
    fine = possible(checks)
    print("environment OK" if fine else "not ready: fix the lines with `fail`")
    return 0 if fine else 1


def print_findings(chosen: argparse.Namespace) -> int:
    """Print one line for each finding; 1 if there is any."""
    from bench.planning.verify import config_folders, configs_of, wrong_configs

    if chosen.config:
        return 1 if _print_findings(chosen.config, chosen.results) else 0
    folders = config_folders()
    known, wrong = configs_of(chosen.results, folders), wrong_configs(folders)
    for bad, what in wrong.items():
        print(f"{bad}: {what}")
    fine = not wrong
    for name, path in known.items():
        if path is None:
            what = "no file in config names this experiment; give its config with --config"
            print(f"{chosen.results / name}: {what}")
            fine = False
        elif path not in wrong:
            fine = _no_findings(path, chosen.results) and fine
    return 0 if fine else 1


def _no_findings(config: Path, results: Path) -> bool:
    """Do what `_print_findings` does, and say whether there are none; an error is a finding."""
    try:
        return not _print_findings(config, results)
    except Exception as error:
        print(f"{config}: {explained(error)}")
        return False


def _print_findings(config: Path, results: Path) -> bool:
    """Print what does not agree in the experiment of `config`; return whether there is any."""
    from bench.planning.verify import remake, verify

    experiment, made_here = read_config(config), RESULTS
    name, ours = experiment.experiment, results.resolve() == made_here.resolve()
    findings = verify(experiment, config, made_here if ours else results)
    if not findings:
        print(f"{name}: all agrees")
        return False
    if not ours:
        # Snakemake has no rule for these paths.
        print("\n".join(f"{finding.where}: {finding.what}" for finding in findings))
        print(f"{name}: {remake(config)} makes it again below {made_here}; copy that to {results}")
        return True
    print("\n".join(map(str, findings)))
    stale = dict.fromkeys(finding.stale for finding in findings if finding.stale)
    if len(stale) > 1:
        print(f"{name}: all at once: {remake(config, *stale)}")
    return True


def print_path(chosen: argparse.Namespace) -> None:
    """Print where a file or folder of the suite lies, for Snakemake or to copy it."""
    path = ROOT / chosen.name
    if not path.exists():
        known = ", ".join(sorted(one.name for one in ROOT.iterdir() if one.name[0] != "."))
        raise BenchError(f"{path}: the suite has no such file; name one of {known}, or in them")
    print(path)

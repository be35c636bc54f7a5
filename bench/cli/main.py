"""The stages of an experiment, each by hand: ``python -m bench <command> --help``.

The workflow calls the same commands with ``--spec``: the JSON of exactly what decides the result,
so that Snakemake reruns a job when, and only when, that changes.
"""

from __future__ import annotations

import argparse
import time

from bench.cli import analysis, jobs, perf, planning
from bench.cli.arguments import CommandParser
from bench.runtime.exit_code import exit_code, prepare_output
from bench.runtime.places import INSTALLED


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; an error ends with one line on standard error."""
    began = time.monotonic()
    prepare_output()
    chosen = parser().parse_args(arguments)
    chosen.began = began
    return exit_code(lambda: chosen.command(chosen))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    name = "memloss-bench" if INSTALLED else "python -m bench"
    top = argparse.ArgumentParser(prog=name, description=__doc__)
    commands = top.add_subparsers(required=True, metavar="command", parser_class=CommandParser)
    for group in (planning, jobs, analysis, perf):
        group.add_commands(commands)
    return top

"""``python -m bench perf``: measure, print, write. Needs torch only in the processes it starts."""

from __future__ import annotations

import argparse
import platform
import sys
from pathlib import Path
from typing import Any

from bench.cli.arguments import add_command
from bench.config.loading import read_config
from bench.config.parsing import plain
from bench.perf.process import alternate, workers
from bench.perf.results import as_text, number, results
from bench.perf.setup import TASKS, Setup, choose
from bench.results.paths import RESULTS
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.files import write_json, write_text
from bench.runtime.places import config_file, expanded, of_suite
from bench.runtime.signals import InterruptedJobError

OUT = RESULTS / "performance"
CPUINFO = Path("/proc/cpuinfo")


def add_commands(commands: Any) -> None:
    """Add the command to the parser's `commands`."""
    text = "compare the speed of training and attacks by engine"
    perf = add_command(commands, "perf", measure, text)
    perf.add_argument(
        "--config",
        type=config_file,
        default=of_suite("config/paper.yaml"),
        help="default: config/paper.yaml",
    )
    perf.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="default: one label of each method"
    )
    perf.add_argument("--device", choices=("cpu", "cuda"), help="default: the config's")
    perf.add_argument("--engines", nargs="+", metavar="ENGINE", help="such as eager folded")
    perf.add_argument("--only", nargs="+", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    for name, text in {
        "threads": "on a CPU; default: the config's, or all",
        "batch-size": "of training; default: 128, on a CPU 32",
        "attack-images": "images that AutoAttack attacks",
    }.items():
        perf.add_argument(f"--{name}", type=_count, metavar="N", help=text)
    repeats = "how often each engine is measured on each task"
    perf.add_argument("--repeats", type=_count, metavar="N", dest="rounds", help=repeats)
    perf.add_argument(
        "--quick", action="store_true", help="a tiny network: shows that all runs, times nothing"
    )
    perf.add_argument("--out", type=expanded, default=OUT, help=f"folder to write (default: {OUT})")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def measure(chosen: argparse.Namespace) -> None:
    """Measure every task on every engine; print the record, which is written after each task."""
    setup = choose(chosen, read_config(chosen.config))
    try:
        # Before anything imports torch, as in a job.
        gpus.claim_for(setup.compute.device)
    except BenchError:
        raise BenchError(
            "there is no CUDA device here; use a machine with a GPU, or measure the CPU: --device"
            " cpu"
        ) from None
    path, document = chosen.out / "performance.json", dict[str, Any]()
    try:
        _measure_all(setup, path, document)
    except InterruptedJobError as error:
        said = f"stopped; {path} has the tasks that were finished, and another run starts over"
        error.args = (said if "results" in document else "stopped; nothing was written",)
        raise
    print(f"{as_text(document)}\n\n{path}")


def _measure_all(setup: Setup, path: Path, document: dict[str, Any]) -> None:
    """Fill `document` and write it to `path` after each task, and as a table beside that."""
    document |= {"left": setup.jobs(), "settings": plain(setup), "measurements": []}
    with workers(setup.engines, setup) as started:
        told = next(iter(started.values()))[1]
        system = {"system": platform.platform(), "python": platform.python_version()}
        document["machine"] = {"cpu": _processor(), **system, **told}
        for task, method in setup.jobs():
            asked = [started[name][0] for name in setup.asked(task)]
            document["measurements"] += alternate(asked, task, method, setup.settings.rounds, _tell)
            document["results"] = results(document["measurements"], setup.size.train)
            document["left"].remove((task, method))
            write_json(path, document)
            write_text(path.with_suffix(".txt"), as_text(document) + "\n")


def _processor() -> str:
    """Return the processor's name where Linux tells it, or else what Python knows."""
    lines = CPUINFO.read_text(encoding="utf-8").splitlines() if CPUINFO.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (names or [platform.processor() or platform.machine()])[0]


def _tell(one: dict[str, Any]) -> None:
    what = " ".join(filter(None, (one["task"], one["method"])))
    rate = number(one["images"] / one["seconds"])
    said = f"{what}, round {one['round']}, {one['engine']}: {rate} images/s"
    print(said, file=sys.stderr, flush=True)

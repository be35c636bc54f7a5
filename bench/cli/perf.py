"""``python -m bench perf``: measure, print, write. Needs torch only in the processes it starts."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cli.arguments import Add
from bench.config.loading import read_config
from bench.config.parsing import plain
from bench.perf.alternate import alternate, workers
from bench.perf.choose import Chosen, choose
from bench.perf.cpu import processor
from bench.perf.report import FORMAT, as_text, checked, number
from bench.perf.results import results
from bench.perf.setup import TASKS
from bench.runtime import gpus
from bench.runtime.errors import BenchError
from bench.runtime.places import expanded, of_suite
from bench.runtime.signals import InterruptedJobError

OUT = Path("results") / "performance"
NAME = "performance"


def add_command(commands: Any, add: Add) -> None:
    """Add the command to `commands` by `add`."""
    perf = add(commands, "perf", measure, "how fast this is here, beside code as papers release it")
    perf.add_argument(
        "--config",
        type=expanded,
        default=of_suite("config/paper.yaml"),
        help="default: config/paper.yaml",
    )
    perf.add_argument(
        "--methods", nargs="+", metavar="LABEL", help="default: one label of each method"
    )
    perf.add_argument("--device", choices=("cpu", "cuda"), help="default: the config's")
    perf.add_argument("--paths", nargs="+", metavar="PATH", help="default: all of the device")
    perf.add_argument("--only", nargs="+", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    for name, text in {
        "threads": "on a CPU; default: the config's, or all",
        "batch-size": "of training; default: 128, on a CPU 32",
        "width": "of the network; default: the config's",
        "repeats": "how often each path measures each task",
        "epoch-batches": "batches of the short epoch",
        "attack-images": "images that AutoAttack attacks",
        "attack-batch": "images that PGD and AutoAttack attack at a time",
    }.items():
        perf.add_argument(f"--{name}", type=_count, metavar="N", help=text)
    perf.add_argument(
        "--quick", action="store_true", help="a tiny network: shows that all runs, times nothing"
    )
    perf.add_argument("--out", type=expanded, default=OUT, help=f"folder to write (default: {OUT})")
    perf.add_argument(
        "--show", type=expanded, metavar="FILE", help="print a performance.json again"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def measure(chosen: argparse.Namespace) -> None:
    """Measure every task on every path; print the tables, write them as JSON and as a figure.

    The JSON is written after every task: a run that is ended at a time limit keeps what it has.
    """
    from bench.runtime.files import read_json, write_json

    if chosen.show:
        remedy = "name a performance.json, which `python -m bench perf` writes"
        print(as_text(checked(read_json(chosen.show, remedy), chosen.show)))
        return
    what = choose(chosen, read_config(chosen.config))
    # As in a job, and before anything imports torch, which reads both when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if what.compute.device == "cuda":
        _claim()
    from bench.perf.figure import draw

    path, document = chosen.out / f"{NAME}.json", dict[str, Any]()

    def keep(so_far: dict[str, Any]) -> None:
        write_json(path, so_far)
        document.update(so_far)

    with _saying_what_is_kept(path, document):
        _measure_all(what, keep)
        drawn = draw(document, chosen.out / NAME)
    print(as_text(document))
    print("\n" + "\n".join(map(str, (path, *drawn))))


def _claim() -> None:
    try:
        gpus.claim()
    except BenchError:
        raise BenchError(
            "there is no CUDA device here; use a machine with a GPU, or measure the CPU: --device"
            " cpu"
        ) from None


@contextmanager
def _saying_what_is_kept(path: Path, document: Mapping[str, Any]) -> Iterator[None]:
    """Say of an interruption what is true here: a measurement cannot be taken up again.

    `document` is the record as it was last written to `path`, empty where it never was.
    """
    try:
        yield
    except InterruptedJobError as error:
        said = "stopped before all was measured; nothing was written"
        if document:
            said = f"stopped before the figure was drawn; {path} has all that was measured"
        if document and document["left"]:
            said = (
                f"stopped before all was measured; {path} has the tasks that were finished, and"
                " another run begins with the first task again"
            )
        error.args = (said,)
        raise


def _measure_all(what: Chosen, keep: Callable[[dict[str, Any]], None]) -> None:
    """Call `keep` after every task with the record so far.

    It has machine, settings, paths, every measurement, and the tasks that are left.
    """
    measurements, jobs = [], what.jobs()
    against = {route.name: route.against for route in what.routes}
    setups = {route.name: plain(what.setup(route)) for route in what.routes}
    with workers(setups) as started:
        machine = {**_machine(), **next(iter(started.values()))[1]}
        machine.pop("pages_kept")
        kept = {name: answer["pages_kept"] for name, (_, answer) in started.items()}
        for number, (task, method) in enumerate(jobs, start=1):
            asked = [started[route.name][0] for route in what.routes if route.measures(task)]
            measurements += alternate(asked, task, method, what.rounds(task), _teller(task, method))
            keep(
                {
                    "performance": FORMAT,
                    "quick": what.quick,
                    "left": [{"task": task, "method": method} for task, method in jobs[number:]],
                    "machine": machine,
                    "settings": what.plain(),
                    "paths": [{**plain(route), "pages": kept[route.name]} for route in what.routes],
                    "measurements": measurements,
                    "results": results(measurements, against),
                }
            )


def _machine() -> dict[str, Any]:
    return {"cpu": processor(), "system": platform.platform(), "python": platform.python_version()}


def _teller(task: str, method: str | None) -> Callable[[str, int, dict[str, Any]], None]:
    def tell(path: str, turn: int, one: dict[str, Any]) -> None:
        what = task if method is None else f"{task} {method}"
        rate = number(one["images"] / one["seconds"])
        print(f"{what}, round {turn}, {path}: {rate} images/s", file=sys.stderr, flush=True)

    return tell

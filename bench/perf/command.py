"""``python -m bench perf``: measure, print, write. Needs torch only in the processes it starts."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import gpus
from bench.config_file import read_config
from bench.interruption import InterruptedJobError
from bench.parsing import BenchError, plain
from bench.perf.alternate import alternate, workers
from bench.perf.choose import Chosen, choose
from bench.perf.report import FORMAT, as_text, checked, number
from bench.perf.results import results
from bench.perf.setup import TASKS

Add = Callable[[Any, str, Callable[[argparse.Namespace], int | None], str], argparse.ArgumentParser]
OUT = Path("results") / "performance"
NAME = "performance"


def add_command(commands: Any, add: Add) -> None:
    """Add the command to `commands` by `add`."""
    perf = add(commands, "perf", measure, "how fast this is here, beside code as papers release it")
    perf.add_argument("--config", type=Path, default=Path("config/paper.yaml"))
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
    perf.add_argument("--out", type=Path, default=OUT, help=f"folder to write (default: {OUT})")
    perf.add_argument("--show", type=Path, metavar="FILE", help="print a performance.json again")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def measure(chosen: argparse.Namespace) -> None:
    """Measure every task on every path; print the tables, write them as JSON and as a figure."""
    from bench.records import read_json, write_json

    if chosen.show:
        print(as_text(checked(read_json(chosen.show), chosen.show)))
        return
    what = choose(chosen, read_config(chosen.config))
    # As in a job, and before anything imports torch, which reads both when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if what.compute.device == "cuda":
        _claim()
    with _nothing_kept():
        document = _measured(what)
    from bench.perf.figure import draw

    drawn = draw(document, chosen.out / NAME)
    write_json(chosen.out / f"{NAME}.json", document)
    print(as_text(document))
    print("\n" + "\n".join(map(str, (chosen.out / f"{NAME}.json", *drawn))))


def _claim() -> None:
    try:
        gpus.claim()
    except BenchError:
        raise BenchError(
            "there is no CUDA device here; use a machine with a GPU, or measure the CPU: --device"
            " cpu"
        ) from None


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Say of an interruption what is true here: a measurement cannot be taken up again."""
    try:
        yield
    except InterruptedJobError as error:
        error.args = ("stopped before all was measured; nothing was written",)
        raise


def _measured(what: Chosen) -> dict[str, Any]:
    """Return the record: machine, settings, paths, and every measurement."""
    measurements = []
    setups = {route.name: plain(what.setup(route)) for route in what.routes}
    with workers(setups) as started:
        machine = {**_machine(), **next(iter(started.values()))[1]}
        kept = {name: answer["pages_kept"] for name, (_, answer) in started.items()}
        for task, method in what.jobs():
            asked = [started[route.name][0] for route in what.routes if route.measures(task)]
            measurements += alternate(asked, task, method, what.rounds(task), _teller(task, method))
    machine.pop("pages_kept")
    document = {
        "performance": FORMAT,
        "quick": what.quick,
        "machine": machine,
        "settings": what.plain(),
        "paths": [{**plain(route), "pages": kept[route.name]} for route in what.routes],
        "measurements": measurements,
    }
    against = {route.name: route.against for route in what.routes}
    return {**document, "results": results(measurements, against)}


def _machine() -> dict[str, Any]:
    return {"cpu": _cpu(), "system": platform.platform(), "python": platform.python_version()}


def _cpu() -> str:
    """Return the processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _teller(task: str, method: str | None) -> Callable[[str, int, dict[str, Any]], None]:
    def tell(path: str, turn: int, one: dict[str, Any]) -> None:
        what = task if method is None else f"{task} {method}"
        rate = number(one["images"] / one["seconds"])
        print(f"{what}, round {turn}, {path}: {rate} images/s", file=sys.stderr, flush=True)

    return tell

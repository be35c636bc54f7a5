"""An experiment with every file that the report shows, made without training, and its page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from factory import COMPONENTS, ResultsFactory, digest, edit_json, write_csv, write_json

from bench.__main__ import main

ROOT = Path(__file__).parents[1]
METHODS = ("standard", "trades", "trades_beta3", "mart", "memloss_v1", "memloss_v2")
# Clean, PGD and AutoAttack, of 20 images; a seed takes one from each.
CORRECT = {
    "standard": (19, 2, 1),
    "trades": (15, 12, 11),
    "trades_beta3": (17, 11, 10),
    "mart": (14, 12, 10),
    "memloss_v1": (18, 13, 11),
    "memloss_v2": (16, 12, 11),
}
WARNING = "Square found more than APGD <see flags_doc>"
CHECK = {"value": 2.5, "threshold": 1.0, "chance": 0.38, "n": 80, "passed": True}
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """What a browser sees without running anything: elements, text and the tables' cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def charts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def experiment(folder: Path, *, dataset: str = "digits", seeds: tuple[int, ...] = (0, 1)) -> Path:
    """Leave a finished experiment in `folder` and return it; diagnostics are TRADES' alone."""
    factory = ResultsFactory(folder, experiment=folder.name, dataset=dataset)
    for method in METHODS:
        for seed in seeds:
            clean, pgd, autoattack = (count - seed for count in CORRECT[method])
            best = {"clean": clean, "pgd20": pgd, "autoattack": autoattack}
            last = {"clean": min(clean + 1, 20), "pgd20": pgd - 1}
            run = factory.run(method, seed, correct={"best": best, "last": last})
            if (method, seed) == ("mart", 0):
                attack = "checkpoints__best__attacks__autoattack__details"
                warned = {"warnings": [WARNING], "components": dict.fromkeys(COMPONENTS, 10)}
                edit_json(run / "evaluation.json", **{attack: warned})
            if method == "trades":
                diagnose(factory, run, seed)
    command("summarize", folder)
    command("statistics", folder)
    command("claims", folder, "--claims", str(ROOT / "config" / "claims.yaml"))
    return folder


def diagnose(factory: ResultsFactory, run: Path, seed: int) -> None:
    """Leave what the diagnostics of a run leave, with one check that failed."""
    folder = run / "diagnostics"
    points = [("eps", x, 90 - 300 * x) for x in (0.0, 0.1, 0.2)]
    points += [("steps", x, 60 - x / 10) for x in (1, 10, 100)]
    write_csv(
        folder / "curves.csv",
        ["check", "checkpoint", "x", "accuracy", "n", "loss"],
        [(name, "best", x, f"{accuracy:.2f}", 80, 1.0) for name, x, accuracy in points],
    )
    ticks = (-1, 0, 1)
    write_csv(
        folder / "surfaces.csv",
        ["checkpoint", "index", "label", "along", "aside", "loss", "right"],
        [("best", 0, 3, x, y, 1 + x * y, 1) for x in ticks for y in ticks],
    )
    failed = {**CHECK, "value": 9.0, "chance": 0.0001, "passed": False}
    network = {
        "weights_sha256": digest((run / "best.safetensors").read_bytes()),
        "checks": {"eps_zero": CHECK, "square_stronger": failed},
    }
    record = {
        "experiment": factory.experiment,
        "method": run.parent.name,
        "seed": seed,
        "data": {"name": factory.dataset, "fingerprint": digest(factory.dataset)},
        "device": "cpu",
        "seconds": 4.5,
        "sha256": {
            name: digest((folder / f"{name}.csv").read_bytes()) for name in ("curves", "surfaces")
        },
        "checkpoints": {"best": network},
    }
    write_json(folder / "record.json", record)


def command(name: str, folder: Path, *arguments: str) -> None:
    """Run a command on a results folder."""
    places: list[Any] = ["--folder", str(folder)]
    if name in ("summarize", "report"):
        places += ["--reported", str(ROOT / "config" / "reported.csv")]
        places += ["--reference", str(ROOT / "config" / "robustbench.csv")]
    if name == "report":
        places += ["--citation", str(ROOT / "CITATION.cff")]
    assert main([name, *places, *arguments]) == 0


def page(folder: Path) -> Path:
    """Make the report of an experiment and return its path."""
    command("report", folder)
    return folder / "report.html"


def shown(folder: Path) -> Page:
    """Return what a browser sees of the report of an experiment."""
    return Page(page(folder).read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def rewrite(path: Path, change: Callable[[dict[str, str]], None]) -> None:
    """Change every row of a CSV file in place."""
    kept = rows(path)
    for row in kept:
        change(row)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(kept[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)

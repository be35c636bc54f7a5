"""An experiment with every file that the report shows, made without training, and its page."""

from __future__ import annotations

import csv
import gzip
import json
from base64 import b64decode
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from factory import ResultsFactory

from bench.cli.main import main

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
VOID = {"meta", "link", "input", "br", "img", "hr"}


class Page(HTMLParser):
    """What a browser sees without running anything: elements, text and the tables' cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.scripts: dict[str, str] = {}
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
            name = self.elements[-1][1].get("id") or ""
            self.scripts[name] = self.scripts.get(name, "") + data
        elif self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def charts(self) -> dict[str, Any]:
        return unpacked(self.scripts["charts"])

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def unpacked(packed: str) -> dict[str, Any]:
    """Return the charts of the page by name."""
    found: dict[str, Any] = json.loads(gzip.decompress(b64decode(packed)))
    return found


def experiment(folder: Path, *, dataset: str = "digits", seeds: tuple[int, ...] = (0, 1)) -> Path:
    """Leave a finished experiment in `folder` and return it."""
    factory = ResultsFactory(folder, experiment=folder.name, dataset=dataset)
    for method in METHODS:
        for seed in seeds:
            clean, pgd, autoattack = (count - seed for count in CORRECT[method])
            best = {"clean": clean, "pgd20": pgd, "autoattack": autoattack}
            last = {"clean": min(clean + 1, 20), "pgd20": pgd - 1}
            factory.run(method, seed, correct={"best": best, "last": last})
    command("summarize", folder)
    command("statistics", folder)
    command("claims", folder)
    return folder


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

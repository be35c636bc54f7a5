"""What report.html shows of diagnostics that did less than all they can."""

from __future__ import annotations

import json
from pathlib import Path

import paged
import pytest
from factory import write_csv, write_json

from bench.diagnostics.checks import share
from bench.diagnostics.job import SURFACES

NETWORKS = ("trades", "memloss_v1")
DIAGNOSED = ("models/trades/seed0/diagnostics", "models/trades/seed1/diagnostics")


@pytest.fixture
def folder(tmp_path) -> Path:
    return paged.experiment(tmp_path / "digits")


def test_where_no_loss_surface_was_asked_for_the_page_has_all_else(folder):
    before = set(paged.shown(folder).charts)
    for place in DIAGNOSED:
        # As `diagnostics.surfaces: 0` leaves it.
        (folder / place / "surfaces.csv").write_text(",".join(SURFACES) + "\n")
    assert before - set(paged.shown(folder).charts) == {"surface-2"}


def test_what_passes_beyond_its_limit_is_within_chance(folder):
    path = folder / DIAGNOSED[0] / "record.json"
    record = json.loads(path.read_text())
    record["checkpoints"]["best"]["checks"] = {
        "eps_zero": vars(share("eps_zero", 1, 80)),
        "linearity": vars(share("linearity", 0, 80)),
        "zero_gradient": vars(share("zero_gradient", 40, 80)),
    }
    write_json(path, record)
    assert "1.25 within chance 0.00 ✓ 50.00 ✗" in paged.shown(folder).text


def test_a_curve_ends_where_that_of_its_first_seed_ends(folder):
    before = paged.shown(folder).charts["strength-eps"]["data"][0]
    path = folder / DIAGNOSED[1] / "curves.csv"
    lines = path.read_text().splitlines(keepends=True)
    (last,) = [place for place, line in enumerate(lines) if line.startswith("eps,")][-1:]
    path.write_text("".join(lines[:last] + lines[last + 1 :]))
    after = paged.shown(folder).charts["strength-eps"]["data"][0]
    assert (after["x"], after["y"]) == (before["x"][:-1], before["y"][:-1])


def test_where_only_last_was_examined_it_is_shown(folder):
    before = paged.shown(folder).charts
    for place in DIAGNOSED:
        for name in ("curves.csv", "surfaces.csv", "record.json"):
            path = folder / place / name
            path.write_text(path.read_text().replace("best", "last"))
    header = ["checkpoint", "source", "target", "accuracy", "n"]
    lines = [("last", a, b, "50.00" if a == b else "70.00", 20) for a in NETWORKS for b in NETWORKS]
    write_csv(folder / "transfer" / "seed0.csv", header, lines)
    write_json(folder / "transfer" / "seed0.json", {"checkpoints": {"last": {}}})
    page = paged.shown(folder)
    assert page.charts == before
    assert "TRADES (β=6) 50.0 70.0 MemLoss V1 70.0 50.0" in page.text

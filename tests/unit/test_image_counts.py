"""Accuracies of different numbers of images do not stand side by side unsaid."""

from __future__ import annotations

import json
import re

import pytest
from matplotlib.text import Text
from paged import command, rows, shown
from piped import tables

from bench.analysis.ablations import ablations_sheet, ablations_table
from bench.analysis.plots.ablations import collect
from bench.analysis.plots.context import Context
from bench.analysis.sheets import with_images
from bench.config.schema import Ablation
from bench.results.columns import ABLATIONS
from bench.results.experiment import ExperimentResults
from bench.results.published import Published

pytestmark = pytest.mark.slow


@pytest.fixture
def made(results_factory):
    """Write runs whose AutoAttack attacked the first so many of 20 images; return the folder."""

    def write(**attacked):
        for method, images in attacked.items():
            on = {index: int(index < 4) for index in range(images)}
            correct = {"best": {"clean": 16, "pgd20": 12}}
            results_factory.run(method, 0, correct=correct, robust={("best", "autoattack"): on})
        folder = results_factory.folder
        command("summarize", folder)
        command("tables", folder)
        return folder

    return write


def comparison(folder):
    text = (folder / "tables" / "comparison.md").read_text("utf-8")
    [[head, *found]] = tables(text)
    return head[3:], [row[3:] for row in found], text


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ({"a": ["20", "20"], "b": ["20", "20"]}, {"a": "xx", "b": "xx"}),
        ({"a": ["20", "20"], "b": ["10", ""]}, {"a (n = 20)": "xx", "b (n = 10)": "xx"}),
        (
            {"a": ["20", "20"], "b": ["10", "20"]},
            {"a (n = 20)": "xx", "b": ["x (n = 10)", "x (n = 20)"]},
        ),
        ({"a": ["20", "20"], "b": ["", ""]}, {"a": "xx", "b": "xx"}),
    ],
)
def test_counts_stand_in_the_heading_or_else_in_the_cell(columns, shown):
    found = with_images({name: ("xx", counts) for name, counts in columns.items()})
    assert found == {name: list(cells) for name, cells in shown.items()}


def test_equal_counts_are_said_once(made):
    head, [row], text = comparison(made(trades=20))
    assert head == ["Clean", "PGD-20", "AutoAttack", "Worst case"]
    assert row == ["80.00", "60.00", "20.00", "20.00"]
    assert "Test images: Clean 20; PGD-20 20; AutoAttack 20; Worst case 20." in text


def test_an_attack_on_fewer_images_says_so_in_table_and_page(made):
    folder = made(trades=10, mart=10)
    head, rows, text = comparison(folder)
    expected = ["Clean (n = 20)", "PGD-20 (n = 20)", "AutoAttack (n = 10)", "Worst case (n = 10)"]
    assert head == expected
    assert rows[0] == ["80.00", "60.00", "40.00", "40.00"]
    assert "of the images that all attacks have in common" in text
    assert "AutoAttack (n = 10)" in (folder / "tables" / "comparison.tex").read_text()
    page = shown(folder)
    for heading in expected:
        assert heading in page.text
    hovering = json.dumps(page.charts)
    assert re.search(r"AutoAttack 40\.00 % \[[\d., ]+\] of 10 images", hovering)


def test_methods_on_different_images_say_so_in_their_cells(made):
    folder = made(trades=10, mart=20)
    head, rows, _ = comparison(folder)
    assert head == ["Clean (n = 20)", "PGD-20 (n = 20)", "AutoAttack", "Worst case"]
    assert [row[2:] for row in rows] == [
        ["40.00 (n = 10)", "40.00 (n = 10)"],
        ["20.00 (n = 20)", "20.00 (n = 20)"],
    ]


def test_a_claim_says_on_how_many_images_it_was_measured(made):
    methods = ("trades", "mart", "pgd_at", "memloss_v1", "memloss_v2", "memloss_v3")
    folder = made(**dict.fromkeys(methods, 10))
    command("statistics", folder)
    command("claims", folder)
    found = {row["n_images"] for row in rows(folder / "claims.csv")}
    assert found >= {"10", "20", ""}
    [[_, *shown_rows]] = tables((folder / "tables" / "claims.md").read_text("utf-8"))
    counts = [n for row in shown_rows for n in re.findall(r"\(n = (\d*)\)$", row[-1])]
    assert sorted(counts) == sorted(
        r["n_images"] for r in rows(folder / "claims.csv") if r["n_images"]
    )


def test_an_ablation_says_what_each_difference_is_of(made):
    folder = made(trades=10, mart=10)
    results = ExperimentResults(folder)
    chosen = [Ablation(choice="c", base="trades", variants=("mart",))]
    table = ablations_table(results, chosen)
    columns = list(ablations_sheet(results, table).body)
    assert columns[3:] == ["clean (n = 20)", "AutoAttack (n = 10)", "harmonic mean (n = 10)"]
    ABLATIONS.write(results.paths.ablations, table)
    differences = collect(Context(ExperimentResults(folder), Published()))
    assert differences is not None
    assert any("(n = 10)" in text.get_text() for text in differences.draw().findobj(Text))
    assert "AutoAttack (n = 10)" in shown(folder).text

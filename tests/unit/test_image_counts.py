"""Accuracies of different numbers of images do not stand side by side unsaid."""

from __future__ import annotations

import re

import pytest
from paged import command, rows, shown

from bench.analysis.ablations import make_ablations
from bench.analysis.image_counts import Counts, span
from bench.analysis.summary import summarize
from bench.analysis.tables import make_tables
from bench.config.schema import Ablation

HEADER = "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"


@pytest.fixture
def made(results_factory, tmp_path):
    """Write runs whose AutoAttack judged the first so many of 20 images; return the folder."""

    def write(**judged):
        for method, images in judged.items():
            on = {index: int(index < 4) for index in range(images)}
            correct = {"best": {"clean": 16, "pgd20": 12}}
            results_factory.run(method, 0, correct=correct, robust={("best", "autoattack"): on})
        (tmp_path / "reported.csv").write_text(HEADER)
        folder = results_factory.folder
        summarize(folder, expected=None, reported=tmp_path / "reported.csv")
        make_tables(folder)
        return folder

    return write


def comparison(folder):
    lines = (folder / "tables" / "comparison.md").read_text("utf-8").splitlines()
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return head[3:], [row[3:] for row in rows], "\n".join(lines)


@pytest.mark.parametrize(
    ("by_column", "headings", "cells"),
    [
        ({"a": ["20", "20"], "b": ["20"]}, ["", ""], ["", ""]),
        ({"a": ["20", "20"], "b": ["10"]}, [" (n = 20)", " (n = 10)"], ["", ""]),
        ({"a": ["20", "20"], "b": ["10", "20"]}, [" (n = 20)", ""], ["", " (n = 10)"]),
        ({"a": ["20"], "b": []}, ["", ""], ["", ""]),
    ],
)
def test_counts_stand_in_the_heading_or_else_in_the_cell(by_column, headings, cells):
    counts = Counts(by_column)
    assert [counts.heading(column) for column in by_column] == headings
    assert [counts.cell(c, ns[0]) if ns else "" for c, ns in by_column.items()] == cells


def test_a_mean_over_seeds_of_different_counts_has_a_range():
    assert (span([20, 300, 20]), span([20, 20])) == ("20-300", "20")


def test_equal_counts_are_said_once(made):
    head, [row], text = comparison(made(trades=20))
    assert head == ["Clean", "PGD-20", "AutoAttack", "Worst case"]
    assert row == ["80.00", "60.00", "20.00", "20.00"]
    assert "Test images judged: Clean 20; PGD-20 20; AutoAttack 20; Worst case 20." in text


def test_an_attack_on_fewer_images_says_so_in_table_and_page(made):
    folder = made(trades=10, mart=10)
    head, rows, text = comparison(folder)
    expected = ["Clean (n = 20)", "PGD-20 (n = 20)", "AutoAttack (n = 10)", "Worst case (n = 10)"]
    assert head == expected
    assert rows[0] == ["80.00", "60.00", "40.00", "40.00"]
    assert "of the images that all attacks have in common" in text
    assert "AutoAttack (n = 10)" in (folder / "tables" / "comparison.tex").read_text()
    page = shown(folder)
    for heading in ("AutoAttack, % (n = 10)", "Worst case, % (n = 10)", "Clean, % (n = 20)"):
        assert heading in page.text
    # The chart's hover text, in the page's script.
    assert "AutoAttack 40.00 % of 10 images" in (folder / "report.html").read_text("utf-8")


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
    table = (folder / "tables" / "claims.md").read_text("utf-8")
    counts = re.findall(r"\(n = (\d*)\) \|", table)
    assert sorted(counts) == sorted(
        r["n_images"] for r in rows(folder / "claims.csv") if r["n_images"]
    )


def test_an_ablation_says_what_each_difference_is_of(made):
    folder = made(trades=10, mart=10)
    make_ablations(folder, [Ablation(choice="c", base="trades", variants=("mart",))])
    table = (folder / "tables" / "ablations.md").read_text("utf-8")
    assert "| clean (n = 20) | AutoAttack (n = 10) | harmonic mean (n = 10) |" in table
    figure = (folder / "figures" / "ablations.svg").read_text("utf-8")
    assert "(n = 10)" in figure
    assert "AutoAttack (n = 10)" in shown(folder).text

"""One attack tells robustness everywhere."""

from __future__ import annotations

import pytest
from factory import ResultsFactory
from paged import command, rows, shown

from bench.analysis.plots.context import Context
from bench.analysis.robust import strongest
from bench.results.experiment import ExperimentResults
from bench.results.published import Published


@pytest.mark.parametrize(
    ("left", "chosen"),
    [
        ({"clean": [9], "pgd20": [3, 3], "autoattack": [4, 4], "worst_case": [2, 2]}, "autoattack"),
        ({"clean": [1], "pgd20": [3, 5], "other": [4, 3]}, "other"),
        ({"pgd20": [3, 5], "other": [4, 3], "worst_case": [3, 3]}, "worst_case"),
        # Where the worst case is one attack's alone, that attack is named.
        ({"worst_case": [3, 3], "pgd20": [3, 5], "other": [3, 3]}, "other"),
        ({"clean": [1, 1]}, None),
        # An attack on some networks says nothing of the others.
        ({"clean": [1, 1], "pgd20": [3, 5], "apgd_eot": [1]}, "pgd20"),
    ],
)
def test_it_is_autoattack_or_else_what_leaves_least(left, chosen):
    assert strongest(left) == chosen


def stands(*wrong: int) -> dict[int, int]:
    return {index: int(index not in wrong) for index in range(20)}


@pytest.mark.parametrize(
    ("broken", "chosen", "told"),
    [
        # Each breaks an image that the other leaves.
        ({"pgd10": (1, 2), "pgd100": (2, 3, 4)}, "worst_case", "the worst case of all attacks"),
        ({"pgd10": (1, 2), "pgd100": (1, 2, 3)}, "pgd100", "PGD-100"),
    ],
)
def test_statistics_tables_figures_and_page_tell_it_by_the_same_attack(
    tmp_path, broken, chosen, told
):
    factory = ResultsFactory(tmp_path / "digits")
    ours, theirs = "memloss_v1", "trades"
    for method, seed, more in ((theirs, 0, 5), (theirs, 1, 6), (ours, 0, 7), (ours, 1, 7)):
        standing = {attack: stands(*images, more) for attack, images in broken.items()}
        standing["clean"] = stands(more)
        robust = {("best", attack): of_images for attack, of_images in standing.items()}
        factory.run(method, seed, correct={}, robust=robust)
    folder = factory.folder
    for name in ("summarize", "statistics", "tables"):
        command(name, folder)
    statistics = rows(folder / "statistics.csv")
    assert {r["attack"] for r in statistics if r["quantity"] == "harmonic_mean"} == {chosen}
    assert {row["attack"] for row in rows(folder / "tables" / "costs.csv")} == {chosen}
    assert Context(ExperimentResults(folder), Published()).attack == chosen
    assert f"that under {told} the best method" in shown(folder).text

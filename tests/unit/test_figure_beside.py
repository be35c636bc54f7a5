"""Under which label a reported point stands beside our runs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bench.analysis.figures.points import Other, Row
from bench.analysis.figures.published import _of_our_runs, beside

MART = Other("mart", 80.0, 47.0, "secondary", None, "mart", "beta=5")


def ours(own: str = "", **labels: str) -> list[SimpleNamespace]:
    return [
        SimpleNamespace(method=label, base_method="mart", options=options, own_recipe=label == own)
        for label, options in labels.items()
    ]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"mart": "beta=5"}, "mart"),
        ({"mine": "beta=5"}, "mine"),
        ({"mart": "beta=5", "mart_authors": "beta=5"}, "mart"),
        ({"mart_authors": "beta=5", "mart": "beta=5"}, "mart"),
        ({"mart": "beta=1"}, "mart_reported"),
        ({"mart": "beta=1", "mine": "beta=5"}, "mine"),
        ({"other": "beta=1"}, "mart"),
    ],
)
def test_a_point_stands_beside_the_run_that_it_is_about(labels, expected):
    (found,) = _of_our_runs(ours(**labels), [MART])
    assert found.name == expected


@pytest.mark.parametrize(
    ("own", "labels", "expected"),
    [
        ("mart", ("mart", "mine"), "mine"),
        ("mine", ("mine",), "mart"),
        ("mart", ("mart",), "mart_reported"),
    ],
)
def test_a_point_does_not_stand_beside_a_recipe_that_is_not_its_own(own, labels, expected):
    (found,) = _of_our_runs(ours(own, **dict.fromkeys(labels, "beta=5")), [MART])
    assert found.name == expected


@pytest.mark.parametrize(("attack", "shown"), [("autoattack", 1), ("pgd20", 0)])
def test_robustbench_stands_beside_autoattack_alone(tmp_path, attack, shown):
    path = tmp_path / "robustbench.csv"
    columns = "dataset,name,architecture,clean,autoattack,extra_data,generated_data,source,eps"
    path.write_text(f"{columns}\ncifar10,Some2020,ResNet-18,80,50,false,false,card,8/255\n")
    row = Row("cifar10", "resnet18", "mart", 0, "best", "validation", attack, 8 / 255, 100, 47.0)
    papers, others = beside([row], attack, None, path)
    assert (papers, len(others)) == ([], shown)
    assert all((other.clean, other.robust) == (80, 50) for other in others)

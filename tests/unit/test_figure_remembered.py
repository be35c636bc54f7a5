"""What becomes of adversarial examples, as the figure reads it from the histories."""

from __future__ import annotations

from factory import ResultsFactory

from bench.analysis.figures import remembered, style
from bench.analysis.figures.points import read_remembered


def test_means_are_over_seeds_and_empty_cells_are_left_out(results_factory: ResultsFactory) -> None:
    results_factory.all(("trades", "standard"), seeds=(0, 1))
    path = results_factory.folder / "models" / "trades" / "seed1" / "history.csv"
    # In the second epoch of the second seed: 20 and 40.
    path.write_text(path.read_text().replace(",20.0,20.0,20.0,20.0,", ",40.0,20.0,20.0,20.0,"))
    runs = [(method, seed) for method in ("standard", "trades") for seed in (0, 1)]
    found = read_remembered(results_factory.folder, runs)
    assert list(found) == ["trades"]
    assert found["trades"].fooling == ([2, 3], [30.0, 30.0])
    assert found["trades"].forgotten == ([2, 3], [20.0, 30.0])
    assert found["trades"].by_age == ([0, 1], [30.0, 30.0])


def test_histories_of_before_it_was_measured_have_nothing(results_factory: ResultsFactory) -> None:
    run = results_factory.run("trades", 0)
    text = (run / "history.csv").read_text().replace("remembered_", "other_")
    (run / "history.csv").write_text(text)
    assert read_remembered(results_factory.folder, [("trades", 0)]) == {}


def test_without_adversarial_examples_the_figure_says_so() -> None:
    with style.styled():
        figure = remembered.draw({}, names={}, colours={}, caption=["A caption."])
        assert b"no method here trains" in style.encoded(figure, "svg")

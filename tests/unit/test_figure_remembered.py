"""What becomes of adversarial examples, as the figure reads it from the histories."""

from __future__ import annotations

from factory import ResultsFactory

from bench.analysis.figures import remembered, style
from bench.analysis.figures.points import Remembered, read_remembered


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
        figure = remembered.draw({}, names={}, colours={}, families={}, caption=["A caption."])
        assert b"no method here trains" in style.encoded(figure, "svg")


def test_memloss_stands_out_before_what_trades_spans() -> None:
    def of(level: float) -> Remembered:
        series = ([2, 3], [level, level + 1])
        return Remembered(series, series, series, ([0, 1], [level, level]))

    methods = {"pgd_at": of(9.0), "trades": of(1.0), "trades_beta1": of(3.0), "v1": of(2.0)}
    families = {"pgd_at": "pgd_at", "trades": "trades", "trades_beta1": "trades", "v1": "memloss"}
    with style.styled():
        figure = remembered.draw(
            methods,
            names={method: method for method in methods},
            colours=dict.fromkeys(methods, style.BLUE),
            families=families,
            caption=["A caption."],
        )
    assert len(figure.axes) == 4
    axes = figure.axes[0]
    thin, bold = axes.lines
    assert bold.get_ydata().tolist() == [2.0, 3.0]
    assert bold.get_linewidth() > thin.get_linewidth()
    (span,) = axes.collections
    assert {tuple(corner) for corner in span.get_paths()[0].vertices.tolist()} == {
        (2.0, 1.0),
        (3.0, 2.0),
        (2.0, 3.0),
        (3.0, 4.0),
    }
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["TRADES, least to most of 2", "pgd_at", "v1"]

"""The figures of an experiment as files."""

from __future__ import annotations

from pathlib import Path

import pytest
from factory import ResultsFactory
from matplotlib.image import imread

from bench.analysis.figures import components, curves, style
from bench.analysis.figures.draw import draw
from bench.analysis.figures.points import Curve
from bench.analysis.summary import summarize
from bench.runtime.errors import BenchError

NAMES = {
    f"{name}.{form}"
    for name in ("frontier", "curves", "components", "remembered")
    for form in style.FORMATS
}
REPORTED = (
    "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"
)


def experiment(folder: Path, factory: ResultsFactory) -> Path:
    """Return the folder with its summary and, of all else, CSV files only."""
    reported = folder / "reported.csv"
    reported.write_text(REPORTED, encoding="utf-8")
    summarize(factory.folder, expected=None, reported=reported)
    for path in [*factory.folder.rglob("*.json"), *factory.folder.rglob("*.safetensors")]:
        path.unlink()
    return factory.folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    factory = ResultsFactory(folder / "digits")
    factory.all(("standard", "trades", "trades_beta1"), seeds=(0, 1))
    return experiment(folder, factory)


@pytest.fixture(scope="module")
def written(results: Path) -> list[Path]:
    return draw(results, reported=None, reference=None, out=results / "figures")


def svg_texts(path: Path) -> str:
    """Return the texts of a figure; an SVG has each in a comment beside its outlines."""
    return path.read_text(encoding="utf-8")


def test_four_figures_in_three_formats_and_nothing_else(written: list[Path]) -> None:
    assert {path.name for path in written} == NAMES
    assert {path.name for path in written[0].parent.iterdir()} == NAMES


def test_each_file_is_what_its_name_says(written: list[Path]) -> None:
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    for path in written:
        assert path.read_bytes().startswith(starts[path.suffix])
    assert all(imread(path).shape[1] == 2100 for path in written if path.suffix == ".png")


def test_the_same_csv_files_give_the_same_bytes(results: Path, written: list[Path]) -> None:
    before = [path.read_bytes() for path in written]
    again = draw(results, reported=None, reference=None, out=results / "again")
    assert [path.read_bytes() for path in again] == before


def test_no_file_names_a_date(written: list[Path]) -> None:
    for path in written:
        assert b"dc:date" not in path.read_bytes()
        assert b"CreationDate" not in path.read_bytes()


def test_the_caption_says_what_the_numbers_are(written: list[Path]) -> None:
    content = svg_texts(written[0])
    for said in ("scikit-learn digits", "ResNet-18", "8/255", "seeds 0, 1", "20 test images"):
        assert said in content
    assert "Clean accuracy is that on" not in content


def test_an_attack_on_fewer_images_than_clean_accuracy_is_told(tmp_path: Path) -> None:
    factory = ResultsFactory(tmp_path / "digits")
    factory.run("trades", robust={("best", "autoattack"): {index: 1 for index in range(5)}})
    folder = experiment(tmp_path, factory)
    paths = {path.name: path for path in draw(folder, reported=None, reference=None, out=tmp_path)}
    content = svg_texts(paths["frontier.svg"])
    assert "5 test images" in content
    assert "Clean accuracy is that on 20 test images." in content


def test_without_autoattack_pgd_stands_in_and_is_named(tmp_path: Path) -> None:
    factory = ResultsFactory(tmp_path / "digits")
    factory.run("trades", correct={"best": {"clean": 16, "pgd20": 12}})
    folder = experiment(tmp_path, factory)
    paths = {path.name: path for path in draw(folder, reported=None, reference=None, out=tmp_path)}
    assert "PGD-20 accuracy" in svg_texts(paths["frontier.svg"])
    assert "AutoAttack was not run" in svg_texts(paths["components.svg"])


def test_a_missing_file_leaves_the_older_figures_alone(tmp_path: Path) -> None:
    (tmp_path / "frontier.png").write_bytes(b"older")
    with pytest.raises(BenchError, match=r"summary\.csv"):
        draw(tmp_path / "digits", reported=None, reference=None, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["frontier.png"]


def test_components_number_what_no_bar_has_room_for() -> None:
    shares = {"trades": {"": 50.0, "apgd-ce": 29.95, "square": 0.05, "clean": 20.0}}
    with style.styled():
        figure = components.draw(shares, names={"trades": "TRADES"}, caption=["A dataset."])
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"50.0", "20.0", "0.05", "0.00"} <= set(said)
    assert {"Square, %", "FAB-T, %", "APGD-T, %"} <= set(said)
    # An edge would cover a bar as thin as Square's.
    assert {bar.get_linewidth() for bar in figure.axes[0].patches} == {0}


def test_components_number_clean_errors_beside_the_bars_where_one_is_thin() -> None:
    shares = {"a": {"": 50.0, "square": 49.0, "clean": 1.0}, "b": {"": 80.0, "clean": 20.0}}
    with style.styled():
        figure = components.draw(shares, names={"a": "A", "b": "B"}, caption=[])
    said = [text.get_text() for text in figure.axes[0].texts]
    assert {"Clean\nerror, %", "1.00", "20.00"} <= set(said)
    assert "20.0" not in said


def test_components_put_the_most_robust_method_on_top() -> None:
    shares = {"a": {"": 40.0, "clean": 60.0}, "b": {"": 50.0, "clean": 50.0}}
    with style.styled():
        figure = components.draw(shares, names={"a": "A", "b": "B"}, caption=[])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["B", "A"]


@pytest.mark.parametrize(("methods", "epochs"), [(1, 1), (3, 2), (5, 12)])
def test_curves_have_a_panel_a_method_on_the_same_axes(methods: int, epochs: int) -> None:
    run = Curve(tuple(range(1, epochs + 1)), (80.0,) * epochs, (40.0,) * epochs)
    names = {f"m{k}": f"Method {k}" for k in range(methods)}
    with style.styled():
        figure = curves.draw({name: [run, run] for name in names}, names=names, caption=["A."])
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(names.values())
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1

"""CSV files as spreadsheets save them: read, or refused with what is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench.results.columns import SUMMARY
from bench.results.csv_file import read_table
from bench.results.experiment import ExperimentResults
from bench.results.published import Published, read_cards, read_reported
from bench.results.tables import Column, Table
from bench.runtime.errors import BenchError

ROOT = Path(__file__).parents[2]


def read_summary(path):
    return SUMMARY.text(ExperimentResults(path.parent).summary)


READERS = {
    "config/reported.csv": read_reported,
    "config/robustbench.csv": read_cards,
    "results/reference/digits/summary.csv": read_summary,
}


@pytest.fixture
def table(tmp_path):
    """Read a table of the columns a and b from text or bytes."""

    def read(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, ("a", "b"), "make it again")

    return read


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n",
        "\ufeffa,b\r\n1,2\r\n",
        "a,b\n1,2\n\n\n",
        "a,b\n1,2\n,\n,\n",
        "a,b,,\n1,2,,\n,,,\n",
        "a,b\n1,2,\n",
    ],
)
def test_what_a_spreadsheet_adds_is_left_out(table, content):
    assert table(content) == [{"a": "1", "b": "2"}]


def test_an_empty_last_column_of_the_header_is_kept(table):
    assert table("a,b\n1,\n2,\n") == [{"a": "1", "b": ""}, {"a": "2", "b": ""}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        *(("a;b\n1;2\n", "column 'a' is missing"), ("a\tb\n1\t2\n", "column 'a' is missing")),
        *(("a,c\n1,2\n", "column 'b' is missing"), ("", "column 'a' is missing")),
        ("a,b,a\n1,2,3\n", "twice"),
        *(("a,b\n1,2,3\n", "row 1 "), ("a,b\n1,2\n3\n", "row 2 ")),
        ("a,b,,\n1,2,,x\n", "row 1 "),
        ("a,b\n,\n", "no rows"),
        ("a,b\n1,\xe9\n".encode("cp1252"), "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "column 'a' is missing"),
        ('a,b\n"1,2\n', "not CSV"),
    ],
)
def test_what_is_no_table_is_named(table, content, said):
    with pytest.raises(BenchError) as refused:
        table(content)
    assert "table.csv" in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("change", ["utf-8-sig", "utf-16", ";"])
def test_every_reader_knows_them(tmp_path, name, change):
    path, read = Path(shutil.copy(ROOT / name, tmp_path)), READERS[name]
    before, text = read(path), path.read_text("utf-8")
    if change == ";":
        path.write_text(text.replace(",", ";"), encoding="utf-8")
    else:
        path.write_text(text, encoding=change)
    if change == "utf-8-sig":
        assert read(path) == before
        return
    with pytest.raises(BenchError, match=f"{path.name}: "):
        read(path)


@pytest.mark.parametrize("text", ["84,52", "10,000", "1,x", "nan"])
def test_what_is_no_number_is_named(tmp_path, text):
    with pytest.raises(BenchError, match=f"table.csv: row 1: a: .*'{text}'"):
        typed(tmp_path, "number", text)


def typed(folder, kind, text):
    """Return the one cell of a table, as what its column is for."""
    path = folder / "table.csv"
    path.write_text(f'a\n"{text}"\n')
    return Table({"a": Column(kind, "")}, make="some command").read(path)["a"].iloc[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *(("radius", "8/255", 8 / 255), ("radius", "0.03", 0.03), ("radius", "0", 0)),
        *(("radius", "1", 1), ("bool", "TRUE", True), ("bool", "false", False)),
        *(("whole", "12", 12), ("number", " 1e-3", 0.001)),
    ],
)
def test_a_cell_is_what_its_column_is_for(tmp_path, kind, text, value):
    assert typed(tmp_path, kind, text) == value


@pytest.mark.parametrize("text", ["8", "8.0", "1.01", "-0.03"])
@pytest.mark.parametrize("name", READERS)
def test_a_radius_of_8_bits_is_refused_in_every_file(tmp_path, name, text):
    path = Path(shutil.copy(ROOT / name, tmp_path))
    changed = re.sub(r",(8|51)/255(?=[,\n])", f",{text}", path.read_text("utf-8"))
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(BenchError, match=rf"{path.name}.*eps.*8/255.*divide by 255\?"):
        READERS[name](path)


def test_a_radius_of_8_bits_hides_no_model_of_the_figures(tmp_path):
    path = Path(shutil.copy(ROOT / "config/robustbench.csv", tmp_path))
    path.write_text(path.read_text("utf-8").replace(",8/255\n", ",8\n"), encoding="utf-8")
    with pytest.raises(BenchError, match=r"robustbench\.csv: row \d+\.eps: .*'8'"):
        Published.read(None, path)


@pytest.mark.parametrize(("text", "data"), [("TRUE", "extra"), ("false", "plain"), ("WAHR", None)])
def test_a_truth_that_is_none_is_named(tmp_path, text, data):
    path = tmp_path / "cards.csv"
    path.write_text(
        "dataset,name,architecture,clean,autoattack,extra_data,generated_data,source,eps\n"
        f"cifar10,Some,ResNet-18,80,50,{text},false,card,8/255\n"
    )
    if data:
        [found] = Published.read(None, path).cards
        assert found.data == data
        return
    with pytest.raises(BenchError, match=r"cards\.csv: row 1\.extra_data: .*true or false.*'wahr'"):
        Published.read(None, path)

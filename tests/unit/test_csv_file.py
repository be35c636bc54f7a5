"""CSV files as spreadsheets save them: read, or refused with what is wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from bench.analysis.figures.published import read_reference
from bench.analysis.tables import read_rows
from bench.results.csv_file import cell_eps, cell_number, read_table
from bench.results.published import read_cards, read_reported
from bench.runtime.errors import BenchError

ROOT = Path(__file__).parents[2]
READERS = {
    "config/reported.csv": read_reported,
    "config/robustbench.csv": read_cards,
    "results/reference/digits/summary.csv": read_rows,
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
        ("a;b\n1;2\n", "separated by semicolons; save it as CSV separated by commas; make"),
        ("a\tb\n1\t2\n", "separated by tabs; save"),
        ("sep=;\na;b\n1;2\n", "separated by semicolons"),
        ("a,b\n1,\xe9\n".encode("cp1252"), "not in UTF-8, but perhaps in cp1252"),
        ("a,b\n1,2\n".encode("utf-16"), "in UTF-16; save it as CSV in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "in UTF-16; save it"),
        ("a,b,,\n1,2,,x\n", "the column '' is there twice"),
        ("a,b,a\n1,2,3\n", "the column 'a' is there twice; remove one"),
        ("a,b\n1,2,3\n", "row 1 has not as many cells as the header"),
        ("a,b\n1,2\n3\n", "row 2 has not as many cells as the header"),
        ("a,b\n,\n1,2\n", "row 1 is empty; remove it"),
        ("a,c\n1,2\n", "the column 'b' is missing; make it again"),
        ("", "the column 'a' is missing"),
        ("a,b\n,\n", "has no rows"),
        ('a,b\n"1,2\n', "it is damaged, no CSV text"),
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
    with pytest.raises(BenchError, match=f"{path.name}: .*(semicolons|UTF-16)"):
        read(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("84,52", "a holds '84,52' where a number was expected, in row 1 (write a decimal point"),
        ("10,000", "(write a decimal point, and nothing between thousands); restore"),
        ("1,x", "where a number was expected, in row 1; restore"),
    ],
)
def test_a_comma_in_a_number_is_named(table, tmp_path, text, said):
    [row] = table(f'a,b\n"{text}",2\n')
    with pytest.raises(BenchError) as refused:
        cell_number(row, "a", tmp_path / "table.csv")
    assert said in str(refused.value)


@pytest.mark.parametrize(("text", "eps"), [("8/255", 8 / 255), ("0.03", 0.03), ("0", 0), ("1", 1)])
def test_a_radius_is_of_pixels_from_0_to_1(tmp_path, text, eps):
    assert cell_eps({"eps": text}, tmp_path) == eps


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
    with pytest.raises(BenchError, match="eps holds '8'"):
        read_reference(path, dataset="cifar10", radii=[8 / 255])


@pytest.mark.parametrize(("text", "kind"), [("TRUE", "extra"), ("no", "plain"), ("WAHR", None)])
def test_a_truth_that_is_none_is_named(tmp_path, text, kind):
    path = tmp_path / "cards.csv"
    path.write_text(
        "dataset,name,architecture,clean,autoattack,extra_data,generated_data,source,eps\n"
        f"cifar10,Some,ResNet-18,80,50,{text},false,card,8/255\n"
    )
    if kind:
        [found] = read_reference(path, dataset="cifar10", radii=[8 / 255])
        assert found.kind == kind
        return
    with pytest.raises(BenchError, match="extra_data of Some holds 'WAHR'; write true or false"):
        read_reference(path, dataset="cifar10", radii=[8 / 255])

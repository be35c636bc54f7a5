"""Damaged files end `bench report` with one sentence, and leave the page as it was."""

from __future__ import annotations

import re
import shutil
from itertools import count
from pathlib import Path

import paged
import pytest

from bench.__main__ import main

RUN = "models/trades/seed0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return paged.experiment(tmp_path_factory.mktemp("results") / "digits")


@pytest.fixture
def folder(whole, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(paged.ROOT)
    return Path(shutil.copytree(whole, tmp_path / "digits"))


def refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line with which the command ends; nothing is written."""
    capsys.readouterr()
    assert main(["report", "--folder", str(folder)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert not list(folder.glob("**/*report.html"))
    assert not list(folder.glob("**/.*partial*"))
    return line


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("summary.csv", "summarize"),
        ("statistics.csv", "bench statistics"),
        ("claims.csv", "bench claims"),
        ("costs.csv", "summarize"),
        (f"{RUN}/history.csv", "train trades with seed 0 again"),
        (f"{RUN}/diagnostics/curves.csv", "bench diagnose` for trades with seed 0 again"),
    ],
)
@pytest.mark.parametrize("damage", ["cut", "binary", "empty", "column"])
def test_a_damaged_table_is_named_with_its_remedy(folder, capsys, file, remedy, damage):
    path = folder / file
    text = path.read_text()
    head, _, body = text.partition("\n")
    new = {
        "cut": text[: text.rindex(",")].encode(),
        "binary": b"\xff\xfe\x00" + text.encode(),
        "empty": b"",
        "column": f"{head.replace('e', 'E')}\n{body}".encode(),
    }[damage]
    path.write_bytes(new)
    line = refused(folder, capsys)
    assert str(path) in line
    assert remedy in line


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("summary.csv", "accuracy"),
        ("statistics.csv", "low"),
        ("claims.csv", "estimate"),
        ("costs.csv", "seconds"),
        (f"{RUN}/history.csv", "validation_pgd"),
        (f"{RUN}/diagnostics/surfaces.csv", "loss"),
    ],
)
def test_a_cell_that_is_no_number_is_named(folder, capsys, file, column):
    path = folder / file
    number = count(1)
    paged.rewrite(path, lambda row: row.update({column: f"no{next(number)}"}))
    said = rf"{path}: {column} holds 'no(\d+)' where a number was expected, in row \1; restore the"
    assert re.search(said, refused(folder, capsys))


@pytest.mark.parametrize("content", ["", "[1, 2]", "{"])
@pytest.mark.parametrize("file", ["train.json", "evaluation.json", "diagnostics/record.json"])
def test_a_damaged_record_is_named(folder, capsys, file, content):
    path = folder / RUN / file
    path.write_text(content)
    assert str(path) in refused(folder, capsys)


@pytest.mark.parametrize("damage", ["lost", "edited"])
def test_verdicts_that_are_not_those_counted_are_named_as_summarize_does(folder, capsys, damage):
    path = folder / RUN / "verdicts/best/pgd20.csv"
    if damage == "lost":
        path.unlink()
    else:
        path.write_text(path.read_text().replace(",1,1,\n", ",1,0,pgd20\n", 1))
    line = refused(folder, capsys)
    assert f"{path}: " in line
    assert "evaluation.json` and the --configfile" in line
    assert main(["summarize", "--folder", str(folder)]) == 1
    assert capsys.readouterr().err.strip() == line


def test_a_folder_without_any_verdicts_has_a_page(folder):
    for verdicts in folder.glob("models/*/seed*/verdicts"):
        shutil.rmtree(verdicts)
    assert main(["report", "--folder", str(folder)]) == 0


def test_a_check_without_its_numbers_is_named(folder, capsys):
    path = folder / RUN / "diagnostics/record.json"
    path.write_text('{"checkpoints": {"best": {"checks": {"eps_zero": {"value": 1.0}}}}}')
    line = refused(folder, capsys)
    assert str(path) in line
    assert "eps_zero" in line


def test_a_folder_without_results_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(paged.ROOT)
    line = refused(tmp_path / "nothing", capsys)
    assert str(tmp_path / "nothing" / "summary.csv") in line
    assert "summarize" in line


def test_a_page_that_was_there_stays_when_the_new_one_cannot_be_made(folder, capsys):
    page = paged.page(folder)
    before = page.read_bytes()
    (folder / "claims.csv").write_text("damaged")
    assert main(["report", "--folder", str(folder)]) == 1
    assert page.read_bytes() == before

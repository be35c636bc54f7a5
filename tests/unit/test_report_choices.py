"""The README, the report and the flags that are given say the same."""

from __future__ import annotations

import re
from pathlib import Path

import paged
import pytest

from bench.analysis.report.choices import choices
from bench.analysis.report.flags import MEANINGS, meaning

BENCH = paged.ROOT / "bench"


def test_the_readme_has_the_open_choices_of_the_report():
    text = (paged.ROOT / "README.md").read_text()
    section = text.partition("## What the paper leaves open")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert table == [
        f"| {choice.open} | {choice.default} | {choice.alternatives} |" for choice in choices()
    ]


def given() -> set[str]:
    """Return every flag that the code of summary and judge gives."""
    files = [BENCH / "analysis" / "rows.py", *(BENCH / "evaluation").glob("*.py")]
    found = {
        flag
        for file in files
        for text in re.findall(r"flags[^\n]*\"[a-z_]+\"[^\n]*", Path(file).read_text())
        for flag in re.findall(r"\"([a-z_]+)\"", text)
    }
    return found - {"flags", "details"}


@pytest.mark.parametrize("flag", sorted(given()))
def test_every_flag_that_is_given_has_a_meaning(flag):
    assert flag in MEANINGS


def test_flags_with_a_part_of_their_own_have_a_meaning_too():
    assert "linearity" in meaning("diagnostics_linearity")
    assert "bfloat16" in meaning("attacked_in_bfloat16")

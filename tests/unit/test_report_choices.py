"""The README, the report and the flags that are given say the same."""

from __future__ import annotations

import re

import paged

from bench.analysis.flag_meanings import MEANINGS, meaning
from bench.analysis.report.choices import choices
from bench.results import flags

BENCH = paged.ROOT / "bench"
DECLARED = {word for name, word in vars(flags).items() if name.isupper()}
BEGINNINGS = {flags.DIAGNOSTICS, flags.ATTACKED_IN}


def test_the_readme_has_the_open_choices_of_the_report():
    text = (paged.ROOT / "README.md").read_text()
    section = text.partition("## What the paper leaves open")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert table == [
        f"| {choice.open} | {choice.default} | {choice.alternatives} |" for choice in choices()
    ]


def test_every_flag_has_a_meaning():
    assert set(MEANINGS) == DECLARED - BEGINNINGS
    assert all(meaning(flag) == said for flag, said in MEANINGS.items())


def test_a_flag_is_written_in_one_place():
    ends = [f"{word}.*" if word in BEGINNINGS else word for word in sorted(DECLARED)]
    written = re.compile(f'"({"|".join(ends)})"')
    files = [file for file in BENCH.rglob("*.py") if written.search(file.read_text())]
    assert files == [BENCH / "flags.py"]


def test_flags_with_a_part_of_their_own_have_a_meaning_too():
    assert "linearity" in meaning("diagnostics_linearity")
    assert "bfloat16" in meaning("attacked_in_bfloat16")

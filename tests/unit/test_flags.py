"""Every flag has a meaning, and is written in one place."""

from __future__ import annotations

import re

import paged

from bench.results import flags

BENCH = paged.ROOT / "bench"
DECLARED = {word for name, word in vars(flags).items() if name.isupper() and isinstance(word, str)}


def test_every_flag_has_a_meaning():
    assert set(flags.MEANINGS) == DECLARED - {flags.DIAGNOSTICS}


def test_a_flag_is_written_in_one_place():
    # Behind the beginning stands the name of a check; the record of diagnostics is none.
    ends = [f"{word}(?!record).*" if word == flags.DIAGNOSTICS else word for word in DECLARED]
    written = re.compile(f'"({"|".join(ends)})"')
    files = [file for file in BENCH.rglob("*.py") if written.search(file.read_text())]
    assert files == [BENCH / "results" / "flags.py"]


def test_a_flag_of_a_failed_check_has_a_meaning_too():
    assert "linearity" in flags.meaning("diagnostics_linearity")

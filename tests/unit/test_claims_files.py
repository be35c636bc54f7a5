"""Which files of claims an experiment is held against."""

from __future__ import annotations

import pytest

from bench.config.claims import claim_files
from bench.runtime.errors import ConfigError


def stems(*asked):
    return [path.stem for path in claim_files(*asked)]


def test_every_paper_that_proposes_one_of_the_methods_unless_files_are_named():
    assert stems(["trades", "cure", "memloss_hat"]) == ["cure", "memloss"]
    assert stems(["trades"]) == []
    assert stems(["trades"], ["sat", "dynat"]) == ["sat", "dynat"]
    assert stems(["cure"], []) == []


@pytest.mark.parametrize("names", [["memlos"], ["sat", "sat"]])
def test_a_file_that_is_not_there_or_is_named_twice_is_refused(names):
    with pytest.raises(ConfigError, match=r"^claims: "):
        claim_files(["trades"], names)

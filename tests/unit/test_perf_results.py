"""Medians, quartiles, ratios and shares, and the text that is made of them."""

from __future__ import annotations

import pytest

from bench.perf.report import as_text, checked, number, spread
from bench.perf.results import ratios, results, summary
from bench.runtime.errors import BenchError

AGAINST = {"plain": "plain", "fast": "plain", "kept": "kept", "fast, kept": "kept"}


def one(path: str, turn: int, seconds: float, *, task: str = "step", **more) -> dict:
    return {
        "task": task,
        "method": "trades",
        "path": path,
        "round": turn,
        "images": 10,
        "seconds": seconds,
        "peak_mb": 100.0 + turn,
        **more,
    }


def test_a_summary_is_the_median_with_its_quartiles():
    assert summary([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "low": 2.0, "high": 4.0, "n": 5}
    assert summary([2.0]) == {"median": 2.0, "low": 2.0, "high": 2.0, "n": 1}
    assert summary([1.0, 2.0]) == {"median": 1.5, "low": 1.25, "high": 1.75, "n": 2}
    with pytest.raises(ValueError, match="nothing"):
        summary([])


def test_a_ratio_is_of_one_round():
    # The machine was half as fast in the second round; a ratio of medians would be 2.7.
    base = [one("plain", 1, 2.0), one("plain", 2, 4.0), one("plain", 3, 2.0)]
    other = [one("fast", 1, 1.0), one("fast", 2, 2.0), one("fast", 3, 0.5), one("fast", 4, 9.0)]
    assert ratios(base, other) == [2.0, 2.0, 4.0]


def test_rows_have_ratios_to_plain_and_to_the_plain_path_with_the_same_allocator():
    seconds = {"plain": 4.0, "fast": 2.0, "kept": 3.0, "fast, kept": 1.0}
    rows = results([one(path, 1, value) for path, value in seconds.items()], AGAINST)
    assert [row["path"] for row in rows] == list(AGAINST)
    assert [row["speedup"]["median"] for row in rows] == pytest.approx([1, 2, 4 / 3, 4])
    assert [row["speedup_same_allocator"]["median"] for row in rows] == pytest.approx([1, 2, 1, 3])
    assert rows[0]["images_per_second"]["median"] == 2.5
    assert rows[0]["seconds_per_1000"]["median"] == 400.0


def test_without_a_plain_path_there_is_no_ratio():
    (row,) = results([one("fast, kept", 1, 1.0)], AGAINST)
    assert row["speedup"] is None
    assert row["speedup_same_allocator"] is None


def test_the_share_of_the_ceiling_is_of_the_ceiling_in_the_same_round():
    rows = results(
        [
            one("plain", 1, 1.0, operations=50, ceiling=100.0),
            one("plain", 2, 2.0, operations=50, ceiling=50.0),
        ],
        AGAINST,
    )
    assert rows[0]["share_of_ceiling"] == {"median": 0.5, "low": 0.5, "high": 0.5, "n": 2}
    assert rows[0]["operations_per_image"] == 5
    assert rows[0]["peak_mb"] == 102.0


def test_data_and_memory_are_shares_of_a_step_of_the_same_path():
    rows = results(
        [
            one("plain", 1, 4.0),
            one("fast", 1, 1.0),
            one("fast", 1, 0.1, task="data"),
            one("fast", 1, 0.02, task="memory", bytes=7),
            one("kept", 1, 0.1, task="data"),
        ],
        AGAINST,
    )
    shares = {(row["task"], row["path"]): row.get("share_of_step") for row in rows}
    assert shares["data", "fast"] == pytest.approx(0.1)
    assert shares["memory", "fast"] == pytest.approx(0.02)
    assert shares["data", "kept"] is None
    assert rows[3]["bytes"] == 7


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (3.14159, "3.14"), (1234.4, "1,234"), (100, "100")]
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert number(value) == text


def test_a_spread_is_written_where_there_is_more_than_one_value():
    assert spread(summary([2.0])) == "2"
    assert spread(summary([1.0, 2.0, 3.0])) == "2 [1.5, 2.5]"
    assert spread(summary([0.5, 0.5]), percent=True) == "50% [50%, 50%]"


def record(**changes) -> dict:
    return {
        "performance": 1,
        "quick": False,
        "machine": {
            "device": "cpu",
            "cuda": None,
            "cpu": "A",
            "threads": 2,
            "torch": "2.14",
            "python": "3.12",
            "tf32": False,
        },
        "settings": {
            "model": "m",
            "batch_size": 10,
            "image_shape": [3, 8, 8],
            "attack_steps": 10,
            "attack_images": 10,
            "components": ["apgd-ce"],
            "methods": {},
        },
        "paths": [
            {"name": name, "against": base, "pages": "kept" in name}
            for name, base in AGAINST.items()
        ],
        "measurements": [one("plain", 1, 4.0), one("fast", 1, 2.0)],
        **changes,
    }


def test_the_text_says_on_what_it_was_measured_and_what_plain_is():
    text = as_text(record())
    assert "A with 2 threads; torch 2.14, Python 3.12" in text
    assert "float32 has no TF32" in text
    assert "quick" not in text
    lines = [line.split() for line in text.splitlines()]
    assert ["step", "trades", "plain", "2.5", "1", "1", "101", "MB"] in lines
    assert ["step", "trades", "fast", "5", "2", "2", "101", "MB"] in lines


def test_a_quick_record_says_that_its_times_mean_nothing():
    assert as_text(record(quick=True)).startswith("quick: ")
    assert "times mean nothing" in as_text(record(quick=True))


def test_images_that_fell_are_told():
    fallen = one("plain", 1, 1.0, task="autoattack", robust=9, components={})
    assert "9 of 10 did (apgd-ce)" in as_text(record(measurements=[fallen]))


@pytest.mark.parametrize("document", [[], {}, {"performance": 99}])
def test_another_json_file_is_refused(document):
    with pytest.raises(BenchError, match=r"x\.json: not what this version .* measure again"):
        checked(document, "x.json")

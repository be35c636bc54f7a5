"""Medians, quartiles, paired ratios, and the order in which processes are asked."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from bench.perf.process import alternate, workers
from bench.perf.results import number, ratios, results, spread, summary
from bench.runtime.errors import BenchError
from bench.runtime.signals import InterruptedJobError, stopping_cleanly


def one(engine: str, turn: int, seconds: float, *, task: str = "attack", **more) -> dict:
    place = {"task": task, "method": "trades", "engine": engine, "round": turn}
    return {**place, "images": 10, "seconds": seconds, "peak_mb": 100.0 + turn, **more}


def test_a_summary_is_the_median_with_its_quartiles():
    assert summary([4.0, 1.0, 3.0, 2.0, 5.0]) == {"median": 3.0, "low": 2.0, "high": 4.0, "n": 5}
    assert spread(summary([2.0])) == "2"
    assert spread(summary([1.0, 2.0, 3.0])) == "2 [1.5, 2.5]"


def test_a_ratio_is_of_one_round():
    # The machine was half as fast in the second round; a ratio of medians would be 2.7.
    base = [one("eager", 1, 2.0), one("eager", 2, 4.0), one("eager", 3, 2.0)]
    other = [
        one("folded", 1, 1.0),
        one("folded", 2, 2.0),
        one("folded", 3, 0.5),
        one("folded", 4, 9.0),
    ]
    assert ratios(base, other) == [2.0, 2.0, 4.0]


def test_a_row_of_steps_has_rates_shares_and_the_difference_of_the_loss():
    eager = one("eager", 1, 4.0, task="step", loading=1.0, loss=2.0)
    folded = one("folded", 1, 2.0, task="step", loading=0.5, loss=2.2)
    rows = results([eager, folded], 600)
    assert [row["images_per_second"]["median"] for row in rows] == [2.5, 5.0]
    assert [row["speedup"]["median"] for row in rows] == [1.0, 2.0]
    assert [row["epoch_minutes"] for row in rows] == [4.0, 2.0]
    assert [row["loading_share"]["median"] for row in rows] == [0.25, 0.25]
    assert [row["loss_difference"] for row in rows] == pytest.approx([0, 0.1])


def test_without_the_reference_there_is_no_ratio():
    (row,) = results([one("folded", 1, 1.0, robust=3), one("folded", 2, 1.0, robust=2)][::-1], 1)
    assert (row["speedup"], row["robust"], row["peak_mb"]) == (None, 2, 102.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (3.14159, "3.14"), (1234.4, "1,234"), (100, "100")]
)
def test_numbers_have_three_digits_and_no_exponent(value, text):
    assert number(value) == text


class Clocked:
    """Stands for a worker on a machine that slows down by a second with each measurement."""

    asked: list[tuple[str, str]]

    def __init__(self, name: str, asked: list[tuple[str, str]]) -> None:
        self.name, self.asked = name, asked

    def ask(self, request: str, *_: Any) -> dict[str, float]:
        self.asked.append((self.name, request))
        return {"seconds": float(sum(what == "measure" for _, what in self.asked))}


def test_everyone_is_asked_once_before_anyone_is_asked_again_and_then_the_other_way_round():
    asked: list[tuple[str, str]] = []
    told: list[dict] = []
    found = alternate([Clocked(name, asked) for name in "ab"], "step", "trades", 2, told.append)
    prepared = [("a", "prepare"), ("b", "prepare")]
    assert asked == [*prepared, *[(name, "measure") for name in "abba"]]
    assert found == told
    assert {(row["task"], row["method"]) for row in found} == {("step", "trades")}
    # A steady drift favours nobody.
    times = {name: sum(r["seconds"] for r in found if r["engine"] == name) for name in "ab"}
    assert times["a"] == times["b"] == 5.0


def fake(pipe: Any, name: str, setup: dict[str, str]) -> None:
    """Answer as a worker does, until it does what `setup` says of `name`."""
    pipe.send((True, os.getpid()))
    while True:
        request, _ = pipe.recv()
        kind = setup.get(name, "") if request == "measure" else ""
        if kind == "ends":
            os._exit(3)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "hangs":
            time.sleep(600)
        pipe.send((kind != "refuses", "the reason" if kind else {"pid": os.getpid()}))


def gone(pid: int) -> bool:
    """Say whether no such process is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_workers_answer_and_are_gone_afterwards():
    with workers(("a", "b"), {}, fake) as started:
        pids = [pid for _, pid in started.values()]
        asked = [worker for worker, _ in started.values()]
        assert [row["pid"] for row in alternate(asked, "step", None, 1)] == pids
    assert all(map(gone, pids))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ends", "b: its process ended with 3; see what it printed above"),
        ("killed", "b: its process ended with -9; out of memory: lower --batch-size"),
        ("refuses", "b: the reason"),
    ],
)
def test_a_worker_that_cannot_go_on_is_told_in_a_sentence_and_ends_all(kind, said):
    pids = []

    def measure() -> None:
        with workers(("a", "b"), {"b": kind}, fake) as started:
            pids.extend(pid for _, pid in started.values())
            alternate([worker for worker, _ in started.values()], "step", None, 1)

    with pytest.raises(BenchError, match=f"^{said}"):
        measure()
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_a_signal_ends_a_parent_that_waits_and_its_workers():
    pids = []

    def measure() -> None:
        with stopping_cleanly(), workers(("a",), {"a": "hangs"}, fake) as started:
            worker, pid = started["a"]
            pids.append(pid)
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
            worker.ask("measure")

    with pytest.raises(InterruptedJobError):
        measure()
    assert all(map(gone, pids))

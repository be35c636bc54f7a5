from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from bench.training import progress
from bench.training.progress import REFRESH, Progress


class Screen(io.StringIO):
    """What was printed, and whether it claims to be a terminal, and of which encoding."""

    def __init__(self, *, terminal: bool, encoding: str | None = "utf-8") -> None:
        super().__init__()
        self.terminal, self._encoding = terminal, encoding

    @property
    def encoding(self) -> str | None:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self.terminal

    def shown(self) -> str:
        """Return what the last line of a terminal would show."""
        line = ""
        for part in self.getvalue().rpartition("\n")[2].split("\r"):
            line = part + line[len(part) :]
        return line.rstrip()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that a test sets."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def loss() -> float:
    return 1.23456


def unread() -> float:
    raise AssertionError("reading the loss waits for the device")


def test_a_terminal_shows_one_moving_line(clock):
    screen = Screen(terminal=True)
    shown = Progress(4, 10, screen)
    shown.start_epoch()
    clock.now = 20.0
    shown.step(1, 5, 640, loss)
    assert screen.shown() == (
        "epoch 1/4 " + "█" * 12 + "░" * 12 + " loss 1.2346  32 images/s  left 2 min 20 s"
    )
    clock.now = 40.0
    shown.step(1, 10, 1280, loss)
    assert screen.shown().startswith("epoch 1/4 " + "█" * 24 + " loss")
    assert "\n" not in screen.getvalue()


def test_an_epochs_line_replaces_the_moving_one_and_stays(clock):
    screen = Screen(terminal=True)
    shown = Progress(2, 10, screen)
    clock.now = 30.0
    shown.step(1, 10, 900, loss)
    shown.epoch(1, "loss 1.0000", 900, 30.0)
    assert screen.shown() == ""
    kept = screen.getvalue().split("\n")[0].rpartition("\r")[2]
    assert kept == "epoch 1/2  loss 1.0000  30 images/s  left 30 s"
    clock.now = 60.0
    shown.step(2, 10, 900, loss)
    assert screen.shown().startswith("epoch 2/2 ")


def test_a_shorter_line_leaves_nothing_of_a_longer_one(clock):
    screen = Screen(terminal=True)
    shown = Progress(2, 10, screen)
    clock.now = 1000.0
    shown.step(1, 1, 10**9, lambda: 12345.0)
    clock.now += 2 * REFRESH
    shown.step(2, 10, 1, lambda: 0.0)
    assert screen.shown().endswith("left 0 s")


def test_the_loss_is_read_no_more_often_than_the_line_is_refreshed(clock):
    screen = Screen(terminal=True)
    shown = Progress(2, 10, screen)
    clock.now = REFRESH / 2
    shown.step(1, 1, 16, unread)
    clock.now = REFRESH * 1.1
    shown.step(1, 2, 32, loss)
    before = screen.getvalue()
    clock.now = REFRESH * 1.9
    shown.step(1, 3, 48, unread)
    assert screen.getvalue() == before != ""


def test_a_file_gets_a_plain_line_an_epoch_and_nothing_else(clock):
    log = Screen(terminal=False)
    shown = Progress(2, 3, log)
    for epoch in (1, 2):
        shown.start_epoch()
        for step in (1, 2, 3):
            clock.now += 2 * REFRESH
            shown.step(epoch, step, 16 * step, unread)
        shown.epoch(epoch, "loss 0.5", 48, 6 * REFRESH)
    assert log.getvalue() == (
        "epoch 1/2  loss 0.5  40 images/s  left 1 s\nepoch 2/2  loss 0.5  40 images/s  left 0 s\n"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_time_left_has_the_units_that_a_reader_needs(clock, seconds, text):
    log = Screen(terminal=False)
    shown = Progress(2, 1, log)
    clock.now = seconds
    shown.epoch(1, "", 1, seconds)
    assert log.getvalue().endswith(f"left {text}\n")


def test_before_the_first_step_the_time_left_is_unknown(clock):
    screen = Screen(terminal=True)
    shown = Progress(2, 10, screen)
    clock.now = 1.0
    shown.step(1, 0, 0, loss)
    assert screen.shown().endswith("0 images/s  left unknown")


def test_after_a_resume_only_the_epochs_of_this_process_tell_the_speed(clock):
    log = Screen(terminal=False)
    shown = Progress(10, 4, log, done=6)
    clock.now = 20.0
    shown.epoch(7, "", 1, 20.0)
    clock.now = 40.0
    shown.epoch(8, "", 1, 20.0)
    assert [line.rpartition("left ")[2] for line in log.getvalue().splitlines()] == [
        "1 min 00 s",
        "40 s",
    ]


def test_an_epoch_that_took_no_time_is_no_error(clock):
    screen = Screen(terminal=True)
    shown = Progress(1, 1, screen)
    shown.start_epoch()
    clock.now = 2 * REFRESH
    shown.start_epoch()
    shown.step(1, 1, 16, loss)
    shown.epoch(1, "loss 0.5", 16, 0.0)
    assert "left 0 s\n" in screen.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", None])
def test_a_terminal_that_has_no_blocks_gets_a_bar_that_it_can_show(clock, encoding):
    screen = Screen(terminal=True, encoding=encoding)
    shown = Progress(1, 4, screen)
    clock.now = 1.0
    shown.step(1, 1, 16, loss)
    assert "#" * 6 + "-" * 18 in screen.shown()
    screen.getvalue().encode("ascii")


def test_without_an_output_it_prints_by_the_real_clock(capsys):
    shown = Progress(1, 1)
    shown.start_epoch()
    shown.step(1, 1, 16, loss)
    shown.epoch(1, "loss 0.5", 16, 1.0)
    assert capsys.readouterr().out.startswith("epoch 1/1  loss 0.5  16 images/s  left ")

"""A training that is told to stop at the beginning of an epoch."""

from __future__ import annotations

import signal

import pytest

from bench.training.run import Epoch, Run


def stopping_in(monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
    """Let a training get SIGTERM when it begins `epoch`."""
    real = Run.epoch

    def epoch_or_stop(self: Run, number: int, *rest: object) -> Epoch:
        if number == epoch:
            signal.raise_signal(signal.SIGTERM)
        return real(self, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "epoch", epoch_or_stop)

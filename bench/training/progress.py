"""How far a training is: one moving line on a terminal, a plain line per epoch in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

BAR = 24
REFRESH = 0.2  # seconds; reading the loss waits for the device


class Progress:
    """Prints loss, images per second and time left.

    Parameters
    ----------
    epochs, steps
        Of the whole run and of one epoch.
    out
        Where to print, by default the standard output; a terminal gets a bar.
    done
        Epochs that were trained before this process began.
    """

    def __init__(
        self, epochs: int, steps: int, out: TextIO | None = None, *, done: int = 0
    ) -> None:
        self.epochs, self.steps, self.done = epochs, steps, done
        self.out = sys.stdout if out is None else out
        self.begun = self._shown = self._epoch_begun = time.perf_counter()
        self._width = 0
        # A terminal of another encoding would end the training at the first block.
        unicode = (self.out.encoding or "").lower().startswith("utf")
        self._full, self._empty = ("█", "░") if unicode else ("#", "-")

    def step(self, epoch: int, step: int, images: int, loss: Callable[[], float]) -> None:
        """Show step `step` of `epoch`, both counted from 1, on a terminal."""
        now = time.perf_counter()
        if not self.out.isatty() or now - self._shown < REFRESH:
            return
        self._shown = now
        filled = BAR * step // self.steps
        bar = self._full * filled + self._empty * (BAR - filled)
        self._overwrite(
            f"epoch {epoch}/{self.epochs} {bar} loss {loss():.4f}  {self._speed(images, now)}"
            f"  left {self._left(epoch - 1 + step / self.steps)}"
        )

    def epoch(self, epoch: int, text: str, images: int, seconds: float) -> None:
        """Print what `epoch` measured."""
        if self._width:
            self._overwrite("")
            self._width = 0
        print(
            f"epoch {epoch}/{self.epochs}  {text}  {images / max(seconds, 1e-9):.0f} images/s"
            f"  left {self._left(epoch)}",
            file=self.out,
            flush=True,
        )

    def start_epoch(self) -> None:
        """Count images per second from here."""
        self._epoch_begun = time.perf_counter()

    def _speed(self, images: int, now: float) -> str:
        return f"{images / max(now - self._epoch_begun, 1e-9):.0f} images/s"

    def _left(self, done: float) -> str:
        if done <= self.done:
            return "unknown"
        each = (time.perf_counter() - self.begun) / (done - self.done)
        seconds = each * (self.epochs - done)
        minutes, seconds = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes:02d} min"
        return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"

    def _overwrite(self, line: str) -> None:
        self.out.write("\r" + line.ljust(self._width) + ("" if line else "\r"))
        self.out.flush()
        self._width = len(line)

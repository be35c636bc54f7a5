"""A job that is killed at random moments and started again until it ends by itself."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

KILLS = 2


def kill_at_random(
    command: Sequence[str],
    written: Callable[[], int],
    *,
    within: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run `command` until it ends by itself; return how often it was killed before.

    A kill comes `within` seconds after `written` tells of a newer state than at the start, so that
    it does not always hit the imports.
    """
    generator = random.Random(0)
    kills = 0
    while True:
        before, already = written(), kills
        process = subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})}
        )
        while process.poll() is None and kills < KILLS:
            if written() > before:
                time.sleep(generator.uniform(0, within))
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        code = process.wait()
        if code == 0:
            return kills
        assert kills > already, f"it ended with {code} though nobody killed it"

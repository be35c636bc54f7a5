"""The process of one path: ``python -m bench.perf.worker`` answers requests, one JSON a line.

    {"setup": ...}                      it is told its path; answers with what the machine is
    {"prepare": task, "method": label}  it makes and warms up a task; answers with {}
    {"measure": task}                   it measures that task once; answers with the measurement

An answer {"error": text} ends it, as does the end of its input. What libraries print goes to
standard error.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from typing import Any

import torch

from bench.config.parsing import parse
from bench.perf.bench import Bench, Task
from bench.perf.searches import AutoAttack, Breakdown, Pgd
from bench.perf.setup import Setup
from bench.perf.training import Attack, Data, Epoch, Memory, Step
from bench.runtime.exit_code import sentence
from bench.runtime.out_of_memory import out_of_memory

KINDS: dict[str, Any] = {
    "step": Step,
    "epoch": Epoch,
    "data": Data,
    "attack": Attack,
    "memory": Memory,
    "pgd": Pgd,
    "autoattack": AutoAttack,
    "breakdown": Breakdown,
}
SHORT = "the memory is too small: lower --batch-size or --attack-images, or choose fewer --paths"


class Server:
    """Answers requests for one path."""

    def __init__(self, raw: Any) -> None:
        self.bench = Bench(parse(Setup, raw, where="setup"))
        self.task: Task | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request."""
        if "prepare" in request:
            # The last task's maps and recordings are freed before there are new ones.
            self.task = None
            gc.collect()
            if self.bench.device.type == "cuda":
                _ = self.bench.matrices  # drawn before the count begins, see `peak_mb`
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            self.task = self._kind(request["prepare"])(self.bench, request["method"])
            return {}
        if self.task is None:
            raise ValueError(f"nothing is prepared to be measured: {request}")
        return {**self.task.measure(), "peak_mb": self.peak_mb()}

    def _kind(self, task: str) -> Any:
        # On a CPU a meter costs nothing, and AutoAttack takes minutes.
        on_cpu = self.bench.device.type == "cpu"
        return Breakdown if task == "autoattack" and on_cpu else KINDS[task]

    def peak_mb(self) -> float:
        """Return the most memory so far, in 1e6 bytes: the task's on CUDA, the process's on a CPU.

        On a CPU it is all resident memory. On CUDA it is what the allocator took from the device,
        without the matrices of the ceiling: what tensors held would leave out the private pool of a
        recording, which nothing else can use between its replays.
        """
        if self.bench.device.type == "cuda":
            ceiling = sum(matrix.nbytes for matrix in self.bench.matrices)
            return (torch.cuda.max_memory_reserved(self.bench.device) - ceiling) / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> int:
    """Serve until the input ends; return the exit code."""
    # Nothing but answers may reach the parent.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    server = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if server is None:
                server = Server(request["setup"])
                answer = server.bench.machine()
            else:
                answer = server.answer(request)
        except Exception as error:
            said = SHORT if out_of_memory(error) else sentence(error)
            if said is None:
                raise
            answer = {"error": said}
        print(json.dumps(answer), file=answers, flush=True)
        if "error" in answer:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

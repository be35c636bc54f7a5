"""The results of an experiment with chosen accuracies, and the claims of the repository."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.claims.claim import Trained
from bench.analysis.claims.evidence import Evidence
from bench.analysis.claims.file import Claims, read_claims
from bench.analysis.claims.rules import RuledClaim
from bench.analysis.claims.verdict import Verdict, decide
from bench.analysis.statistics.outcomes import Outcomes
from bench.results.columns import COSTS, HISTORY
from bench.results.experiment import ExperimentResults, Run
from bench.results.options import options_text
from bench.results.paths import Paths
from bench.results.tables import from_rows

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "config" / "claims" / "memloss.yaml"
MEMLOSS = {"variant": "v1", "beta": 3.0, "memory_beta": 2.0}
TRAINED = {
    "recycled": ("memloss", MEMLOSS),
    "memloss_v2": ("memloss", {"variant": "v2", "beta": 4.0, "memory_beta": 1.0}),
    "memloss_v3": ("memloss", {"variant": "v3", "beta": 4.0, "memory_beta": 2.0}),
    "placebo": ("memloss", {**MEMLOSS, "alignment": "clean_crop"}),
    "trades": ("trades", {"beta": 6.0}),
    "trades_beta1": ("trades", {"beta": 1.0}),
    "trades_beta3": ("trades", {"beta": 3.0}),
    "trades_beta4": ("trades", {"beta": 4.0}),
    "mart": ("mart", {"beta": 5.0}),
    "mart_authors": ("mart", {"beta": 5.0}),
}
OWN = {"mart_authors": "own_recipe"}
# Clean and AutoAttack accuracy, as the paper would have them: V1 beyond TRADES' front.
AS_CLAIMED = {
    "recycled": (84.5, 48.9),
    "memloss_v2": (83.5, 48.6),
    "memloss_v3": (82.2, 48.6),
    "placebo": (82.0, 46.0),
    "trades": (80.0, 48.0),
    "trades_beta1": (88.0, 40.0),
    "trades_beta3": (84.0, 44.5),
    "trades_beta4": (82.5, 46.5),
    "mart": (78.0, 47.0),
    "mart_authors": (79.0, 47.5),
}
# The memory does nothing: V1 is TRADES with its own beta.
WITHOUT_EFFECT = AS_CLAIMED | {
    "recycled": (84.0, 44.0),
    "memloss_v2": (86.0, 46.5),
    "memloss_v3": (87.0, 40.0),
    "placebo": (86.0, 46.5),
    "mart": (86.0, 48.0),
}


@dataclass(frozen=True)
class Made:
    """An experiment in `folder`: rows of its summary, and outcomes by checkpoint and attack."""

    folder: Path
    rows: Sequence[Mapping[str, Any]]
    outcomes: Mapping[str, Mapping[str, Outcomes]]

    @cached_property
    def results(self) -> ExperimentResults:
        """Costs and histories are read from the folder; no summary is there."""
        found = ExperimentResults(self.folder)
        found.__dict__["ours"] = pd.DataFrame(self.rows)
        return found

    def decide(self, claim: RuledClaim, methods: Mapping[str, Trained]) -> Verdict:
        return decide(claim, Evidence(self.results, self.outcomes, methods, claim.scope))


def made(
    accuracies: Mapping[str, tuple[float, float]],
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 10000,
    spread: float = 0.05,
    turned: float = 0.02,
    dataset: str = "cifar10",
    flags: str = "",
) -> Made:
    """Return results with these mean accuracies in percent.

    Seeds are `spread` points apart, and every seed finds other images difficult by `turned` of the
    whole range of difficulty. Images are difficult for all methods alike.
    """
    difficulty_N = np.random.default_rng(0).random(images)
    rows: list[dict[str, Any]] = []
    outcomes = {}
    for place, attack in enumerate(("clean", "autoattack")):
        correct = {}
        for turn, (method, rates) in enumerate(accuracies.items()):
            base, options = TRAINED[method]
            for number, seed in enumerate(seeds):
                own = np.random.default_rng([seed, *method.encode()]).random(images)
                order_N = np.argsort(difficulty_N + turned * own)
                # No method has its best seed where the next one has.
                shift = (number + turn) % len(seeds) - (len(seeds) - 1) / 2
                rate = rates[place] + spread * shift
                right_N = np.zeros(images, dtype=bool)
                right_N[order_N[: round(rate / 100 * images)]] = True
                correct[method, seed] = right_N
                rows.append(
                    {
                        **{"dataset": dataset, "model": "resnet18", "method": method},
                        **{"seed": seed, "checkpoint": "best", "attack": attack},
                        "eps": 0.0 if attack == "clean" else 8 / 255,
                        "flags": ";".join(filter(None, (flags, OWN.get(method, "")))),
                        **{"base_method": base, "options": options_text(base, options)},
                        "origin": "trained",
                    }
                )
        outcomes[attack] = by_hand(correct)
    return Made(folder, rows, {"best": outcomes})


def by_hand(correct: Mapping[Run, Sequence[int] | NDArray[np.bool_]]) -> Outcomes:
    """Return what is given as {(method, seed): which images are right}."""
    right = {run: np.array(of, dtype=bool) for run, of in correct.items()}
    images = len(next(iter(right.values())))
    rates = {run: 100 * float(of.mean()) for run, of in right.items()}
    return Outcomes(images, rates, np.arange(images), right)


def measurements(folder: Path, *, ratio: float, forgotten: float) -> None:
    """Write costs.csv and history.csv: V1 takes `ratio` of TRADES' time, forgets less by."""
    costs: list[dict[str, Any]] = []
    for seed in range(3):
        for method in TRAINED:
            own = method == "recycled"
            seconds = 1000.0 * (ratio if own else 1.0) * (1 + 0.01 * seed**2) + seed * own
            shared = {"method": method, "seed": seed}
            costs.append({**shared, "stage": "train", "seconds": seconds, "device": "H100"})
            costs.append({**shared, "stage": "evaluate", "seconds": 7.0, "device": "cpu"})
            rates = [0.5 + 0.01 * seed, 0.4 + own * (forgotten + 0.001 * seed)]
            write_history(folder, method, seed, [None, *rates])
    COSTS.write(Paths(folder).costs, from_rows(COSTS, costs))


def write_history(folder: Path, method: str, seed: int, rates: Sequence[float | None]) -> None:
    """Write the history of a run that forgot at these rates, one an epoch."""
    rows = [{"epoch": epoch, "forgetting_rate": rate} for epoch, rate in enumerate(rates, 1)]
    frame = pd.DataFrame(rows, columns=[*HISTORY.columns, "forgetting_rate"]).fillna(
        {name: 1 for name in HISTORY.columns}
    )
    path = Paths(folder).run(method, seed).history
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(path, index=False)


@cache
def repository_claims() -> Claims:
    return read_claims(CLAIMS, ())


class Verdicts(Mapping[str, Verdict]):
    """The verdict on each of the repository's claims, by id; decided when it is asked for."""

    def __init__(self, of: Made) -> None:
        self.of, known = of, repository_claims()
        self.methods, self.claims = known.methods, {claim.id: claim for claim in known.claims}

    def __getitem__(self, name: str) -> Verdict:
        return self.of.decide(self.claims[name], self.methods)

    def __iter__(self) -> Iterator[str]:
        return iter(self.claims)

    def __len__(self) -> int:
        return len(self.claims)

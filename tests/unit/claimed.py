"""Evidence as an experiment leaves it, with chosen accuracies, and the claims of the repository."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.analysis.claims.claim import Claims, read_claims
from bench.analysis.claims.results import Results
from bench.analysis.claims.rules import RULES, RuledClaim
from bench.analysis.claims.verdict import Judgement, judge
from bench.analysis.statistics.evidence import Evidence, Judged, Run
from bench.results.options import options_text

ROOT = Path(__file__).parents[2]
CLAIMS = ROOT / "config" / "claims.yaml"
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


def evidence(
    accuracies: Mapping[str, tuple[float, float]],
    folder: Path,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 10000,
    spread: float = 0.05,
    turned: float = 0.02,
    dataset: str = "cifar10",
    flags: str = "",
) -> Evidence:
    """Return evidence with these mean accuracies in percent.

    Seeds are `spread` points apart, and every seed finds other images difficult by `turned` of the
    whole range of difficulty. Images are difficult for all methods alike.
    """
    difficulty_N = np.random.default_rng(0).random(images)
    rows, judged = [], {}
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
                        "experiment": "test",
                        "dataset": dataset,
                        "model": "resnet18",
                        "method": method,
                        "seed": str(seed),
                        "checkpoint": "best",
                        "attack": attack,
                        "eps": "0" if attack == "clean" else "8/255",
                        "flags": ";".join(filter(None, (flags, OWN.get(method, "")))),
                        "base_method": base,
                        "options": options_text(base, options),
                    }
                )
        rates = {run: 100 * float(of_N.mean()) for run, of_N in correct.items()}
        judged[attack] = Judged(images, rates, np.arange(images), correct)
    return Evidence(folder, rows, {"best": judged})


def judged_by_hand(correct: Mapping[Run, Sequence[int] | NDArray[np.bool_]]) -> Judged:
    """Return what is given as {(method, seed): which images are right}."""
    verdicts = {run: np.array(of, dtype=bool) for run, of in correct.items()}
    images = len(next(iter(verdicts.values())))
    rates = {run: 100 * float(of.mean()) for run, of in verdicts.items()}
    return Judged(images, rates, np.arange(images), verdicts)


def measurements(folder: Path, *, ratio: float, forgotten: float) -> None:
    """Write costs.csv and history.csv: V1 takes `ratio` of TRADES' time, is fooled less by."""
    columns = ("method", "seed", "stage", "seconds", "device")
    lines = []
    for seed in range(3):
        for method in TRAINED:
            own = ratio if method == "recycled" else 1.0
            lines.append((method, seed, "train", 1000.0 * own * (1 + 0.01 * seed**2), "H100"))
            lines[-1] = (*lines[-1][:3], lines[-1][3] + seed * (method == "recycled"), "H100")
            lines.append((method, seed, "evaluate", 7.0, "cpu"))
            shares = [0.5 + 0.01 * seed, 0.4 + (0 if method != "recycled" else forgotten)]
            if method == "recycled":
                shares[1] += 0.001 * seed
            write(
                folder / "models" / method / f"seed{seed}" / "history.csv",
                ("epoch", "remembered_forgotten"),
                [(1, ""), *enumerate(shares, start=2)],
            )
    write(folder / "costs.csv", columns, lines)


def write(path: Path, header: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])


def repository_claims() -> Claims[RuledClaim]:
    return read_claims(CLAIMS, RULES, ())


def verdicts(of: Evidence) -> dict[str, Judgement]:
    """Return the verdict on each of the repository's claims, by id."""
    known = repository_claims()
    return {
        claim.id: judge(claim, Results(of, known.methods, claim.scope)) for claim in known.claims
    }

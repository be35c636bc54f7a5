"""claims.csv and tables/claims.md: every claim with what was measured and the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.claims.evidence import Evidence
from bench.analysis.claims.file import read_claims
from bench.analysis.claims.rules import Measured
from bench.analysis.claims.verdict import MEANINGS, Verdict, decide
from bench.analysis.sheets import NOT_MEASURED, Sheet, listed, with_images
from bench.analysis.statistics.crossed import LEVEL
from bench.analysis.statistics.outcomes import read_outcomes
from bench.analysis.statistics.table import BOTH, BOTH_MODERATED, SEEDS, SEEDS_MODERATED
from bench.results.columns import CLAIMS
from bench.results.experiment import ExperimentResults
from bench.results.tables import from_rows
from bench.results.text import eps_text
from bench.runtime.errors import ConfigError

MEASURED = ("estimate", "low", "high")
# By whether a claim is about other images too, and whether variances could be moderated.
INTERVALS = {
    (False, False): SEEDS,
    (False, True): SEEDS_MODERATED,
    (True, False): BOTH,
    (True, True): BOTH_MODERATED,
}


def claims_table(results: ExperimentResults, files: Iterable[Path]) -> pd.DataFrame:
    """Return claims.csv: the verdict on every claim of files such as config/claims/memloss.yaml.

    Raises
    ------
    BenchError
        Naming the key of the claims, or the file of results, that is wrong.
    """
    outcomes, attacks = read_outcomes(results), set(results.ours["attack"])
    rows: list[dict[str, Any]] = []
    for path in files:
        known = read_claims(path, attacks)
        for claim in known.claims:
            verdict = decide(claim, Evidence(results, outcomes, known.methods, claim.scope))
            if claim.id in {row["id"] for row in rows}:
                raise ConfigError(f"{path}: claims.{claim.id}: another file has this id; rename it")
            rows.append({**_row(verdict), "paper": known.paper, **_place(results, verdict)})
    return from_rows(CLAIMS, rows)


def claims_sheet(table: pd.DataFrame) -> Sheet:
    """Return the claims as readers see them."""
    if table.empty:
        note = "This experiment is held against the claims of no paper."
        body = pd.DataFrame(columns=["Claim", "Verdict"])
        return Sheet(name="claims", caption="What is claimed.", body=body, notes=[note])
    rows = table.to_dict("records")
    models = listed(model for cell in table["model"] for model in cell.split(";"))
    used = set(table["verdict"])
    written = (CLAIMS.columns[name].cells(table[name], table) for name in MEASURED)
    measured = [
        f"{value} [{f'{low}, {high}' if low else 'no interval'}]" if value else NOT_MEASURED
        for value, low, high in zip(*written, strict=True)
    ]
    images = ["" if pd.isna(n) else n for n in table["n_images"]]
    return Sheet(
        name="claims",
        caption=f"What is claimed, compared with {listed(table['dataset'])} ({models}).",
        body=pd.DataFrame(
            {
                "Claim": table["text"].tolist(),
                "Verdict": [": ".join(filter(None, (r["verdict"], r["detail"]))) for r in rows],
                "Claimed": table["claimed"].tolist(),
                **with_images({"Measured here [interval]": (measured, images)}),
            }
        ),
        notes=[
            *(f"{verdict}: {text}." for verdict, text in MEANINGS.items() if verdict in used),
            f"The intervals have {100 * LEVEL:g} %: those of orders of accuracies are over seeds "
            "and images, all others over seeds. Their kinds, sources, flags and counts are in "
            "claims.csv.",
        ],
    )


def _place(results: ExperimentResults, verdict: Verdict) -> dict[str, str]:
    """Return the images and networks of the methods that were compared, or else of all."""
    ours = results.ours
    about = ours[ours["method"].isin(verdict.labels)] if verdict.labels else ours
    return {name: ";".join(about[name].unique()) for name in ("dataset", "model")}


def _row(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    return {
        "id": claim.id,
        "verdict": verdict.verdict,
        "text": claim.text,
        "kind": claim.kind,
        "rule": claim.rule,
        "metric": claim.measures,
        "methods": ";".join(verdict.labels or claim.names),
        "claimed": claim.claimed,
        "about": claim.about or "",
        "worth": claim.worth,
        "interval": "",
        **_numbers(verdict.measured),
        "detail": verdict.detail,
        "flags": ";".join(verdict.flags),
        "stated_for": f"{claim.scope.dataset};{claim.scope.model};eps={eps_text(claim.scope.eps)}",
        "checkpoint": claim.scope.checkpoint,
        "source": claim.source,
    }


def _numbers(measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        return {}
    known = measured.low is not None
    return {
        "estimate": measured.value,
        "low": measured.low,
        "high": measured.high,
        "interval": INTERVALS[measured.images_too, measured.moderated] if known else "",
        "level": 100 * LEVEL if known else None,
        "n_seeds": measured.binding.seeds,
        "n_images": measured.binding.images or None,
    }

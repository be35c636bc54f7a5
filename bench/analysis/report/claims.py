"""The claims with their verdicts, as a table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.claims.verdict import (
    INCONCLUSIVE,
    MEANINGS,
    NOT_OBSERVED,
    NOT_REPRODUCED,
    NOT_RUN,
    OBSERVED,
    REPRODUCED,
)
from bench.analysis.plots.caption import joined
from bench.analysis.plots.context import Context
from bench.analysis.report.grid import (
    ABSENT,
    MINUS,
    Cell,
    Column,
    Filter,
    Grid,
    between,
    flag_marks,
    known,
    make_grid,
    plain,
    whole,
)
from bench.analysis.report.tables import method_names
from bench.analysis.statistics.table import BOTH, SEEDS

SIGNS = {
    REPRODUCED: "✓",
    OBSERVED: "✓",
    NOT_REPRODUCED: "✗",
    NOT_OBSERVED: "✗",
    INCONCLUSIVE: "?",
    NOT_RUN: "·",
}
OVER = {BOTH: "over seeds and images", SEEDS: "over seeds, these images"}


def verdict_order(verdict: str) -> int:
    """Return the place of a verdict: what is decided comes first."""
    order = list(MEANINGS)
    return order.index(verdict) if verdict in order else len(order)


def claims_grid(context: Context, claims: pd.DataFrame) -> Grid:
    """Return every claim with its verdict and what decided it."""
    names, counts = method_names(context), claims["verdict"].value_counts().to_dict()
    sources = {source: f"s{i}" for i, source in enumerate(claims["source"].unique(), 1)}

    def verdict(row: Any) -> Cell:
        return Cell(
            f"{SIGNS.get(row.verdict, '·')} {row.verdict}",
            verdict_order(row.verdict),
            title=MEANINGS.get(row.verdict, ""),
            style=f"verdict {row.verdict.replace(' ', '-')}",
            below=row.detail,
        )

    def measured(row: Any) -> Cell:
        if not known(row.estimate):
            return Cell(ABSENT, marks=flag_marks(row.flags))
        of_images = row.interval == BOTH or known(row.n_images)
        over = OVER.get(row.interval, "") if of_images else "over seeds"
        about = f"{between(row.low, row.high) or 'no interval'} {over}".strip()
        return Cell(
            plain(row.estimate), float(row.estimate), below=about, marks=flag_marks(row.flags)
        )

    ordered = claims.sort_values("verdict", key=lambda c: c.map(verdict_order), kind="stable")
    return make_grid(
        ordered,
        "claims",
        "What is claimed, what was measured here with its 95 % interval (of several intervals, "
        "that of all together), and the verdict.",
        [
            Column("Claim", lambda row: f"{row.text} [{sources[row.source]}]"),
            Column("Verdict", verdict),
            Column("Claimed", lambda row: row.claimed.replace("-", MINUS)),
            Column("Measured here", measured, numeric=True),
            Column("Methods", lambda row: joined(names.get(m, m) for m in row.methods.split(";"))),
            Column("Seeds", lambda row: whole(row.n_seeds), numeric=True),
            Column("Images", lambda row: whole(row.n_images), numeric=True),
        ],
        [Filter("verdict", "Verdict", {v: f"{v} ({count})" for v, count in counts.items()})],
        [
            *(f"{name}: {said}." for name, said in MEANINGS.items() if name in counts),
            "docs/claims.md says how a verdict is reached; a wide interval never supports a claim.",
            *(f"[{mark}] {source}" for source, mark in sources.items()),
        ],
    )

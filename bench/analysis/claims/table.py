"""claims.csv and tables/claims.md: every claim with what was measured and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.claims.claim import read_claims
from bench.analysis.claims.results import Results, check_labels
from bench.analysis.claims.rules import RULES, Measured
from bench.analysis.claims.verdict import MEANINGS, Judgement, judge
from bench.analysis.image_counts import Counts
from bench.analysis.labels import eps_text
from bench.analysis.statistics.crossed import LEVEL
from bench.analysis.statistics.evidence import Evidence, read_evidence
from bench.analysis.statistics.table import BOTH, SEEDS
from bench.analysis.summary import to_csv
from bench.analysis.table_formats import Sheet, markdown
from bench.analysis.table_notes import NOT_MEASURED
from bench.results.csv_file import decimal
from bench.runtime.errors import ConfigError
from bench.runtime.files import write_text

MEASURED = "Measured here [interval]"


@dataclass(frozen=True)
class Line:
    """One line of claims.csv, in the order of its columns; docs/claims.md describes them."""

    id: str
    verdict: str
    text: str
    kind: str
    rule: str
    metric: str
    methods: str
    claimed: str
    estimate: float | None
    low: float | None
    high: float | None
    interval: str
    level: float | None
    n_seeds: int | None
    n_images: int | None
    detail: str
    flags: str
    dataset: str
    model: str
    stated_for: str
    checkpoint: str
    source: str


def make_claims(folder: Path, claims: Path) -> None:
    """Write claims.csv and tables/claims.md of the experiment in `folder`.

    Parameters
    ----------
    claims
        The file of claims, such as config/claims.yaml.

    Raises
    ------
    BenchError
        Naming the key of the claims, or the file of results, that is wrong.
    """
    evidence = read_evidence(folder)
    judgements = judged_claims(evidence, claims)
    lines = [_line(judgement, evidence) for judgement in judgements]
    table = to_csv(Line, ([_cell(value) for value in vars(line).values()] for line in lines))
    shown = markdown(_sheet(lines))
    write_text(folder / "claims.csv", table)
    write_text(folder / "tables" / "claims.md", shown)


def judged_claims(evidence: Evidence, claims: Path) -> list[Judgement]:
    """Return the verdict on every claim of the file, in its order."""
    attacks = {attack for judged in evidence.judged.values() for attack in judged}
    known = read_claims(claims, RULES, attacks)
    try:
        check_labels(evidence, known.methods)
    except ConfigError as error:
        raise ConfigError(f"{claims}: {error}") from None
    return [judge(claim, Results(evidence, known.methods, claim.scope)) for claim in known.claims]


def _line(judgement: Judgement, evidence: Evidence) -> Line:
    claim = judgement.claim
    return Line(
        id=claim.id,
        verdict=judgement.verdict,
        text=claim.text,
        kind=claim.kind,
        rule=claim.rule,
        metric=str(getattr(claim, "metric", getattr(claim, "column", "seconds"))),
        methods=";".join(judgement.labels or claim.names),
        claimed=claim.claimed,
        **_numbers(judgement.measured),
        detail=judgement.detail,
        flags=";".join(judgement.flags),
        dataset=evidence.rows[0]["dataset"],
        model=evidence.rows[0]["model"],
        stated_for=f"{claim.scope.dataset};{claim.scope.model};eps={eps_text(claim.scope.eps)}",
        checkpoint=claim.scope.checkpoint,
        source=claim.source,
    )


def _numbers(measured: Measured | None) -> dict[str, Any]:
    if measured is None:
        names = ("estimate", "low", "high", "level", "n_seeds", "n_images")
        return {"interval": "", **dict.fromkeys(names)}
    known = measured.low is not None
    return {
        "estimate": measured.value,
        "low": measured.low,
        "high": measured.high,
        "interval": (BOTH if measured.images_too else SEEDS) if known else "",
        "level": 100 * measured.level if known else None,
        "n_seeds": measured.binding.seeds,
        "n_images": measured.binding.images or None,
    }


def _sheet(lines: Sequence[Line]) -> Sheet:
    first = lines[0]
    used = {line.verdict for line in lines}
    counts = Counts({MEASURED: [str(line.n_images) for line in lines if line.n_images]})
    return Sheet(
        name="claims",
        caption=f"What is claimed, held against {first.dataset} ({first.model}).",
        header=["Claim", "Verdict", "Claimed", MEASURED],
        body=[
            [
                line.text,
                ": ".join(filter(None, (line.verdict, line.detail))),
                line.claimed,
                _measured(line, counts),
            ]
            for line in lines
        ],
        notes=[
            *(f"{verdict}: {text}." for verdict, text in MEANINGS.items() if verdict in used),
            f"The intervals have {100 * LEVEL:g} %, together where there are several: those of "
            "orders of accuracies are over seeds and images, all others over seeds. Sources, flags "
            "and counts are in claims.csv.",
        ],
    )


def _measured(line: Line, counts: Counts) -> str:
    if line.estimate is None:
        return NOT_MEASURED
    n = counts.cell(MEASURED, str(line.n_images)) if line.n_images else ""
    if line.low is None or line.high is None:
        return f"{decimal(line.estimate)} [no interval]{n}"
    return f"{decimal(line.estimate)} [{decimal(line.low)}, {decimal(line.high)}]{n}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return decimal(value) if isinstance(value, float) else str(value)

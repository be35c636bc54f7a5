"""The claims with their verdicts, as a table and as the answer in one paragraph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from bench.analysis.claims.verdict import (
    INCONCLUSIVE,
    MEANINGS,
    NOT_OBSERVED,
    NOT_REPRODUCED,
    NOT_RUN,
    OBSERVED,
    REPRODUCED,
)
from bench.analysis.figures.caption import DATASETS, MODELS, images, joined
from bench.analysis.figures.known import Known
from bench.analysis.figures.points import NOT_ATTACKS, means
from bench.analysis.flag_meanings import meaning
from bench.analysis.labels import eps_text
from bench.analysis.report.flags import flags_of, marks
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Choice,
    Column,
    Grid,
    Line,
    between,
    plain,
)
from bench.analysis.report.material import Material, Rows
from bench.analysis.report.numbers import optional
from bench.analysis.robust import under
from bench.analysis.statistics.table import BOTH, SEEDS
from bench.results.flags import OTHER_IMAGES

SIGNS = {
    REPRODUCED: "✓",
    OBSERVED: "✓",
    NOT_REPRODUCED: "✗",
    NOT_OBSERVED: "✗",
    INCONCLUSIVE: "?",
    NOT_RUN: "·",
}
OVER = {BOTH: "over seeds and images", SEEDS: "over seeds, these images"}
OPENINGS = {
    REPRODUCED: "Reproduced",
    NOT_REPRODUCED: "Not reproduced",
    OBSERVED: "Observed here",
    NOT_OBSERVED: "Not observed here",
}
TOLD = 3  # claims of a verdict that the answer quotes
MEMORY = "memloss"


def claims_grid(rows: Rows, known: Known, path: Path) -> Grid:
    """Return every claim with its verdict and what decided it."""
    sources: dict[str, str] = {}
    lines = []
    for row in sorted(rows, key=lambda row: _place(row["verdict"])):
        low, high = optional(row, "low", path), optional(row, "high", path)
        value = optional(row, "estimate", path)
        measured = ABSENT if value is None else plain(value)
        about = f"{between(low, high) or 'no interval'} {_about(row)}"
        verdict = row["verdict"]
        mark = sources.setdefault(row["source"], f"s{len(sources) + 1}")
        lines.append(
            Line(
                [
                    Cell(f"{row['text']} [{mark}]"),
                    Cell(
                        f"{SIGNS.get(verdict, '·')} {verdict}",
                        _place(verdict),
                        title=MEANINGS.get(verdict, ""),
                        style=f"verdict {verdict.replace(' ', '-')}",
                        below=row["detail"],
                    ),
                    Cell(row["claimed"].replace("-", "−")),
                    Cell(
                        measured,
                        "" if value is None else value,
                        below="" if value is None else about.strip(),
                        marks=marks(row),
                    ),
                    Cell(joined(known.names.get(name, name) for name in row["methods"].split(";"))),
                    Cell(row["n_seeds"] or ABSENT, row["n_seeds"]),
                    Cell(row["n_images"] or ABSENT, row["n_images"]),
                ],
                {"verdict": verdict},
            )
        )
    counts = Counter(row["verdict"] for row in rows)
    return Grid(
        name="claims",
        caption="What is claimed, what was measured here with its 95 % interval (of several "
        "intervals, that of all together), and the verdict.",
        columns=[
            Column("Claim"),
            Column("Verdict"),
            Column("Claimed"),
            Column("Measured here", numeric=True),
            Column("Methods"),
            Column("Seeds", numeric=True),
            Column("Images", numeric=True),
        ],
        lines=lines,
        filters=[
            Choice(
                "verdict",
                "Verdict",
                {name: f"{name} ({counts[name]})" for name in (*MEANINGS, *counts) if counts[name]},
            )
        ],
        notes=[
            *(f"{name}: {said}." for name, said in MEANINGS.items() if counts[name]),
            "docs/claims.md says how a verdict is reached; a wide interval never speaks for a "
            "claim.",
            *(f"[{mark}] {source}" for source, mark in sources.items()),
        ],
    )


def _about(row: Mapping[str, str]) -> str:
    """Return what the interval of a claim speaks of."""
    of_images = row["interval"] == BOTH or row["n_images"]
    return OVER.get(row["interval"], "") if of_images else "over seeds"


def answer(material: Material, known: Known, attack: str, path: Path) -> list[str]:
    """Return the sentences at the head of the page: what the run decides, and what it is."""
    rows, seeds = material.rows, sorted({row.seed for row in material.rows})
    models = joined(MODELS.get(row.model, row.model) for row in rows)
    datasets = joined(DATASETS.get(row.dataset, row.dataset) for row in rows)
    said = ["No claim was held against these results, so there are numbers here and no verdict."]
    if material.claims is not None:
        said = _decided(material.claims)
        said += _elsewhere(material.claims, material)
    said += _balance(material, known, attack, path)
    runs = {(row.method, row.seed) for row in rows}
    judged = {(row.method, row.seed) for row in rows if row.attack == attack}
    which = "each network" if judged == runs else f"{len(judged)} of {len(runs)} networks"
    said.append(
        f"What was run: {_counted(len(known.order), 'method')} on {datasets} ({models}) with "
        f"{_counted(len(seeds), 'seed')} ({joined(seeds)}), {which} judged by "
        f"{under(attack)} on {images(rows, attack)} test images, L∞ ε = {_radii(material)}."
    )
    if len(seeds) == 1:
        said.append("With one seed there is no interval that speaks of another training.")
    flags = dict.fromkeys(flag for row in material.summary for flag in flags_of(row))
    if flags:
        said.append(
            "Rows below carry flags: "
            + "; ".join(f"{flag} ({meaning(flag)})" for flag in flags)
            + "."
        )
    return [_unbroken(sentence) for sentence in said]


def _decided(claims: Rows) -> list[str]:
    counts = Counter(row["verdict"] for row in claims)
    names = [*MEANINGS, *(name for name in counts if name not in MEANINGS)]
    told = ", ".join(f"{counts[name]} {name}" for name in names if counts[name])
    decided = sum(counts[verdict] for verdict in OPENINGS)
    said = [f"Of {_counted(len(claims), 'claim')} this run decides {decided or 'none'}: {told}."]
    for verdict, opening in OPENINGS.items():
        texts = [row["text"] for row in claims if row["verdict"] == verdict]
        if texts:
            more = f"; and {len(texts) - TOLD} more" if len(texts) > TOLD else ""
            said.append(f"{opening}: {'; '.join(texts[:TOLD])}{more}.")
    return said


def _elsewhere(claims: Rows, material: Material) -> list[str]:
    """Return the warning that these are not the claims' data; none where they are."""
    stated = {row["stated_for"] for row in claims}
    first = material.rows[0]
    name = DATASETS.get(first.dataset, first.dataset)
    if any(OTHER_IMAGES in flags_of(row) for row in material.ours):
        return [
            f"The images here are called {name} and are not shown to be the published ones: none "
            "of the claims' numbers can be reproduced or refuted here."
        ]
    here = {f"{first.dataset};{first.model};eps={_radii(material)}"}
    if stated & here:
        return []
    places = []
    for place in sorted(stated):
        dataset, model, eps = [*place.split(";"), "", ""][:3]
        name = DATASETS.get(dataset, dataset)
        places.append(f"{name} ({MODELS.get(model, model)}, ε = {eps.removeprefix('eps=')})")
    return [
        f"These are not the data that the claims are about, which are stated for {joined(places)}: "
        "none of their numbers can be reproduced or refuted here, and an order can only be "
        "observed or not."
    ]


def _balance(material: Material, known: Known, attack: str, path: Path) -> list[str]:
    """Return how the best method with a memory compares with the best without."""
    bases = {row.method: row.base_method or row.method for row in material.rows}
    merits = _harmonic_means(material, attack, path)
    groups: tuple[list[str], list[str]] = ([], [])
    for method in known.order:
        if method in merits:
            groups[not bases[method].startswith(MEMORY)].append(method)
    if not all(groups):
        return []
    ours, theirs = (max(group, key=lambda method: merits[method]) for group in groups)
    text = (
        f"By the harmonic mean of clean accuracy and that under {under(attack)} the best method "
        f"with a memory is here {known.names[ours]} ({plain(merits[ours], 1)} %), and the best "
        f"without a memory is {known.names[theirs]} ({plain(merits[theirs], 1)} %): a difference "
        f"of {plain(merits[ours] - merits[theirs], 1)} points"
    )
    bounds = _bounds(material.statistics or (), attack, ours, theirs, path)
    if bounds is None:
        return [f"{text}; how far it may be trusted is not known."]
    low, high = bounds
    zero = "which includes zero" if low <= 0 <= high else "which leaves out zero"
    return [
        f"{text}, with a 95 % interval {between(low, high, 1)} over seeds and images, {zero} "
        "(these two were chosen for being best, which flatters both)."
    ]


def _harmonic_means(material: Material, attack: str, path: Path) -> dict[str, float]:
    """Return what statistics.csv has at `best`, on common images; else that of the two means."""
    if material.statistics is None:
        return {
            mean.method: 2 * mean.clean * mean.robust / max(mean.clean + mean.robust, 1e-9)
            for mean in means(material.rows, attack)
        }
    found: dict[str, float] = {}
    for row in material.statistics:
        if (row["quantity"], row["checkpoint"], row["attack"]) == ("harmonic_mean", "best", attack):
            value = optional(row, "estimate", path)
            found |= {} if value is None else {row["method"]: value}
    return found


def _bounds(
    rows: Rows, attack: str, one: str, other: str, path: Path
) -> tuple[float, float] | None:
    """Return the interval of one's harmonic mean minus the other's, over seeds and images."""
    for row in rows:
        wanted = (row["quantity"], row["interval"], row["checkpoint"], row["attack"])
        if wanted != ("harmonic_mean_difference", BOTH, "best", attack):
            continue
        low, high = optional(row, "low", path), optional(row, "high", path)
        if low is None or high is None:
            continue
        if (row["method"], row["against"]) == (one, other):
            return low, high
        if (row["method"], row["against"]) == (other, one):
            return -high, -low
    return None


def _radii(material: Material) -> str:
    radii = sorted({row.eps for row in material.rows if row.attack not in NOT_ATTACKS})
    return joined(map(eps_text, radii))


def _place(verdict: str) -> int:
    """Return the place of a verdict: what is decided comes first."""
    order = list(MEANINGS)
    return order.index(verdict) if verdict in order else len(order)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _unbroken(text: str) -> str:
    """Return text whose numbers stay on a line with their units."""
    return text.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")

"""Whether the seeds and images of a config can decide its claims, before anything runs.

Variances between seeds are drawn as so many seeds would estimate them, and the rest is normal
theory. The truth is taken to be what the paper prints; of a gain that it is none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from bench.analysis.claims.claim import HARMONIC
from bench.analysis.claims.file import Claims, read_claims
from bench.analysis.claims.rules import FRONT, Design, RuledClaim
from bench.analysis.statistics.crossed import LEVEL, simultaneous
from bench.analysis.statistics.moderated import LEAST_METHODS, LEAST_SEEDS, Moderated, moderate
from bench.analysis.statistics.table import BOTH, SEEDS
from bench.config.experiment import Experiment
from bench.planning.text import hours, table
from bench.results.columns import STATISTICS, SUMMARY
from bench.results.options import options_text
from bench.results.paths import Paths
from bench.results.text import eps_text

Floats = NDArray[np.float64]
TRIED = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50)  # seeds; more are not affordable
WANTED = (0.8, 0.9)
DRAWS = 300
GAPS = np.arange(0.05, 20.0, 0.05)  # points


@dataclass(frozen=True)
class Spread:
    """Standard deviations of a metric, in percentage points.

    `seeds` is that of one method between its seeds, `images` that of the difference of two methods
    between images, beside what seeds add.
    """

    seeds: float
    images: float
    measured: bool


# Between seeds: ResNet-18 on CIFAR-10, 0.22 under AutoAttack in logs of 21 methods with three seeds
# each, about 0.2 clean; the others follow by the delta method at 84 and 49 %. Between images: two
# methods are taken to differ on 2 % of them, which is ours.
PUBLISHED = {
    "clean": Spread(0.20, 14.0, measured=False),
    "autoattack": Spread(0.22, 14.0, measured=False),
    HARMONIC: Spread(0.18, 12.0, measured=False),
    FRONT: Spread(0.15, 10.0, measured=False),
}


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a design can do about a claim.

    `labels` are the methods that it needs and `gap` how far the assumed truth is from what would
    be wrong, in points. `chance` is that of a decision with the seeds of the config, and `seeds`
    the least for each chance of `WANTED`; None: none of those tried. `least` is the smallest gap
    that the seeds of the config decide with the first of them. Where `reason` is given nothing
    else is known.
    """

    claim: str
    labels: tuple[str, ...] = ()
    gap: float | None = None
    chance: float | None = None
    seeds: tuple[int | None, ...] = ()
    least: float | None = None
    measured: bool = False
    more_images: bool = False
    reason: str = ""


@dataclass(frozen=True)
class _Question:
    """A claim as numbers: the spread, how many methods and comparisons, and which interval."""

    spread: Spread
    methods: int
    images: int | None
    level: float
    within: bool

    def chance(self, gap: Floats | float, variances: _Variances, seeds: int) -> Floats:
        """Return the chance of a decision by gap [G]."""
        of_seeds_D = self.spread.seeds**2 * variances.total[self.methods] / seeds
        of_images = 0.0 if self.images is None else self.spread.images**2 / self.images
        error_D = np.sqrt(of_seeds_D + of_images)
        df_D = error_D**4 / (
            of_seeds_D**2 / variances.df[self.methods]
            + (0.0 if self.images is None else of_images**2 / (self.images - 1))
        )
        half_D = special.stdtrit(df_D, (1 + self.level) / 2) * error_D
        sd = math.sqrt(self.methods * self.spread.seeds**2 / seeds + of_images)
        room_GD = (np.atleast_1d(gap)[:, None] - half_D) / sd
        chance_GD = special.ndtr(room_GD)
        if self.within:
            chance_GD = np.maximum(2 * chance_GD - 1, 0.0)
        found: Floats = chance_GD.mean(axis=1)
        return found


@dataclass(frozen=True)
class _Variances:
    """Variances [D] of one method and of the difference of two, of true variances 1 and 2."""

    total: Mapping[int, Floats]
    df: Mapping[int, Floats]


def outlooks(
    experiment: Experiment, files: Iterable[Path], results: Path, test_images: int
) -> list[Outlook]:
    """Return what the config's seeds and images can do about each claim of `files`.

    Spreads are those of finished runs in folders of `results` with the same images, network and
    radius, else published ones.
    """
    draw = np.random.default_rng(0)
    methods = len(experiment.methods)
    tried = sorted({*TRIED, *(n for n in [len(experiment.seeds)] if n > 1)})
    variances = {seeds: _variances(methods, seeds, draw) for seeds in tried}
    attacks = [*experiment.evaluation.pgd, *experiment.evaluation.attacks]
    found = []
    for path in files:
        known = read_claims(path, attacks)
        for claim in known.claims:
            spreads = measured_spreads(experiment, results, claim.scope.checkpoint)
            found.append(_outlook(experiment, known, claim, spreads, variances, test_images))
    return found


def measured_spreads(experiment: Experiment, results: Path, checkpoint: str) -> dict[str, Spread]:
    """Return the spreads in the statistics of experiments like this one, by metric."""
    rows = pd.concat([pd.DataFrame(), *_like(experiment, results)])
    if rows.empty:
        return {}
    rows = rows[(rows["checkpoint"] == checkpoint) & (rows["n_seeds"] > 1)]
    found = {}
    for attack in dict.fromkeys(rows["attack"]):
        of = rows[rows["attack"] == attack]
        named = {attack: ("accuracy", "accuracy_difference")}
        if attack != "clean":
            named |= {
                HARMONIC: ("harmonic_mean", "harmonic_mean_difference"),
                FRONT: (FRONT, FRONT),
            }
        for metric, (quantity, difference) in named.items():
            own = of[(of["quantity"] == quantity) & (of["interval"] == SEEDS)]
            pairs = of[(of["quantity"] == difference) & (of["interval"] == BOTH)].dropna(
                subset=["standard_error"]
            )
            if own.empty or pairs.empty:
                continue
            # The error over both is (seeds' variance) / S + (images' variance) / N.
            images = pairs["standard_error"] ** 2 - pairs["std"] ** 2 / pairs["n_seeds"]
            between = math.sqrt((own["std"] ** 2).mean() / (2 if metric == FRONT else 1))
            over = math.sqrt((images.clip(lower=0) * pairs["n_images"]).mean())
            found[metric] = Spread(between, over, measured=True)
    return found


def _like(experiment: Experiment, results: Path) -> Iterable[pd.DataFrame]:
    models = {model.label for model in experiment.models}
    for folder in sorted(results.iterdir()) if results.is_dir() else ():
        paths = Paths(folder)
        if not (paths.statistics.is_file() and paths.summary.is_file()):
            continue
        found, summary = STATISTICS.read(paths.statistics), SUMMARY.read(paths.summary)
        radii = set(summary.loc[summary["attack"] != "clean", "eps"].map(eps_text))
        if radii <= {eps_text(experiment.threat.eps)}:
            yield found[(found["dataset"] == experiment.data.name) & found["model"].isin(models)]


def _outlook(
    experiment: Experiment,
    known: Claims,
    claim: RuledClaim,
    spreads: Mapping[str, Spread],
    variances: Mapping[int, _Variances],
    test_images: int,
) -> Outlook:
    if claim.design is None:
        text = f"no spread of {claim.measures} is known beforehand"
        return Outlook(claim=claim.id, reason=text)
    labels, reason = _labels(experiment, known, claim)
    counts = {attack: _images(experiment, attack, test_images) for attack in claim.attacks}
    missing = [attack for attack, n in counts.items() if n is None]
    if missing:
        reason = reason or f"not run: {', '.join(missing)} is not in `evaluation`"
    images = min((n for n in counts.values() if n is not None), default=test_images)
    if claim.kind == "number" and not reason:
        here = (experiment.data.name, eps_text(experiment.threat.eps), images)
        if here != (claim.scope.dataset, eps_text(claim.scope.eps), test_images):
            reason = "not run: a number of other images or of another radius"
    if reason:
        return Outlook(claim=claim.id, labels=labels, reason=reason)
    question, gap = _question(claim, claim.design, spreads, images)
    now = len(experiment.seeds)
    if now not in variances:
        return Outlook(claim=claim.id, labels=labels, reason="one seed decides nothing")
    chances = question.chance(GAPS, variances[now], now)
    enough = GAPS[chances >= WANTED[0]]
    least = float(enough[0]) if len(enough) else None
    if gap is None:
        measured = question.spread.measured
        return Outlook(claim=claim.id, labels=labels, least=least, measured=measured)
    by_seeds = {n: float(question.chance(gap, of, n)[0]) for n, of in variances.items()}
    z = special.ndtri((1 + question.level) / 2) + special.ndtri(WANTED[0])
    short = question.images is not None and z * question.spread.images > gap * math.sqrt(images)
    return Outlook(
        claim=claim.id,
        labels=labels,
        gap=gap,
        chance=by_seeds[now],
        seeds=tuple(
            next((n for n, p in by_seeds.items() if p >= wanted), None) for wanted in WANTED
        ),
        least=least,
        measured=question.spread.measured,
        more_images=short,
    )


def _question(
    claim: RuledClaim, design: Design, spreads: Mapping[str, Spread], images: int
) -> tuple[_Question, float | None]:
    """Return a claim as numbers, and how far the assumed truth is from an end; None: unknown."""
    # Other attacks are taken to spread as AutoAttack does.
    usual = PUBLISHED.get(design.metric, PUBLISHED["autoattack"])
    of_one = spreads.get(design.metric, usual)
    several = math.sqrt(design.checkpoints)
    spread = Spread(several * of_one.seeds, several * of_one.images, of_one.measured)
    gap, level = None, LEVEL
    if claim.worth is not None and claim.above is not None:
        gap, level = claim.worth - claim.above, simultaneous(design.compared)
    elif claim.margin is not None:
        gap = claim.margin
    elif claim.printed is not None:
        gap = min(abs(claim.printed - end) for end in claim.region.ends)
    question = _Question(
        spread=spread,
        methods=design.methods,
        images=images if claim.images_too else None,
        level=level,
        within=claim.margin is not None,
    )
    return question, gap


def _labels(
    experiment: Experiment, known: Claims, claim: RuledClaim
) -> tuple[tuple[str, ...], str]:
    """Return the config's labels of a claim's methods, or what is missing."""
    labels = []
    for name in claim.names:
        trained = known.methods[name]
        fitting = [
            method.label
            for method in experiment.methods
            if (method.name, options_text(method.name, method.options))
            == (trained.method, trained.options)
            and trained.label in (None, method.label)
        ]
        if not fitting:
            return (), f"not run: {trained} is not among the methods"
        labels.append(fitting[0])
    return tuple(labels), ""


def _images(experiment: Experiment, attack: str, test_images: int) -> int | None:
    """Return on how many images an attack is run; None where it is not."""
    evaluation = experiment.evaluation
    if attack == "clean":
        return test_images
    asked = (
        evaluation.autoattack
        if attack == "autoattack"
        else evaluation.pgd.get(attack) or evaluation.attacks.get(attack)
    )
    return None if asked is None else asked.images or test_images


def _variances(methods: int, seeds: int, draw: np.random.Generator) -> _Variances:
    """Return variances as so many seeds of so many like methods would estimate them."""
    df = seeds - 1
    drawn_DM = draw.chisquare(df, size=(DRAWS, methods)) / df
    enough = methods >= LEAST_METHODS and seeds >= LEAST_SEEDS
    total: dict[int, list[float]] = {1: [], 2: []}
    known: dict[int, list[float]] = {1: [], 2: []}
    for one_M in drawn_DM:
        of = moderate(one_M, df) if enough else None
        for count in (1, 2):
            variance, degrees = _of_methods(of, count) if of else (count * one_M[0], df)
            total[count].append(variance)
            known[count].append(degrees)
    return _Variances(
        {count: np.array(of) for count, of in total.items()},
        {count: np.array(of) for count, of in known.items()},
    )


def _of_methods(of: Moderated, count: int) -> tuple[float, float]:
    """Return the variance of the first methods together and its degrees of freedom."""
    parts = of.variance[:count]
    df = float(parts.sum() ** 2 / (parts**2 / of.df[:count]).sum())
    return float(parts.sum()), min(df, of.most_df)


def as_text(found: Sequence[Outlook], seeds: int, seconds: Mapping[str, float | None]) -> str:
    """Return the outlooks as a table; `seconds` are those of one seed of each method."""
    rows, notes = [], []
    for one in found:
        if one.reason:
            notes.append(f"{one.claim}: {one.reason}")
            continue
        each = [seconds.get(label) for label in one.labels]
        known = sum(s for s in each if s is not None) if None not in each else None
        wanted = [
            "none" if n is None else f"{n} ({hours(known and n * known)} h)" for n in one.seeds
        ] or ["", ""]
        if one.gap is not None and one.seeds[0] is None:
            more = "; more images are needed" if one.more_images else ""
            notes.append(f"{one.claim}: no affordable design decides it{more}")
        rows.append(
            [
                one.claim,
                "not printed" if one.gap is None else f"{one.gap:.2f}",
                "" if one.chance is None else f"{100 * one.chance:.0f} %",
                *wanted,
                "" if one.least is None else f"{one.least:.2f}",
                "measured" if one.measured else "published",
            ]
        )
    heads = [
        "claim",
        "gap",
        f"{seeds} seeds",
        "seeds for 80 %",
        "for 90 %",
        "decided gap",
        "spreads",
    ]
    return "\n".join(
        [
            "claims: chance of a decision if what the paper prints is true, or if there is no gain",
            "",
            *table(heads, rows),
            "",
            "gap: points between that truth and what would be wrong; decided gap: the least that "
            f"{seeds} seeds decide with 80 %; h: device hours of the claim's methods",
            *notes,
        ]
    )

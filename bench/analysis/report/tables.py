"""The tables of numbers: comparison, every row of summary.csv, statistics.csv and costs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.analysis.image_counts import Counts
from bench.analysis.names import attack_name
from bench.analysis.plots.context import Context
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Column,
    Filter,
    Grid,
    between,
    flag_marks,
    known,
    make_grid,
    number,
    plain,
    signed,
    whole,
)
from bench.analysis.statistics.table import BOTH, IMAGES, SEEDS, WILSON
from bench.results.order import attack_order, checkpoint_order
from bench.results.text import eps_text

QUANTITIES = {
    "accuracy": "accuracy",
    "accuracy_difference": "difference in accuracy",
    "harmonic_mean": "harmonic mean with clean accuracy",
    "harmonic_mean_difference": "difference in harmonic mean",
    "front_distance": "distance to the hull of the others",
}
INTERVALS = {
    BOTH: ("Other seeds and images", "crossed_t: the one that tells which method is better"),
    SEEDS: ("Other seeds, these images", "seeds_t"),
    IMAGES: ("These models, other images", "images_wilson or images_t"),
}


def method_names(context: Context) -> dict[str, str]:
    """Return the names of our methods by label."""
    return {label: shown.name for label, shown in context.methods.items()}


def attack_names(frame: pd.DataFrame) -> dict[str, str]:
    """Return the names of the attacks of a frame."""
    return {attack: attack_name(attack) for attack in frame["attack"].unique()}


def comparison_grid(context: Context, frame: pd.DataFrame) -> Grid:
    """Return means over seeds, beside reported numbers."""
    order = list(context.displays)
    frame = frame.sort_values(
        ["label", "checkpoint"],
        key=lambda column: column.map(
            (lambda label: order.index(label) if label in order else len(order))
            if column.name == "label"
            else checkpoint_order
        ),
        kind="stable",
    )
    suffix = "_mean"
    attacks = [name.removesuffix(suffix) for name in frame if str(name).endswith(suffix)]
    attacks = [attack for attack in attacks if frame[f"{attack}{suffix}"].notna().any()]
    attacks.sort(key=attack_order)
    sources: dict[str, str] = {}
    counts = Counts({a: frame[f"{a}_n"].dropna().astype(str).tolist() for a in attacks})
    columns = [
        Column("Method", lambda row: Cell(str(row.name))),
        Column("Checkpoint", lambda row: Cell(str(row.checkpoint))),
        Column("Seeds", lambda row: whole(row.seeds or None), numeric=True),
    ]
    columns += [
        Column(
            f"{attack_name(attack)}, %{counts.heading(attack)}",
            _Measured(attack, counts, sources),
            numeric=True,
        )
        for attack in attacks
    ]
    grid = make_grid(
        frame,
        "comparison",
        "Accuracy: mean ± sample standard deviation over seeds, and what others report.",
        columns,
        [Filter("checkpoint", "Checkpoint")],
    )
    # The sources are numbered while the cells are made.
    told = [f"[{sign}] {source}" for source, sign in sources.items()]
    said = ["Reported numbers were not measured here; the difference is ours minus reported."]
    notes = [
        *_images(frame, attacks),
        f"Radius of the attacks (L∞, pixels in [0, 1]): "
        f"{', '.join(map(eps_text, context.radii)) or 'none'}.",
        "The worst case counts an image as robust only if no attack broke it.",
        f"{ABSENT}: not measured, or not reported.",
        *(said if told else ()),
        *told,
    ]
    return Grid(grid.name, grid.caption, grid.columns, grid.rows, grid.filters, notes)


class _Measured:
    """Makes the cell of an attack: the mean, and what is reported."""

    def __init__(self, attack: str, counts: Counts, sources: dict[str, str]) -> None:
        self.attack, self.counts, self.sources = attack, counts, sources

    def __call__(self, row: Any) -> Cell:
        mean, std, n = (getattr(row, f"{self.attack}_{what}") for what in ("mean", "std", "n"))
        if not known(mean):
            return Cell(ABSENT)
        text = plain(mean) + (f" ± {plain(std)}" if known(std) else "")
        below = [f"{n} images"] if self.counts.cell(self.attack, str(n)) else []
        reported = getattr(row, f"{self.attack}_reported", None)
        if known(reported):
            source = str(getattr(row, f"{self.attack}_source"))
            sign = self.sources.setdefault(source, f"r{len(self.sources) + 1}")
            difference = signed(getattr(row, f"{self.attack}_difference"))
            below.append(f"reported {plain(float(reported or 0))} [{sign}], {difference}")
        return Cell(text, float(mean), title=f"{n} images", below="; ".join(below))


def _images(frame: pd.DataFrame, attacks: list[str]) -> list[str]:
    told = {
        attack_name(attack): ", ".join(dict.fromkeys(map(str, frame[f"{attack}_n"].dropna())))
        for attack in attacks
    }
    return [f"Test images: {'; '.join(f'{name} {counts}' for name, counts in told.items())}."]


def summary_grid(context: Context) -> Grid:
    """Return summary.csv row by row, each with its interval and flags."""
    frame, names = context.results.summary, method_names(context)
    order = {label: place for place, label in enumerate(context.methods)}
    by = pd.DataFrame(
        {
            "place": frame["method"].map(order).fillna(len(order)),
            "method": frame["method"],
            "seed": frame["seed"].fillna(-1),
            "checkpoint": frame["checkpoint"].map(checkpoint_order),
            "attack": frame["attack"].map(attack_order),
        }
    )
    return make_grid(
        frame.loc[by.sort_values(list(by), kind="stable").index],
        "summary",
        "Every row of summary.csv: one network, checkpoint and attack each.",
        [
            Column("Method", lambda row: names.get(row.method, row.method)),
            Column("Seed", lambda row: whole(row.seed), numeric=True),
            Column("Checkpoint", lambda row: row.checkpoint),
            Column("Attack", lambda row: attack_name(row.attack)),
            Column(
                "Accuracy, %",
                lambda row: number(row.accuracy, marks=flag_marks(row.flags, row.warnings)),
                numeric=True,
            ),
            Column(
                "95 % over images",
                lambda row: Cell(between(row.ci_low, row.ci_high), float(row.ci_low)),
                numeric=True,
                title="Wilson's interval",
            ),
            Column("Correct", lambda row: whole(row.correct), numeric=True),
            Column("Images", lambda row: whole(row.n), numeric=True),
            Column(
                "Reported",
                lambda row: number(row.reported, title=row.reported_source),
                numeric=True,
            ),
            Column("Ours − reported", lambda row: number(row.difference), numeric=True),
        ],
        [
            Filter("method", "Method", names),
            Filter("checkpoint", "Checkpoint"),
            Filter("attack", "Attack", attack_names(frame)),
        ],
        ["Wilson's interval is over other images for this network, not over other seeds."],
    )


def statistics_grid(context: Context, found: pd.DataFrame) -> Grid:
    """Return statistics.csv with one row for each quantity and its intervals side by side."""
    names = method_names(context)
    rows = []
    key = ["checkpoint", "quantity", "attack", "method", "against"]
    for values, group in found.groupby(key, sort=False):
        intervals = {row.interval: row for row in group.itertuples()}
        first = next(iter(intervals.values()))
        intervals.setdefault(IMAGES, intervals.get(WILSON))
        rows.append(
            dict(zip(key, values, strict=True))
            | {name: intervals.get(name) for name in INTERVALS}
            | {"first": first, "tested": intervals.get(BOTH) or first}
        )
    shown = list(INTERVALS)
    return make_grid(
        pd.DataFrame(rows, columns=[*key, *INTERVALS, "first", "tested"]),
        "statistics",
        "How far each mean and each difference may be trusted: 95 % intervals.",
        [
            Column("Quantity", lambda row: QUANTITIES.get(row.quantity, row.quantity)),
            Column("Attack", lambda row: attack_name(row.attack)),
            Column("Checkpoint", lambda row: row.checkpoint),
            Column("Method", lambda row: names.get(row.method, row.method)),
            Column("Minus", lambda row: names.get(row.against, row.against) or ABSENT),
            Column("Estimate", lambda row: number(row.first.estimate), numeric=True),
            *(Column(INTERVALS[i][0], _Interval(i), True, INTERVALS[i][1]) for i in shown),
            Column("p (Holm)", _holm, True, "of no difference, over seeds and images"),
            Column("Seeds", lambda row: whole(row.first.n_seeds), numeric=True),
            Column("Images", lambda row: whole(row.first.n_images), numeric=True),
        ],
        [
            Filter("quantity", "Quantity", QUANTITIES),
            Filter("attack", "Attack", attack_names(found), context.attack),
            Filter("checkpoint", "Checkpoint", chosen="best"),
        ],
        [
            "“Other seeds and images” is the interval that tells whether a method is better; an "
            "interval over images alone is of these networks. docs/statistics.md has the formulas.",
            "Empty intervals cannot be known from so few seeds.",
        ],
    )


class _Interval:
    """Makes the cell of one kind of interval."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, row: Any) -> Cell:
        found = getattr(row, self.name)
        if found is None or not known(found.low):
            return Cell(ABSENT)
        return Cell(between(found.low, found.high) or ABSENT, float(found.low))


def _holm(row: Any) -> Cell:
    tested = row.tested
    if not known(tested.p_holm):
        return Cell(ABSENT)
    title = f"p = {tested.p:.4g} before the adjustment" if known(tested.p) else ""
    return Cell(f"{tested.p_holm:.4g}", float(tested.p_holm), title=title)


def costs_grid(context: Context, frame: pd.DataFrame) -> Grid:
    """Return what one training of each method costs."""
    names = [str(attack) for attack in frame["attack"].dropna().unique() if attack]
    attack = attack_name(names[0]) if names else "Robust"

    def passes(row: Any) -> Cell:
        if not (known(row.forward_passes) and known(row.backward_passes)):
            return Cell(ABSENT)
        forward, backward = float(row.forward_passes), float(row.backward_passes)
        return Cell(f"{forward:g} + {backward:g}", forward + backward)

    def seconds(row: Any) -> Cell:
        spread = f" ± {plain(row.seconds_std, 1)}" if known(row.seconds_std) else ""
        return Cell(plain(row.seconds_mean, 1) + spread, float(row.seconds_mean))

    return make_grid(
        context.ordered(frame),
        "costs",
        "What one training costs: mean over seeds.",
        [
            Column("Method", lambda row: context.methods[row.method].name),
            Column("Seeds", lambda row: whole(row.seeds), numeric=True),
            Column("Training, s", seconds, True, "mean ± sample standard deviation of wall time"),
            Column(
                "Images/s",
                lambda row: number(row.images_per_second, 0),
                True,
                "every image of every epoch, over the whole training",
            ),
            Column("Passes per image", passes, True, "forward + backward, of attack and update"),
            Column(
                "Peak memory, MB",
                lambda row: number(row.peak_memory_mb, 0),
                True,
                "of a CUDA device, in training",
            ),
            Column(
                "Evaluation, s",
                lambda row: number(row.evaluation_seconds, 1),
                True,
                "all attacks on one seed's checkpoints",
            ),
            Column(
                f"{attack} accuracy per training hour",
                lambda row: number(row.accuracy_per_hour, 1),
                True,
                "points over hours",
            ),
            Column("Device", lambda row: str(row.device)),
        ],
        notes=[
            "Other work on the machine counts too: compare within a table only, and a few percent "
            "are no finding.",
            "Accuracy per hour is the best checkpoint's accuracy in points over the hours of one "
            "training: it rewards cheap trainings, not good ones.",
        ],
    )

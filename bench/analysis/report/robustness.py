"""The diagnostics: is the robustness real? Shown where they were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from bench.analysis.figures.caption import joined
from bench.analysis.figures.known import Known
from bench.analysis.report.chart import Chart, Looks, Trace
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Column,
    Grid,
    Line,
    chosen_from,
    plain,
)
from bench.analysis.report.material import Material, Rows, Run, look
from bench.analysis.report.numbers import optional
from bench.diagnostics.checks import RISK, Outcome
from bench.results.diagnostics import record_path, shown_rows, transfer_path
from bench.results.records import typed

# By the name in curves.csv: title, title of the x axis, whether x is shown as powers.
CURVES = {
    "eps": ("PGD against radius", "ε, pixels in [0, 1]", False),
    "fgsm": ("FGSM against radius", "ε, pixels in [0, 1]", False),
    "steps": ("PGD against steps", "steps", True),
    "restarts": ("PGD against restarts", "restarts", False),
    "square": ("Square alone against queries", "queries", True),
}
EVERY = "eps_zero"  # a check that every examined network has, on all the images it is examined on


@dataclass(frozen=True)
class Robustness:
    """What the section shows; `failed` and `passed` count checks, `absent` names methods without.

    `networks` were examined, of `seeds`; the gradient attacks had `images` of the test set each.
    `surfaces` are heat maps, `curves` charts with a line a method.
    """

    checks: Grid
    failed: int
    passed: int
    absent: str
    networks: int
    seeds: str
    images: str
    curves: Sequence[Chart]
    surfaces: Sequence[Chart]
    transfer: Grid | None


def robustness(material: Material, known: Known, looks: Looks, folder: Path) -> Robustness | None:
    """Return the section, None where no diagnostics were run."""
    if not material.diagnosed and not material.transfers:
        return None
    checks = _checks(material, known, folder)
    without = [
        known.names[m] for m in known.order if all(run[0] != m for run in material.diagnosed)
    ]
    outcomes = [check.passed for by_name in checks.values() for check in by_name.values()]
    return Robustness(
        checks=_grid(checks, known),
        failed=outcomes.count(False),
        passed=outcomes.count(True),
        absent=", ".join(without),
        networks=len(checks),
        seeds=joined(sorted({run[1] for run, _ in checks})),
        images=joined(
            sorted({by_name[EVERY].n for by_name in checks.values() if EVERY in by_name})
        ),
        curves=_curves(material, known, looks, folder),
        surfaces=_surfaces(material, known, folder),
        transfer=_transfer(material, known, folder),
    )


def _grid(checks: Mapping[tuple[Run, str], Mapping[str, Outcome]], known: Known) -> Grid:
    """Return a row for each network and a column for each check."""
    limits: dict[str, float] = {}
    for by_name in checks.values():
        limits |= {name: check.threshold for name, check in by_name.items()}
    order = sorted(checks, key=lambda at: (known.order.index(at[0][0]), at[0][1], at[1]))
    lines = [
        Line(
            [
                Cell(known.names[run[0]]),
                Cell(str(run[1]), run[1]),
                Cell(checkpoint),
                *(_outcome(checks[run, checkpoint].get(name)) for name in limits),
            ],
            {
                "method": run[0],
                "outcome": "some failed"
                if any(not check.passed for check in checks[run, checkpoint].values())
                else "all passed",
            },
        )
        for run, checkpoint in order
    ]
    columns = [Column("Method"), Column("Seed", True), Column("Checkpoint")]
    columns += [Column(f"{name}, ≤ {limit:g} %", True) for name, limit in limits.items()]
    return Grid(
        name="diagnostics",
        caption="Every network: the percentage of images at fault by each check, and its limit.",
        columns=columns,
        lines=lines,
        filters=[
            chosen_from("method", "Method", lines, known.names),
            chosen_from("outcome", "Outcome", lines, {}),
        ],
        notes=[
            "A passed check proves nothing; a failed one (✗) means that the robust accuracy is "
            "likely an overestimate. A check fails where the value is beyond the limit and chance "
            f"is ruled out, with a probability below {RISK:g}; one beyond the limit that does not "
            "fail is within chance. docs/diagnostics.md says what each asks, what a failure means "
            "and what to do. Few images find gross faults alone."
        ],
    )


def _outcome(check: Outcome | None) -> Cell:
    if check is None:
        return Cell(ABSENT)
    mark, style = ("✓", "verdict passed") if check.passed else ("✗", "verdict failed")
    if check.passed and check.value > check.threshold:
        mark, style = "within chance", "verdict"
    return Cell(
        f"{plain(check.value)} {mark}",
        check.value,
        title=f"{check.n:,} images; by chance with probability {check.chance:.2g}",
        style=style,
    )


def _checks(
    material: Material, known: Known, folder: Path
) -> dict[tuple[Run, str], dict[str, Outcome]]:
    """Return every check by network and name."""
    found: dict[tuple[Run, str], dict[str, Outcome]] = {}
    for run, diagnosed in material.diagnosed.items():
        for checkpoint, told in _checkpoints(diagnosed.record):
            found.setdefault((run, checkpoint), {}).update(_read(told, record_path(folder, *run)))
    for seed, (record, _) in material.transfers.items():
        for checkpoint, by_method in _checkpoints(record):
            for method, told in by_method.items():
                if method in known.order:
                    checks = _read(told, transfer_path(folder, seed))
                    found.setdefault(((method, seed), checkpoint), {}).update(checks)
    return found


def _checkpoints(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    found = look(record, "checkpoints")
    return list(found.items()) if isinstance(found, Mapping) else []


def _read(told: Any, path: Path) -> dict[str, Outcome]:
    checks = look(told, "checks")
    if not isinstance(checks, Mapping):
        return {}
    return {name: typed(Outcome, check, where=f"{path}: {name}") for name, check in checks.items()}


def _curves(material: Material, known: Known, looks: Looks, folder: Path) -> list[Chart]:
    charts = []
    for name, (title, x, powers) in CURVES.items():
        traces: list[Trace] = []
        for method in known.order:
            found: dict[float, list[float]] = {}
            for run, told in material.diagnosed.items():
                if run[0] == method:
                    for at, value in _points(told.curves, name, record_path(folder, *run)):
                        found.setdefault(at, []).append(value)
            if found:
                # A seed whose curve ends earlier would leave a mean of the others alone.
                seeds = max(map(len, found.values()))
                places = sorted(place for place, values in found.items() if len(values) == seeds)
                traces.append(looks.line(method, places, [fmean(found[p]) for p in places], " %"))
        if traces:
            layout: dict[str, Any] = {
                "height": 300,
                "hovermode": "closest",
                "yaxis": {"range": [-2, 102]},
            }
            places = sorted({x for trace in traces for x in trace["x"]})
            if powers:
                kind = "log" if len(places) > 1 else "linear"
                layout["xaxis"] = {"type": kind, "tickvals": places, "ticktext": places}
            label = f"{title}: what stands, mean over seeds, a line for each method"
            charts.append(Chart(f"strength-{name}", label, x, "stand, %", traces, layout, title))
    return charts


def _points(rows: Rows, name: str, path: Path) -> list[tuple[float, float]]:
    file = path.with_name("curves.csv")
    return [
        (at, value)
        for row in shown_rows(rows)
        if row["check"] == name
        and (at := optional(row, "x", file)) is not None
        and (value := optional(row, "accuracy", file)) is not None
    ]


def _surfaces(material: Material, known: Known, folder: Path) -> list[Chart]:
    """Return the loss around the first image, one heat map a method, of its first seed."""
    charts = []
    for place, method in enumerate(known.order):
        run = min((run for run in material.diagnosed if run[0] == method), default=None)
        if run is None:
            continue
        rows = shown_rows(material.diagnosed[run].surfaces)
        first = [row for row in rows if row["index"] == rows[0]["index"]]
        if not first:
            continue
        file = record_path(folder, *run).with_name("surfaces.csv")
        losses: dict[tuple[float, float], float] = {}
        for row in first:
            along, aside, loss = (optional(row, c, file) for c in ("along", "aside", "loss"))
            if along is not None and aside is not None and loss is not None:
                losses[along, aside] = loss
        x, y = (sorted({key[axis] for key in losses}) for axis in (0, 1))
        trace = {
            "type": "heatmap",
            "x": x,
            "y": y,
            "z": [[losses.get((along, aside)) for along in x] for aside in y],
            "colorscale": "Cividis",
            "colorbar": {"thickness": 10, "title": {"text": "loss", "side": "right"}},
            "hovertemplate": "along %{x}, aside %{y}: %{z:.3g} nats<extra></extra>",
            "meta": {},
        }
        title = known.names[method]
        label = f"Loss around image {first[0]['index']} for {title}, seed {run[1]}"
        axis = {"tickvals": [-1, 0, 1]}
        layout = {"height": 260, "xaxis": axis, "yaxis": axis}
        charts.append(
            Chart(
                f"surface-{place}", label, "along gradient, ε", "aside, ε", [trace], layout, title
            )
        )
    return charts


def _transfer(material: Material, known: Known, folder: Path) -> Grid | None:
    found: dict[tuple[str, str], list[float]] = {}
    for seed, (_, rows) in material.transfers.items():
        for row in shown_rows(rows):
            value = optional(row, "accuracy", transfer_path(folder, seed, ".csv"))
            if value is not None:
                found.setdefault((row["source"], row["target"]), []).append(value)
    if not found:
        return None
    methods = [m for m in known.order if any(m in pair for pair in found)]
    lines = [
        Line(
            [
                Cell(known.names[target]),
                *(
                    Cell(plain(fmean(values), 1), fmean(values), style="own" * (s == target))
                    if (values := found.get((s, target)))
                    else Cell(ABSENT)
                    for s in methods
                ),
            ]
        )
        for target in methods
    ]
    return Grid(
        name="transfer",
        caption="What stands (%) when images made on one network are tried on another; seeds: "
        f"{joined(sorted(material.transfers))}, and their mean where there are several.",
        columns=[Column("Tried on"), *(Column(f"made on {known.names[m]}", True) for m in methods)],
        lines=lines,
        notes=["On the diagonal are attacks on the network itself: they should be the lowest."],
    )

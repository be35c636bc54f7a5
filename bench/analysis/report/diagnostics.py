"""The diagnostics as tables: every check on every network, and what transfers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.plots.caption import joined
from bench.analysis.plots.context import Context
from bench.analysis.plots.transfer import Transfer
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Column,
    Filter,
    Grid,
    make_grid,
    number,
    plain,
    whole,
)
from bench.analysis.report.tables import method_names
from bench.diagnostics.checks import RISK
from bench.results.records import CheckRecord

EVERY = "eps_zero"  # a check that every network has, on all the images of the diagnostics


@dataclass(frozen=True)
class Diagnosed:
    """The table of checks, and what the section's head tells of them in numbers and names."""

    grid: Grid
    failed: int
    checks: int
    networks: int
    seeds: str
    images: str
    without: str


def diagnosed(context: Context) -> Diagnosed | None:
    """Return the section, None where no diagnostics were run."""
    checks = _checks(context)
    if not checks:
        return None
    outcomes = [check for by_name in checks.values() for check in by_name.values()]
    diagnosed_methods = {method for method, _ in context.results.diagnostics}
    missing = [d.name for label, d in context.methods.items() if label not in diagnosed_methods]
    images = sorted({by_name[EVERY].n for by_name in checks.values() if EVERY in by_name})
    return Diagnosed(
        grid=_grid(context, checks),
        failed=sum(not check.passed for check in outcomes),
        checks=len(outcomes),
        networks=len(checks),
        seeds=joined(sorted({seed for _, seed, _ in checks})),
        images=joined(images) or "some",
        without=joined(missing),
    )


Network = tuple[str, int, str]  # method, seed, checkpoint


def _checks(context: Context) -> dict[Network, dict[str, CheckRecord]]:
    found: dict[Network, dict[str, CheckRecord]] = {}
    for (method, seed), record in context.results.diagnostics.items():
        for checkpoint, own in record.checkpoints.items():
            found.setdefault((method, seed, checkpoint), {}).update(own.checks)
    for seed, transfers in context.results.transfers.items():
        for checkpoint, by_method in transfers.checkpoints.items():
            for method, of_method in by_method.items():
                if method in context.methods:
                    found.setdefault((method, seed, checkpoint), {}).update(of_method.checks)
    return found


def _grid(context: Context, checks: dict[Network, dict[str, CheckRecord]]) -> Grid:
    limits: dict[str, float] = {}
    for by_name in checks.values():
        limits |= {name: check.threshold for name, check in by_name.items()}
    frame = pd.DataFrame(
        [
            {
                "method": method,
                "seed": seed,
                "checkpoint": checkpoint,
                "checks": own,
                "outcome": "all passed" if all(c.passed for c in own.values()) else "some failed",
            }
            for (method, seed, checkpoint), own in checks.items()
        ]
    )
    names = method_names(context)
    return make_grid(
        context.ordered(frame),
        "diagnostics",
        "Every network: the percentage of images at fault by each check, and its limit.",
        [
            Column("Method", lambda row: names[row.method]),
            Column("Seed", lambda row: whole(row.seed), numeric=True),
            Column("Checkpoint", lambda row: row.checkpoint),
            *(
                Column(f"{name}, ≤ {limit:g} %", _Outcome(name), numeric=True)
                for name, limit in limits.items()
            ),
        ],
        [Filter("method", "Method", names), Filter("outcome", "Outcome")],
        [
            "A passed check proves nothing; a failed one (✗) means that the robust accuracy is "
            "likely an overestimate. A check fails where the value is beyond the limit and chance "
            f"is ruled out, with a probability below {RISK:g}; one beyond the limit that does not "
            "fail is within chance. docs/diagnostics.md says what each check asks, what a failure "
            "means and what to do. Few images find only gross faults."
        ],
    )


class _Outcome:
    """Makes the cell of one check."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, row: Any) -> Cell:
        check = row.checks.get(self.name)
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


def transfer_grid(data: Transfer) -> Grid:
    """Return the accuracies under transferred attacks, a row a target."""
    rows = [
        {"target": target, "values": data.accuracy[target].to_dict()} for target in data.displays
    ]
    return make_grid(
        pd.DataFrame(rows),
        "transfer",
        "Accuracy (%) when images made on one network are tried on another; seeds: "
        f"{joined(data.seeds)}, and their mean where there are several.",
        [
            Column("Tried on", lambda row: data.displays[row.target].name),
            *(
                Column(f"made on {shown.name}", _From(label), numeric=True)
                for label, shown in data.displays.items()
            ),
        ],
        notes=["On the diagonal are attacks on the network itself: they should be the lowest."],
    )


class _From:
    """Makes the cell of one source."""

    def __init__(self, source: str) -> None:
        self.source = source

    def __call__(self, row: Any) -> Cell:
        own = "own" if row.target == self.source else ""
        return number(row.values[self.source], 1, style=own)

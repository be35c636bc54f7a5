"""What measurements say: medians with quartiles, ratios, shares. Standard library only."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Measurement = Mapping[str, Any]
REFERENCE = "plain"
# Parts of a training step, as shares of it.
PARTS = ("data", "memory")


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median of `values`, both quartiles and how many there are.

    Raises
    ------
    ValueError
        There is none.
    """
    if not values:
        raise ValueError("there is nothing to summarise")
    low = middle = high = values[0]
    if len(values) > 1:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high, "n": len(values)}


def results(
    measurements: Sequence[Measurement], against: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one row for each task, method and path, in the order in which they were measured.

    A ratio is formed between the measurements of one round, which lie next to each other in time,
    and summarised afterwards: what slows a whole round down does not enter it.

    Parameters
    ----------
    measurements
        As `alternate` returns them.
    against
        For each path, the plain path with the same allocator.
    """
    groups: dict[tuple[str, str | None, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one["task"], one["method"], one["path"]), []).append(one)
    rows = []
    for (task, method, path), group in groups.items():
        row: dict[str, Any] = {
            "task": task,
            "method": method,
            "path": path,
            "images_per_second": summary([1 / per_image(one) for one in group]),
            "seconds_per_1000": summary([1000 * per_image(one) for one in group]),
            "peak_mb": max(one["peak_mb"] for one in group),
        }
        for name, other in (("speedup", REFERENCE), ("speedup_same_allocator", against[path])):
            base = groups.get((task, method, other))
            row[name] = None if base is None else summary(ratios(base, group))
        if "operations" in group[0]:
            row["operations_per_image"] = group[0]["operations"] // group[0]["images"]
            row["share_of_ceiling"] = summary(
                [one["operations"] / one["seconds"] / one["ceiling"] for one in group]
            )
            row["ceiling"] = summary([one["ceiling"] for one in group])
        if task in PARTS and ("step", method, path) in groups:
            whole = statistics.median(per_image(one) for one in groups["step", method, path])
            part = statistics.median(per_image(one) for one in group)
            row["share_of_step"] = part / whole
        for name in ("bytes", "robust"):
            if name in group[0]:
                row[name] = min(one[name] for one in group)
        rows.append(row)
    return rows


def per_image(measurement: Measurement) -> float:
    """Return the seconds that one image took."""
    return float(measurement["seconds"] / measurement["images"])


def ratios(base: Sequence[Measurement], other: Sequence[Measurement]) -> list[float]:
    """Return how many times as fast as `base` `other` was, in each round that both have."""
    times = {one["round"]: per_image(one) for one in base}
    return [times[one["round"]] / per_image(one) for one in other if one["round"] in times]

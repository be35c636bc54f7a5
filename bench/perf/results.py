"""What measurements say: medians with quartiles, paired ratios, and a table of them.

Standard library only.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.perf.setup import REFERENCE
from bench.planning.text import amount, table

Measurement = Mapping[str, Any]
QUICK = "quick: a tiny network, a few images. These times mean nothing, only that everything runs."
HEADS = "task, method, engine, images/s, x eager, min/epoch, loading, loss differs, peak memory"


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return the median of `values`, both quartiles and how many there are (one at least)."""
    low = middle = high = values[0]
    if len(values) > 1:
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high, "n": len(values)}


def results(measurements: Sequence[Measurement], images: int) -> list[dict[str, Any]]:
    """Return one row for each task, method and engine, in the order of their first measurement.

    A ratio is formed between the measurements of one round, which lie next to each other in time,
    and summarised afterwards: what slows a whole round down does not enter it. `images` are those
    of an epoch.
    """
    groups: dict[tuple[str, str | None, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one["task"], one["method"], one["engine"]), []).append(one)
    rows = []
    for (task, method, engine), group in groups.items():
        base, first = groups.get((task, method, REFERENCE)), group[0]
        rate = summary([one["images"] / one["seconds"] for one in group])
        row: dict[str, Any] = {
            "task": task,
            "method": method,
            "engine": engine,
            "images_per_second": rate,
            "speedup": base and summary(ratios(base, group)),
            "peak_mb": max(one["peak_mb"] for one in group),
        }
        if task == "step":
            row["epoch_minutes"] = images / rate["median"] / 60
            row["loading_share"] = summary([one["loading"] / one["seconds"] for one in group])
            row["loss_difference"] = base and abs(first["loss"] / base[0]["loss"] - 1)
        if "robust" in first:
            row["robust"] = min(one["robust"] for one in group)
        rows.append(row)
    return rows


def ratios(base: Sequence[Measurement], other: Sequence[Measurement]) -> list[float]:
    """Return how many times as fast as `base` `other` was, in each round that both have."""
    rates = {one["round"]: one["images"] / one["seconds"] for one in base}
    both = [one for one in other if one["round"] in rates]
    return [one["images"] / one["seconds"] / rates[one["round"]] for one in both]


def as_text(document: Mapping[str, Any]) -> str:
    """Return the record `document` as a table, with what is needed to read it."""
    machine, settings, rows = (document[key] for key in ("machine", "settings", "results"))
    on_cuda = settings["compute"]["device"] == "cuda"
    device = machine["device"] if on_cuda else f"{machine['cpu']}, threads: {machine['threads']}"
    tf32 = "convolutions in TF32, matrix products not" if on_cuda else "no TF32"
    peak = "task took of the device, CUDA graphs and cached blocks included"
    size, amounts = settings["size"], settings["settings"]
    lines = [
        f"{device}; torch {machine['torch']}, Python {machine['python']}",
        f"{next(iter(settings['specs'].values()))['model']['name']}, batches of"
        f" {amounts['batch_size']} images of {'x'.join(map(str, size['shape']))}; float32 has"
        f" {tf32}",
        "",
        *table(HEADS.split(", "), [_cells(row) for row in rows]),
        "",
        "Medians over the rounds [quartiles]; a ratio is formed in each round, then summarised.",
        f"min/epoch: {size['train']} training images at that speed, without validation.",
        f"Peak memory: the most that the {peak if on_cuda else 'process held up to then'}.",
    ]
    if settings["quick"]:
        lines.insert(0, QUICK)
    if robust := [row["robust"] for row in rows if "robust" in row]:
        lines.append(
            "AutoAttack: labels are the network's predictions and eps is 1e-6, so that images stay"
            f" robust and cost what robust ones cost; {min(robust)} of {amounts['attack_images']}"
            f" did ({', '.join(amounts['components'])})."
        )
    if left := document["left"]:
        names = ", ".join(" ".join(filter(None, job)) for job in left)
        lines.append(f"INCOMPLETE, not measured: {names}.")
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    step, own = row["task"] == "step", row["engine"] == REFERENCE
    speedup, loss = row["speedup"], row.get("loss_difference")
    return [
        row["task"],
        row["method"] or "",
        row["engine"],
        spread(row["images_per_second"]),
        "1" if own else spread(speedup) if speedup else "",
        number(row["epoch_minutes"]) if step else "",
        f"{100 * row['loading_share']['median']:.2g}%" if step else "",
        "" if own or loss is None else f"{loss:.0e}",
        amount(round(1e6 * row["peak_mb"])),
    ]


def spread(summary: Mapping[str, Any]) -> str:
    """Return a median with its quartiles, or alone where it is of one value."""
    middle, low, high = (number(summary[name]) for name in ("median", "low", "high"))
    return middle if summary["n"] == 1 else f"{middle} [{low}, {high}]"


def number(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

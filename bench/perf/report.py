"""The measurements as a readable text. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.perf.results import results
from bench.planning.text import amount, table
from bench.runtime.errors import BenchError

FORMAT = 1
QUICK = "quick: a tiny network, a few images. These times mean nothing, only that everything runs."
NAMES = {"pgd": "PGD-20", "autoattack": "AutoAttack"}


def checked(document: Any, path: Any) -> dict[str, Any]:
    """Return `document` if it is what the benchmark writes.

    Raises
    ------
    BenchError
        It is something else; `path` is where it was read.
    """
    if not isinstance(document, dict) or document.get("performance") != FORMAT:
        raise BenchError(
            f"{path}: not what this version of `python -m bench perf` writes; measure again"
        )
    return document


def against(document: Mapping[str, Any]) -> dict[str, str]:
    """Return for each path the plain path with the same allocator."""
    return {route["name"]: route["against"] for route in document["paths"]}


def as_text(document: Mapping[str, Any]) -> str:
    """Return the tables and what is needed to read them."""
    rows = results(document["measurements"], against(document))
    kept = any(route["pages"] for route in document["paths"])
    parts = [
        *_head(document),
        _training(
            [row for row in rows if row["task"] in ("step", "epoch", "data", "attack")], kept
        ),
        _searches([row for row in rows if row["task"] in NAMES], kept),
        _breakdown(document["measurements"]),
        _memory([row for row in rows if row["task"] == "memory"]),
        _foot(document, rows),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def device_of(machine: Mapping[str, Any]) -> str:
    """Return what computed: the GPU, or the processor with the number of threads."""
    if machine["cuda"]:
        return str(machine["device"])
    threads = machine["threads"]
    return f"{machine['cpu']} with {threads} thread{'s' if threads > 1 else ''}"


def _head(document: Mapping[str, Any]) -> list[list[str]]:
    machine, settings = document["machine"], document["settings"]
    tf32 = "convolutions in TF32, matrix products not" if machine["tf32"] else "no TF32"
    about = [
        f"{device_of(machine)}; torch {machine['torch']}, Python {machine['python']}",
        f"{settings['model']}, batches of {settings['batch_size']} images of"
        f" {'x'.join(map(str, settings['image_shape']))}; the inner attack has"
        f" {settings['attack_steps']} steps; float32 has {tf32}, which is PyTorch's own default",
    ]
    parts = [[QUICK], about] if document["quick"] else [about]
    # Records of a time when only whole ones were written do not have the key.
    left = [_task(one) for one in document.get("left", [])]
    if left:
        parts.append([f"INCOMPLETE: the run ended before these were measured: {', '.join(left)}."])
    return parts


def _task(row: Mapping[str, Any]) -> str:
    """Return the task, with its method where it depends on one; an attack is the same for all."""
    named = row["task"] != "attack" and row["method"] is not None
    return f"{row['task']} {row['method']}" if named else str(row["task"])


def _training(rows: Sequence[Mapping[str, Any]], kept: bool) -> list[str]:
    lines = []
    for row in rows:
        share, step = row.get("share_of_ceiling"), row.get("share_of_step")
        lines.append(
            [
                _task(row),
                row["path"],
                spread(row["images_per_second"]),
                *_speedups(row, kept),
                "" if share is None else spread(share, percent=True),
                "" if step is None else f"{100 * step:.2g}%",
                amount(round(1e6 * row["peak_mb"])),
            ]
        )
    heads = ["training", "path", "images/s", *_heads(kept), "of ceiling", "of step", "peak memory"]
    return _table(heads, lines)


def _searches(rows: Sequence[Mapping[str, Any]], kept: bool) -> list[str]:
    lines = [
        [
            NAMES[row["task"]],
            row["path"],
            spread(row["seconds_per_1000"]),
            *_speedups(row, kept),
            amount(round(1e6 * row["peak_mb"])),
        ]
        for row in rows
    ]
    return _table(["evaluation", "path", "s/1,000", *_heads(kept), "peak memory"], lines)


def _breakdown(measurements: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for one in measurements:
        for component, part in one.get("split", {}).items():
            lines.append(
                [
                    component,
                    one["path"],
                    number(part["seconds"]),
                    *(
                        f"{100 * part[name] / part['seconds']:.0f}%"
                        for name in ("forward", "backward", "outside")
                    ),
                    number(part["forward_images"] / one["images"]),
                    str(part["backward_passes"]),
                ]
            )
    heads = ["AutoAttack", "path", "s", "forward", "backward", "outside the model"]
    return _table([*heads, "queries/image", "backward passes"], lines)


def _memory(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        [
            row["method"],
            row["path"],
            amount(row["bytes"]),
            spread(row["seconds_per_1000"]),
            f"{100 * row['share_of_step']:.2g}%" if "share_of_step" in row else "",
        ]
        for row in rows
    ]
    return _table(["memory", "path", "kept", "s/1,000", "of step"], lines)


def _foot(document: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "Medians over the rounds [quartiles]; a ratio is formed in each round, then summarised.",
    ]
    if any("share_of_ceiling" in row for row in rows):
        lines.append(
            "Ceiling: a product of large matrices in the path's precision, timed in the same round."
        )
    if document["machine"]["cuda"]:
        lines.append(
            "Peak memory: the most that the task took of the device, recordings and cached blocks"
            " included, the ceiling's matrices not."
        )
    else:
        lines.append("Peak memory: the most that the path's process held up to then.")
    tried = [row for row in rows if row["task"] == "autoattack"]
    if tried:
        of, stood = document["settings"]["attack_images"], min(row["robust"] for row in tried)
        lines.append(
            "AutoAttack: labels are the network's predictions and eps is 1e-6, so that images stay"
            f" robust and cost what robust ones cost; {stood} of {of} did"
            f" ({', '.join(document['settings']['components'])})."
        )
    return lines


def _heads(kept: bool) -> list[str]:
    return ["x plain", "x same allocator"] if kept else ["x plain"]


def _speedups(row: Mapping[str, Any], kept: bool) -> list[str]:
    names = ("speedup", "speedup_same_allocator")[: 2 if kept else 1]
    return ["" if row[name] is None else _ratio(row[name]) for name in names]


def _ratio(summary: Mapping[str, Any]) -> str:
    # What is measured against itself has no spread.
    return "1" if summary["low"] == summary["high"] == 1 else spread(summary)


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return table(heads, lines) if lines else []


def spread(summary: Mapping[str, Any], *, percent: bool = False) -> str:
    """Return a median with its quartiles, or alone where it is of one value."""
    middle, low, high = (
        f"{100 * summary[name]:.0f}%" if percent else number(summary[name])
        for name in ("median", "low", "high")
    )
    return middle if summary["n"] == 1 else f"{middle} [{low}, {high}]"


def number(value: float) -> str:
    """Return three significant digits, and all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

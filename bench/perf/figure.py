"""The measurements as a figure: speed-ups, shares of the ceiling, where AutoAttack's time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.analysis.figures import style
from bench.analysis.labels import method_name
from bench.perf.report import NAMES, against, device_of, number
from bench.perf.results import REFERENCE, results
from bench.perf.setup import COARSE, KEPT
from bench.runtime.files import appearing

# In inches.
MARGIN, RIGHT, HEAD, FOOT, GAP, COLUMN, SHARES = 0.12, 0.15, 0.46, 0.42, 0.25, 0.95, 1.75
PITCH, BAR, SPREAD = 0.34, 0.24, 0.62
SIZE = 6.6
COLOURS = {
    REFERENCE: style.SOFT,
    "fast": style.SKY,
    KEPT: style.ORANGE,
    "fast, pages kept": style.BLUE,
    COARSE: style.VERMILLION,
    "graph": style.ORANGE,
    "fast bfloat16": style.BLUE,
    "graph bfloat16": style.VERMILLION,
}
MARKERS = dict(zip(COLOURS, "osD^vv^D", strict=True))
# None of the paths' colours.
SPLIT = {"forward": style.GREEN, "backward": style.PURPLE, "outside": "#bdbdbd"}
SPLIT_NAMES = {
    "forward": "Forward passes",
    "backward": "Backward passes",
    "outside": "Outside of the model",
}
TASKS = ("step", "epoch", "attack", "pgd", "autoattack")
Row = Mapping[str, Any]


def draw(document: Mapping[str, Any], stem: Path) -> list[Path]:
    """Write the figure as `stem` with each of its endings and return the paths.

    The same record gives the same bytes. Nothing is written where no task of it can be drawn.
    """
    rows = results(document["measurements"], against(document))
    rows = [row for row in rows if row["task"] in TASKS]
    split = [one for one in document["measurements"] if "split" in one]
    if not rows and not split:
        return []
    with style.styled():
        figure = _figure(document, rows, split)
        content = {
            stem.with_name(f"{stem.name}.{form}"): style.encoded(figure, form)
            for form in style.FORMATS
        }
    for path, data in content.items():
        with appearing(path) as partial:
            partial.write_bytes(data)
    return list(content)


def _figure(document: Mapping[str, Any], rows: Sequence[Row], split: Sequence[Row]) -> Figure:
    paths = [route["name"] for route in document["paths"]]
    groups: dict[tuple[str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["task"], row["method"]), []).append(row)
    names = {key: _name(document, *key) for key in groups}
    widest = max(map(_wide, [*names.values(), *(_path_name(one["path"]) for one in split)]))
    left = MARGIN + 0.1 + widest
    lines = style.caption_lines(_caption(document), MARGIN)
    base = style.caption_height(lines)
    bars = FOOT + 0.3 + BAR * len(split) if split else 0.0
    dots = FOOT + PITCH * len(groups) if groups else 0.0
    figure = style.sheet(base + bars + dots + HEAD)
    room = style.WIDTH - left - RIGHT
    if split:
        _split(style.axes_at(figure, left, base + FOOT, room, BAR * len(split)), split)
    if groups:
        bottom, high = base + bars + FOOT, PITCH * len(groups)
        shared = any("share_of_ceiling" in row for row in rows)
        wide = room - COLUMN - (SHARES + GAP if shared else 0.0)
        speed = style.axes_at(figure, left, bottom, wide, high)
        _dots(speed, groups, paths, "speedup", 1.0)
        speed.set_yticks(range(len(groups)), list(names.values()))
        speed.axvline(1, color=style.SOFT, lw=0.8, zorder=1)
        speed.set_xlabel(f"Times as fast as {REFERENCE}")
        _absolute(speed, list(groups.values()), 1 + COLUMN / wide)
        if shared:
            share = style.axes_at(figure, style.WIDTH - RIGHT - SHARES, bottom, SHARES, high)
            _dots(share, groups, paths, "share_of_ceiling", 100.0)
            share.set_yticks([])
            share.set_xlabel("Share of the ceiling")
            share.xaxis.set_major_formatter("{x:g}%")
    entries = [(_path_name(path), _mark(path)) for path in paths]
    style.legend(figure, entries, left=MARGIN, columns=len(entries))
    style.write_caption(figure, lines, MARGIN)
    return figure


def _dots(
    axes: Axes,
    groups: Mapping[Any, Sequence[Row]],
    paths: Sequence[str],
    what: str,
    unit: float,
) -> None:
    """Draw a median with its quartiles for each row and path that has `what`."""
    for y, group in enumerate(groups.values()):
        for row in group:
            summary, place = row.get(what), paths.index(row["path"])
            if summary is None or (what == "speedup" and row["path"] == REFERENCE):
                continue
            at = y + SPREAD * ((place + 0.5) / len(paths) - 0.5)
            colour = COLOURS[row["path"]]
            axes.plot(
                [unit * summary["low"], unit * summary["high"]], [at, at], color=colour, lw=1.0
            )
            axes.plot(
                unit * summary["median"],
                at,
                MARKERS[row["path"]],
                color=colour,
                ms=4.2,
                mec="white",
                mew=0.4,
                zorder=3,
            )
        if y:
            axes.axhline(y - 0.5, color=style.FAINT, lw=0.5, zorder=0)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _absolute(axes: Axes, groups: Sequence[Sequence[Row]], x: float) -> None:
    """Write beside each row what plain itself does."""
    across = axes.get_yaxis_transform()
    look: dict[str, Any] = {"size": SIZE, "ha": "right", "transform": across}
    axes.text(x, -0.55, f"{REFERENCE} itself", va="bottom", color=style.INK, **look)
    for y, group in enumerate(groups):
        for row in group:
            if row["path"] != REFERENCE:
                continue
            if row["task"] in NAMES:
                text = f"{number(row['seconds_per_1000']['median'])} s/1,000"
            else:
                text = f"{number(row['images_per_second']['median'])} images/s"
            axes.text(x, y, text, va="center_baseline", color=style.SOFT, **look)


def _split(axes: Axes, measured: Sequence[Row]) -> None:
    """Draw what AutoAttack spends on what, in seconds for 1,000 images."""
    for y, one in enumerate(measured):
        start = 0.0
        for name, colour in SPLIT.items():
            spent = sum(part[name] for part in one["split"].values())
            long = 1000 * spent / one["images"]
            axes.barh(y, long, 0.62, start, color=colour, ec="white", lw=0.4)
            start += long
    axes.set_yticks(range(len(measured)), [_path_name(one["path"]) for one in measured])
    axes.set_ylim(len(measured) - 0.5, -0.5)
    axes.set_xlabel("AutoAttack: seconds for 1,000 images")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(
        handles=[Patch(fc=colour) for colour in SPLIT.values()],
        labels=list(SPLIT_NAMES.values()),
        loc="lower left",
        bbox_to_anchor=(0, 1.0),
        ncols=len(SPLIT),
        borderaxespad=0.2,
        borderpad=0,
        handlelength=1.2,
        handleheight=0.8,
    )


def _mark(path: str) -> Line2D:
    return Line2D(
        [], [], color=COLOURS[path], marker=MARKERS[path], lw=1.0, ms=4.2, mec="white", mew=0.4
    )


def _path_name(path: str) -> str:
    return path[:1].upper() + path[1:]


def _name(document: Mapping[str, Any], task: str, method: str | None) -> str:
    if task in NAMES:
        return NAMES[task]
    if task == "attack" or method is None:
        return "Inner attack"
    about = document["settings"]["methods"].get(method, {})
    name = method_name(method, about.get("method"), about.get("options"))
    return f"{name}, {'step' if task == 'step' else 'epoch with data'}"


def _caption(document: Mapping[str, Any]) -> list[str]:
    machine, settings = document["machine"], document["settings"]
    said = [
        f"{device_of(machine)}, torch {machine['torch']}; {settings['model']}, batches of"
        f" {settings['batch_size']}.",
        "Medians and quartiles over rounds in which the paths take turns; a ratio is of one round.",
    ]
    if any("ceiling" in one for one in document["measurements"]):
        said.append("Ceiling: a large matrix product in the same precision and round.")
    if any(one["task"] == "breakdown" for one in document["measurements"]):
        said.append("The bars are of a run in which the device is waited for around each pass.")
    if document["quick"]:
        said.insert(0, "A quick run with a tiny network: these times mean nothing.")
    return said


def _wide(text: str) -> float:
    return style.text_width(text, 7.5) / style.POINTS

"""All figures of one experiment, from its CSV files alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.analysis import labels
from bench.analysis.figures import (
    caption,
    components,
    curves,
    examined,
    frontier,
    points,
    remembered,
    strength,
    style,
    surfaces,
    transfer,
)
from bench.analysis.figures.known import Known
from bench.analysis.figures.points import Row
from bench.analysis.figures.published import beside
from bench.results.diagnostics import present
from bench.runtime.files import write_bytes


def draw(
    results_dir: Path,
    *,
    reported: Path | None,
    reference: Path | None,
    out: Path,
    diagnosed: Iterable[tuple[str, int]] | None = None,
) -> list[Path]:
    """Write out/{frontier,curves,components,remembered}.{svg,pdf,png}; return their paths.

    Where runs were examined, out/{diagnostics,surfaces,transfer}.{svg,pdf,png} are among them. The
    same CSV files give the same bytes. All figures are drawn before the first file is written, and
    each file replaces the older one whole.

    Parameters
    ----------
    results_dir : Path
        results/<experiment>, with summary.csv and the runs' history.csv and verdicts.
    reported, reference : Path or None
        The papers' and RobustBench's numbers; only those of the same dataset are shown.
    out : Path
        The folder for the figures; made if it does not exist.
    diagnosed : iterable of (method, seed), or None
        The runs whose diagnostics are shown; None shows all that are in `results_dir`.

    Raises
    ------
    BenchError
        If a file is missing or lacks what a figure needs; it names the file and the remedy.
    """
    rows = points.read_summary(results_dir / "summary.csv")
    content = {}
    with style.styled():
        figures = _figures(results_dir, rows, reported, reference, diagnosed)
        for name, figure in figures.items():
            for form in style.FORMATS:
                content[out / f"{name}.{form}"] = style.encoded(figure, form)
    for path, data in content.items():
        write_bytes(path, data)
    return list(content)


def _figures(
    results: Path,
    rows: Sequence[Row],
    reported: Path | None,
    reference: Path | None,
    diagnosed: Iterable[tuple[str, int]] | None,
) -> dict[str, Figure]:
    attack = points.strongest(rows)
    means = points.means(rows, attack)
    papers, others = beside(rows, attack, reported, reference)
    known = Known.of(rows, papers)
    names = known.names
    facts = caption.setting(rows, attack)
    chosen = caption.selection(rows, names)
    scene = frontier.Scene(
        means=sorted(means, key=lambda mean: known.order.index(mean.method)),
        reported=papers,
        reference=others,
        attack=labels.attack_name(attack),
        names=names,
        colours=known.colours,
        betas=known.betas,
        caption=[
            *facts,
            chosen,
            *caption.gaps(rows, means, attack, names),
            *caption.mixtures(means),
            *caption.twins(means),
            *caption.radii([*papers, *others], rows, names | frontier.shortened(others)),
        ],
    )
    runs = sorted(
        {(row.method, row.seed) for row in rows},
        key=lambda run: (known.order.index(run[0]), run[1]),
    )
    # What broke an image is told by one attack; the worst case has no verdicts of its own.
    alone = points.strongest(row for row in rows if row.attack != "worst_case")
    broken = points.means(rows, alone)
    judged = [(point.method, point.seed) for mean in broken for point in mean.seeds]
    return {
        "frontier": frontier.draw(scene),
        "curves": curves.draw(
            points.read_curves(results, runs), names=names, caption=caption.training(rows, names)
        ),
        "components": components.draw(
            points.read_breakage(results, judged, alone),
            names=names,
            caption=[*facts, *caption.turns(alone), chosen],
        ),
        "remembered": remembered.draw(
            points.read_remembered(results, runs),
            names=names,
            colours=known.colours,
            families={row.method: row.base_method or style.family(row.method) for row in rows},
            caption=[*caption.setting(rows), *caption.REMEMBERED],
        ),
        **_examined(results, rows, present(results, runs, diagnosed), names),
    }


def _examined(
    results: Path, rows: Sequence[Row], runs: Sequence[tuple[str, int]], names: Mapping[str, str]
) -> dict[str, Figure]:
    """Return the figures of the diagnostics of `runs`, those that there is something for."""
    found: dict[str, Figure] = {}
    seeds = sorted({seed for _, seed in runs})
    strengths = examined.read_strengths(results, runs)
    if strengths:
        n = max(network.n for networks in strengths.values() for network in networks.values())
        eps = max(caption.our_radii(rows))
        said = caption.strength(rows, seeds, n)
        found["diagnostics"] = strength.draw(strengths, eps=eps, names=names, caption=said)
    planes = examined.read_planes(results, runs)
    if planes:
        found["surfaces"] = surfaces.draw(planes, names=names, caption=caption.surface(rows, seeds))
    methods = list(dict.fromkeys(method for method, _ in runs))
    matrix = examined.read_matrix(results, seeds, methods)
    if matrix:
        said = caption.transferred(rows, matrix.seeds, matrix.n)
        found["transfer"] = transfer.draw(matrix, methods, names=names, caption=said)
    return found

"""All figures of one experiment, from its CSV files alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bench.analysis import labels
from bench.analysis.figures import caption, components, curves, frontier, points, style
from bench.analysis.figures.points import Other, Row
from bench.records import appearing


def draw(
    results_dir: Path, *, reported: Path | None, reference: Path | None, out: Path
) -> list[Path]:
    """Write out/{frontier,curves,components}.{svg,pdf,png} and return their paths.

    The same CSV files give the same bytes. All figures are drawn before the first file is written,
    and each file replaces the older one whole.

    Parameters
    ----------
    results_dir : Path
        results/<experiment>, with summary.csv and the runs' history.csv and verdicts.
    reported, reference : Path or None
        The papers' and RobustBench's numbers; only those of the same dataset are shown.
    out : Path
        The folder for the figures; made if it does not exist.

    Raises
    ------
    BenchError
        If a file is missing or lacks what a figure needs; it names the file and the remedy.
    """
    rows = points.read_summary(results_dir / "summary.csv")
    content = {}
    with style.styled():
        for name, figure in _figures(results_dir, rows, reported, reference).items():
            for form in style.FORMATS:
                content[out / f"{name}.{form}"] = style.encoded(figure, form)
    for path, data in content.items():
        with appearing(path) as partial:
            partial.write_bytes(data)
    return list(content)


def _figures(
    results: Path, rows: Sequence[Row], reported: Path | None, reference: Path | None
) -> dict[str, Figure]:
    attack = points.strongest(rows)
    means = points.means(rows, attack)
    papers, others = _elsewhere(rows, attack, reported, reference)
    order = sorted({row.method for row in rows}, key=_place)
    methods = [*order, *(other.name for other in papers)]
    names = {method: _name(method) for method in methods}
    facts = caption.setting(rows, attack)
    chosen = caption.selection(rows, names)
    scene = frontier.Scene(
        means=sorted(means, key=lambda mean: order.index(mean.method)),
        reported=papers,
        reference=others,
        attack=labels.attack_name(attack),
        names=names,
        colours=style.colours(methods),
        betas={method: beta for method in order if (beta := _beta(method)) is not None},
        caption=[
            *facts,
            chosen,
            *caption.gaps(rows, means, attack, names),
            *caption.radii(papers, rows, names),
        ],
    )
    runs = sorted(
        {(row.method, row.seed) for row in rows}, key=lambda run: (_place(run[0]), run[1])
    )
    judged = [(point.method, point.seed) for mean in scene.means for point in mean.seeds]
    return {
        "frontier": frontier.draw(scene),
        "curves": curves.draw(
            points.read_curves(results, runs), names=names, caption=caption.training(rows, names)
        ),
        "components": components.draw(
            points.read_breakage(results, judged, attack),
            names=names,
            caption=[*facts, *caption.turns(attack), chosen],
        ),
    }


def _elsewhere(
    rows: Sequence[Row], attack: str, reported: Path | None, reference: Path | None
) -> tuple[list[Other], list[Other]]:
    dataset, model = rows[0].dataset, rows[0].model
    papers, others = [], []
    if reported:
        papers = points.read_reported(reported, dataset=dataset, model=model, attack=attack)
    # RobustBench's robustness is AutoAttack's alone: beside PGD it would look worse than it is.
    if reference and attack == "autoattack":
        others = points.read_reference(reference, dataset=dataset)
    return papers, others


def _name(method: str) -> str:
    beta = _beta(method)
    return labels.method_name(method, *(() if beta is None else ("trades", {"beta": beta})))


def _beta(method: str) -> float | None:
    """Return TRADES' beta as its label tells it; `trades` alone is the paper's 6."""
    found = re.fullmatch(r"trades(?:_beta([0-9.]+))?", method)
    return None if found is None else float(found[1] or 6)


def _place(method: str) -> tuple[int, float, str]:
    """Return a sort key: families together, and TRADES by its beta."""
    family, label = labels.method_order(method)
    return (family, _beta(method) or 0.0, label)

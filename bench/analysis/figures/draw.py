"""All figures of one experiment, from its CSV files alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from bench.analysis import labels
from bench.analysis.diagnostics import present
from bench.analysis.figures import (
    caption,
    components,
    curves,
    elsewhere,
    examined,
    frontier,
    points,
    remembered,
    strength,
    style,
    surfaces,
    transfer,
)
from bench.analysis.figures.points import Other, Row
from bench.analysis.options import options_of
from bench.records import write_bytes


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
    papers, others = _elsewhere(rows, attack, reported, reference)
    known: dict[str, Row | Other] = {row.method: row for row in rows}
    order = sorted(known, key=lambda method: _place(method, known[method]))
    known |= {other.name: other for other in papers if other.name not in known}
    names = {method: _name(method, of) for method, of in known.items()}
    betas = {method: _beta(method, known[method]) for method in order}
    facts = caption.setting(rows, attack)
    chosen = caption.selection(rows, names)
    scene = frontier.Scene(
        means=sorted(means, key=lambda mean: order.index(mean.method)),
        reported=papers,
        reference=others,
        attack=labels.attack_name(attack),
        names=names,
        colours=_colours(known),
        betas={method: beta for method, beta in betas.items() if beta is not None},
        caption=[
            *facts,
            chosen,
            *caption.gaps(rows, means, attack, names),
            *caption.radii([*papers, *others], rows, names | _short(others)),
        ],
    )
    runs = sorted(
        {(row.method, row.seed) for row in rows}, key=lambda run: (order.index(run[0]), run[1])
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
        "remembered": remembered.draw(
            points.read_remembered(results, runs),
            names=names,
            colours=scene.colours,
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


def _elsewhere(
    rows: Sequence[Row], attack: str, reported: Path | None, reference: Path | None
) -> tuple[list[Other], list[Other]]:
    dataset, model = rows[0].dataset, rows[0].model
    papers, others = [], []
    if reported:
        found = elsewhere.read_reported(reported, dataset=dataset, model=model, attack=attack)
        papers = _beside(rows, found)
    # RobustBench's robustness is AutoAttack's alone: beside PGD it would look worse than it is.
    if reference and attack == "autoattack":
        ours = caption.our_radii(rows)
        others = elsewhere.read_reference(reference, dataset=dataset, radii=ours)
    return papers, others


def _beside(rows: Sequence[Row], papers: Sequence[Other]) -> list[Other]:
    """Return the reported points under the label of the run that they are about, if there is one.

    Where a run of ours has the point's label but stands for something else, the point is renamed.
    """
    ours: dict[tuple[str, str], str] = {}
    # Of runs with the same options, such as one in its authors' own shell, the point's label wins.
    for row in sorted(rows, key=lambda row: row.method in {paper.name for paper in papers}):
        if row.base_method:
            ours[row.base_method, row.options] = row.method
    taken = {row.method for row in rows if row.base_method}
    renamed = []
    for paper in papers:
        own = f"{paper.name}_reported" if paper.name in taken else paper.name
        renamed.append(replace(paper, name=ours.get((paper.base_method, paper.options), own)))
    return renamed


def _short(others: Sequence[Other]) -> dict[str, str]:
    return {other.name: frontier.short(other.name) for other in others}


def _name(label: str, of: Row | Other) -> str:
    return labels.method_name(label, of.base_method or None, options_of(of.options))


def _colours(known: Mapping[str, Row | Other]) -> dict[str, str]:
    """Return each label's colour, by the family of the method that it stands for."""
    families = {label: of.base_method or label for label, of in known.items()}
    by_family = style.colours(list(families.values()))
    return {label: by_family[name] for label, name in families.items()}


def _beta(label: str, of: Row | Other) -> float | None:
    """Return TRADES' beta, of the label where the summary does not tell the options."""
    if of.base_method:
        beta = options_of(of.options).get("beta") if of.base_method == "trades" else None
        return None if beta is None else float(beta)
    found = re.fullmatch(r"trades(?:_beta([0-9.]+))?", label)
    return None if found is None else float(found[1] or 6)


def _place(label: str, of: Row | Other) -> tuple[int, float, str]:
    """Return a sort key: families together, and TRADES by its beta."""
    family, name = labels.method_order(label, of.base_method)
    return (family, _beta(label, of) or 0.0, name)

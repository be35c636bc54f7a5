"""All figures of an experiment as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from bench.analysis.plots import (
    ablations,
    components,
    curves,
    diagnostics,
    frontier,
    panels,
    replay,
    style,
    surfaces,
    transfer,
)
from bench.analysis.plots.context import Context
from bench.results.experiment import ExperimentResults
from bench.results.published import Published
from bench.runtime.files import write_bytes


def draw_figures(results: ExperimentResults, published: Published, out: Path) -> list[Path]:
    """Write out/<figure>.{svg,pdf,png} of every figure that there is something for.

    The same results give the same bytes. All figures are drawn before the first file is written,
    and each file replaces the older one whole.

    Parameters
    ----------
    results
        The experiment.
    published
        What stands beside its numbers, where the data set is the same.
    out
        The folder for the figures; made if it does not exist.

    Raises
    ------
    BenchError
        A file of the results is missing or damaged; it names the file and the fix.
    """
    content = {}
    with style.styled():
        for name, figure in _figures(Context(results, published)):
            for form, data in style.encoded(figure).items():
                content[out / f"{name}.{form}"] = data
    for path, data in content.items():
        write_bytes(path, data)
    return list(content)


def _figures(context: Context) -> Iterator[tuple[str, Figure]]:
    yield "frontier", frontier.draw(frontier.frontier(context, context.attack))
    if found := curves.curves(context):
        yield "curves", panels.draw(found)
    if broken := components.components(context):
        yield "components", components.draw(broken)
    yield "replay", panels.draw(replay.replay(context))
    if strengths := diagnostics.strengths(context):
        yield "diagnostics", panels.draw(strengths)
    if planes := surfaces.surfaces(context):
        yield "surfaces", surfaces.draw(planes)
    if matrix := transfer.transfer(context):
        yield "transfer", transfer.draw(matrix)
    if differences := ablations.ablations(context):
        yield "ablations", ablations.draw(differences)

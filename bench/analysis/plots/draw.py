"""Every figure of an experiment: what it shows, and as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from bench.analysis.plots import style
from bench.analysis.plots.context import Context
from bench.analysis.plots.style import Chart
from bench.results.experiment import ExperimentResults
from bench.results.figures import FIGURES, FigureSpec
from bench.results.published import Published
from bench.runtime.files import write_bytes


class FigureData(Protocol):
    """What a figure shows, as the function `collect` of its module returns it."""

    @property
    def caption(self) -> Sequence[str]:
        """What a reader must know about the numbers, in sentences."""

    @property
    def columns(self) -> int:
        """How many charts the page has beside each other: 1, 2 or more."""

    def draw(self) -> Figure:
        """Return the figure for paper."""

    def charts(self) -> Mapping[str, Chart]:
        """Return the charts of the page by name."""


def collect_figures(context: Context) -> Iterator[tuple[FigureSpec, FigureData]]:
    """Yield every figure that there is something for, in their order."""
    for figure in FIGURES:
        data = import_module(f"bench.analysis.plots.{figure.name}").collect(context)
        if data is not None:
            yield figure, data


def draw_figures(results: ExperimentResults, published: Published, out: Path) -> list[Path]:
    """Write out/<figure>.{svg,pdf,png} of every figure that there is something for.

    The same results give the same bytes. All figures are drawn before the first file is written,
    and each file replaces the older one whole.

    Parameters
    ----------
    results
        The experiment.
    published
        Published numbers to show beside its own, where the data set is the same.
    out
        The folder for the figures; made if it does not exist.

    Raises
    ------
    BenchError
        A file of the results is missing or damaged; it names the file and the fix.
    """
    content = {}
    with style.styled():
        for figure, data in collect_figures(Context(results, published)):
            for form, written in style.encoded(data.draw()).items():
                content[out / f"{figure.name}.{form}"] = written
    for path, written in content.items():
        write_bytes(path, written)
    return list(content)

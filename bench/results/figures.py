"""The figures of an experiment, a line each: the workflow, the command and the page follow it.

Standard library only: the workflow plans with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.config.experiment import Experiment


def _always(_: Experiment) -> bool:
    return True


def _diagnosed(experiment: Experiment) -> bool:
    return bool(experiment.diagnosed())


def _surfaces(experiment: Experiment) -> bool:
    settings = experiment.diagnostics
    return settings is not None and bool(settings.surfaces and experiment.diagnosed())


@dataclass(frozen=True)
class FigureSpec:
    """A figure, whose module has its name: bench/analysis/plots/<name>.py.

    The page shows it in the section with the id `section`, below `heading` if there is one. Where
    `section` is empty, page.html has a place of its own for it. `asked` says of an experiment
    whether it has the figure; `collect` of the module gives None of no experiment that has it.
    """

    name: str
    section: str
    heading: str = ""
    asked: Callable[[Experiment], bool] = _always


FIGURES = (
    FigureSpec("frontier", ""),
    FigureSpec("components", "numbers"),
    FigureSpec("curves", "curves"),
    FigureSpec("replay", "replay"),
    FigureSpec("diagnostics", "robustness", "Against the strength of the attack", _diagnosed),
    FigureSpec(
        "transfer",
        "robustness",
        "Images of one network tried on another",
        lambda experiment: bool(experiment.transfer_seeds()),
    ),
    FigureSpec(
        "surfaces",
        "robustness",
        "The loss around one image",
        _surfaces,
    ),
    FigureSpec(
        "ablations",
        "open",
        "Which of them matter: ablations",
        lambda experiment: bool(experiment.ablations),
    ),
)

"""Where everything of an experiment lies. Standard library only: the workflow plans with it.

    results/<experiment>/                        Paths
        data.safetensors, data.json
        models/<method>/seed<k>/                 RunPaths
            best.safetensors, last.safetensors, history.csv, train.json
            evaluation.json, examples/<checkpoint>/<attack>.csv, cache/, state/
            diagnostics/
        transfer/seed<k>.{csv,json}
        reference/<model>/                       RunPaths, of a RobustBench model
        summary.csv, costs.csv, statistics.csv, claims.csv, ablations.csv, report.html
        tables/, figures/, logs/

Names and seeds may be Snakemake's wildcards, such as "{method}".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path("results")
FIGURE_FORMATS = ("svg", "pdf", "png")
TABLE_FORMATS = ("csv", "md", "tex")


@dataclass(frozen=True)
class RunPaths:
    """The files of one run, or of one RobustBench model that was evaluated."""

    folder: Path

    def of_method(self, method: str) -> RunPaths:
        """Return the files of another method with the same seed."""
        return RunPaths(self.folder.parents[1] / method / self.folder.name)

    @property
    def train_record(self) -> Path:
        """How the run was trained."""
        return self.folder / "train.json"

    @property
    def evaluation_record(self) -> Path:
        """How its checkpoints were evaluated."""
        return self.folder / "evaluation.json"

    @property
    def history(self) -> Path:
        """What every epoch measured."""
        return self.folder / "history.csv"

    def weights(self, checkpoint: str) -> Path:
        """Return the weights of a checkpoint."""
        return self.folder / f"{checkpoint}.safetensors"

    @property
    def examples_folder(self) -> Path:
        """The per-example results of all checkpoints and attacks."""
        return self.folder / "examples"

    def examples(self, checkpoint: str, attack: str) -> Path:
        """Return the per-example results of an attack on a checkpoint."""
        return self.examples_folder / checkpoint / f"{attack}.csv"

    def cached(self, checkpoint: str, attack: str) -> Path:
        """Return a finished attack with all that its results depend on.

        It is no rule's output: Snakemake would delete it before the job runs again.
        """
        return self.folder / "cache" / checkpoint / f"{attack}.json"

    @property
    def state_folder(self) -> Path:
        """What an interrupted job resumes from."""
        return self.folder / "state"

    @property
    def training_state(self) -> Path:
        """What an interrupted training resumes from."""
        return self.state_folder / "training.safetensors"

    @property
    def evaluation_state(self) -> Path:
        """The folder that an interrupted evaluation resumes from."""
        return self.state_folder / "evaluation"

    @property
    def diagnostics_record(self) -> Path:
        """The outcome of every diagnostic check."""
        return self.folder / "diagnostics" / "record.json"

    @property
    def curves(self) -> Path:
        """Accuracy against stronger attacks."""
        return self.folder / "diagnostics" / "curves.csv"

    @property
    def surfaces(self) -> Path:
        """The loss around a few test images."""
        return self.folder / "diagnostics" / "surfaces.csv"


@dataclass(frozen=True)
class Paths:
    """The files of one experiment."""

    folder: Path

    @classmethod
    def of(cls, experiment: str, results: Path = RESULTS) -> Paths:
        """Return the paths of an experiment by its name."""
        return cls(results / experiment)

    @property
    def data(self) -> Path:
        """The images."""
        return self.folder / "data.safetensors"

    @property
    def data_record(self) -> Path:
        """What the images are."""
        return self.folder / "data.json"

    @property
    def models(self) -> Path:
        """The folder of all runs."""
        return self.folder / "models"

    def run(self, method: str, seed: int | str) -> RunPaths:
        """Return the files of a run."""
        return RunPaths(self.models / method / f"seed{seed}")

    def runs(self) -> Iterator[RunPaths]:
        """Yield the runs that are trained, in the order of their paths."""
        for record in sorted(self.models.glob("*/seed*/train.json")):
            yield RunPaths(record.parent)

    def reference(self, name: str) -> RunPaths:
        """Return the files of a RobustBench model."""
        return RunPaths(self.folder / "reference" / name)

    def references(self) -> Iterator[RunPaths]:
        """Yield the RobustBench models that were evaluated, in the order of their paths."""
        for record in sorted((self.folder / "reference").glob("*/evaluation.json")):
            yield RunPaths(record.parent)

    def transfer_record(self, seed: int | str) -> Path:
        """Return the record of the transfer between the methods of a seed."""
        return self.folder / "transfer" / f"seed{seed}.json"

    def transfer(self, seed: int | str) -> Path:
        """Return the accuracies under transferred attacks."""
        return self.folder / "transfer" / f"seed{seed}.csv"

    @property
    def summary(self) -> Path:
        """One row for each network, checkpoint and attack."""
        return self.folder / "summary.csv"

    @property
    def costs(self) -> Path:
        """Seconds and memory of each training and each attack."""
        return self.folder / "costs.csv"

    @property
    def statistics(self) -> Path:
        """Estimates with their intervals."""
        return self.folder / "statistics.csv"

    @property
    def claims(self) -> Path:
        """The verdict on each claim."""
        return self.folder / "claims.csv"

    @property
    def ablations(self) -> Path:
        """Each variant minus its base."""
        return self.folder / "ablations.csv"

    @property
    def report(self) -> Path:
        """All results on one page."""
        return self.folder / "report.html"

    def table(self, name: str, form: str) -> Path:
        """Return a table for readers."""
        return self.folder / "tables" / f"{name}.{form}"

    def figure(self, name: str, form: str) -> Path:
        """Return a figure."""
        return self.folder / "figures" / f"{name}.{form}"

    def log(self, name: str) -> Path:
        """Return what a job prints."""
        return self.folder / "logs" / f"{name}.log"

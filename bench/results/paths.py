"""Where everything of an experiment lies. Standard library only: the workflow plans with it.

    results/<experiment>/                        Paths
        data.safetensors, data.json
        models/<method>/seed<k>/                 RunPaths
            best.safetensors, last.safetensors, history.csv, train.json
            network.json in place of the last three, of weights that were trained elsewhere
            evaluation.json, examples/<checkpoint>/<attack>.csv, cache/, state/
            diagnostics/
        transfer/seed<k>.{csv,json}
        reference/<model>/                       RunPaths, of a RobustBench model
        merged.json, of an experiment that was merged from parts
        summary.csv, costs.csv, statistics.csv, claims.csv, ablations.csv, report.html
        tables/, figures/, logs/
        analysis/<step>.json, the digests of what a step of the analysis wrote
    results/summary.csv                          a copy, of the default experiment

Names and seeds may be Snakemake's wildcards, such as "{method}".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

RESULTS = Path("results")
DEFAULT = "paper"  # the experiment whose summary is copied to results/summary.csv
STEPS = ("summary", "statistics", "claims", "tables", "ablations", "figures", "report")
# Of a run: what a job resumes from or reuses, and what the evaluation and the diagnostics make.
KEPT = ("cache", "state")
OF_EVALUATION = ("evaluation.json", "examples", "witnesses")
OF_DIAGNOSTICS = ("diagnostics",)
FIGURE_FORMATS = ("svg", "pdf", "png")
TABLE_FORMATS = ("csv", "md", "tex")


class RunPaths:
    """The files of one run, or of one RobustBench model that was evaluated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.train_record = folder / "train.json"
        self.network_record = folder / "network.json"  # of weights that were trained elsewhere
        self.evaluation_record = folder / "evaluation.json"
        self.history = folder / "history.csv"
        self.examples_folder = folder / "examples"
        # What an interrupted job resumes from.
        self.training_state = folder / "state" / "training.safetensors"
        self.evaluation_state = folder / "state" / "evaluation"
        self.diagnostics_record = folder / "diagnostics" / "record.json"
        self.curves = folder / "diagnostics" / "curves.csv"
        self.surfaces = folder / "diagnostics" / "surfaces.csv"

    @property
    def origin_record(self) -> Path:
        """The record of where the weights come from: of the training, or of others' weights."""
        return self.network_record if self.network_record.is_file() else self.train_record

    def of_method(self, method: str) -> RunPaths:
        """Return the files of another method with the same seed."""
        return RunPaths(self.folder.parents[1] / method / self.folder.name)

    def weights(self, checkpoint: str) -> Path:
        """Return the weights of a checkpoint."""
        return self.folder / f"{checkpoint}.safetensors"

    def examples(self, checkpoint: str, attack: str) -> Path:
        """Return the per-example results of an attack on a checkpoint."""
        return self.examples_folder / checkpoint / f"{attack}.csv"

    def witnesses(self, checkpoint: str) -> Path:
        """Return one adversarial image for each test image that fell, of a checkpoint."""
        return self.folder / "witnesses" / f"{checkpoint}.safetensors"

    def imported(self, checkpoint: str, name: str) -> Path:
        """Return adversarial images that others made for a checkpoint."""
        return self.folder / "imported" / checkpoint / f"{name}.safetensors"

    def imports(self, checkpoint: str) -> list[Path]:
        """Return all files that `imported` names, in the order of their names."""
        return sorted(self.imported(checkpoint, "*").parent.glob("*.safetensors"))

    def results(self) -> tuple[list[Path], list[Path], list[Path]]:
        """Return all files that are results: of weights, of their evaluation, of diagnostics."""
        stages: tuple[list[Path], list[Path], list[Path]] = ([], [], [])
        for path in sorted(self.folder.rglob("*")):
            first = path.relative_to(self.folder).parts[0]
            # Hidden files are of jobs that were killed, or of Snakemake.
            if path.is_file() and first not in KEPT and not path.name.startswith("."):
                stage = 1 if first in OF_EVALUATION else 2 if first in OF_DIAGNOSTICS else 0
                stages[stage].append(path)
        return stages

    def part(self, number: int | str, of: int | str) -> Path:
        """Return what a job leaves that makes a part of an evaluation."""
        return self.folder / "state" / "parts" / f"{number}of{of}.json"

    def cached(self, checkpoint: str, attack: str) -> Path:
        """Return a finished attack with all that its results depend on.

        It is no rule's output: Snakemake would delete it before the job runs again.
        """
        return self.folder / "cache" / checkpoint / f"{attack}.json"


class Paths:
    """The files of one experiment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data.safetensors"
        self.data_record = folder / "data.json"
        self.merged_record = folder / "merged.json"
        self.models = folder / "models"
        self.summary = folder / "summary.csv"
        self.costs = folder / "costs.csv"
        self.statistics = folder / "statistics.csv"
        self.claims = folder / "claims.csv"
        self.ablations = folder / "ablations.csv"
        self.report = folder / "report.html"
        self.figures = folder / "figures"
        self.default_summary = folder.parent / "summary.csv"

    @classmethod
    def of(cls, experiment: str, results: Path = RESULTS) -> Paths:
        """Return the paths of an experiment by its name."""
        return cls(results / experiment)

    def run(self, method: str, seed: int | str) -> RunPaths:
        """Return the files of a run."""
        return RunPaths(self.models / method / f"seed{seed}")

    def runs(self) -> Iterator[RunPaths]:
        """Yield the runs that have weights, in the order of their paths."""
        records = [
            *self.models.glob("*/seed*/train.json"),
            *self.models.glob("*/seed*/network.json"),
        ]
        for folder in sorted({record.parent for record in records}):
            yield RunPaths(folder)

    def begun(self) -> list[RunPaths]:
        """Return all runs that have a folder, finished or not, in the order of their paths."""
        return _folders(self.models, "*/seed*")

    def reference(self, name: str) -> RunPaths:
        """Return the files of a RobustBench model."""
        return RunPaths(self.folder / "reference" / name)

    def references(self) -> Iterator[RunPaths]:
        """Yield the RobustBench models that were evaluated, in the order of their paths."""
        for record in sorted((self.folder / "reference").glob("*/evaluation.json")):
            yield RunPaths(record.parent)

    def begun_references(self) -> list[RunPaths]:
        """Return all RobustBench models that have a folder, in the order of their paths."""
        return _folders(self.folder / "reference", "*")

    def transfer_record(self, seed: int | str) -> Path:
        """Return the record of the transfer between the methods of a seed."""
        return self.folder / "transfer" / f"seed{seed}.json"

    def transfer(self, seed: int | str) -> Path:
        """Return the accuracies under transferred attacks."""
        return self.folder / "transfer" / f"seed{seed}.csv"

    def transfer_records(self) -> list[Path]:
        """Return the records of transfer that are there."""
        return sorted(self.transfer_record("*").parent.glob("seed*.json"))

    def table(self, name: str, form: str) -> Path:
        """Return a table for readers."""
        return self.folder / "tables" / f"{name}.{form}"

    def figure(self, name: str, form: str) -> Path:
        """Return a figure."""
        return self.figures / f"{name}.{form}"

    def analysis_record(self, step: str) -> Path:
        """Return the record of one of `STEPS`."""
        return self.folder / "analysis" / f"{step}.json"

    def log(self, name: str) -> Path:
        """Return what a job prints."""
        return self.folder / "logs" / f"{name}.log"


def _folders(below: Path, pattern: str) -> list[RunPaths]:
    return [RunPaths(folder) for folder in sorted(below.glob(pattern)) if folder.is_dir()]

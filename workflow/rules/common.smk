# Everything that the rules compute. The planning process has no torch: what is imported
# here needs the standard library alone.

import json
import os
import sys
from pathlib import Path

ROOT = str(workflow.current_basedir.join("../..").get_path_or_uri(secret_free=True))
sys.path.insert(0, ROOT)

from snakemake.exceptions import WorkflowError

from bench.config.experiment import experiment, spec_json
from bench.config.loading import read_yaml
from bench.runtime.gpus import ABSENT, devices
from bench.config.parsing import BenchError
from bench.runtime.places import of_suite
from bench.planning.files import listing_digest
from bench.runtime.provenance import (
    data_digest,
    diagnose_digest,
    digest,
    evaluate_digest,
    reference_digest,
    train_digest,
    transfer_digest,
)
from bench.runtime.files import sha256

# Without --use-conda the jobs run in the environment of Snakemake itself, also when its `python`
# is not the first in PATH.
if not workflow.deployment_settings.deployment_method:
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ.update(PATH=os.pathsep.join(paths))

# The jobs use the code that was planned with, from whatever folder Snakemake was called, and not
# a module of the same name that lies there.
modules = [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ.update(PYTHONPATH=os.pathsep.join(modules), PYTHONSAFEPATH="1")

try:
    # Snakemake has read them already, and of a key given twice it has dropped the first.
    for file in workflow.configfiles:
        read_yaml(Path(file), flag="--configfile")
    EXPERIMENT = experiment(config)
except BenchError as error:
    raise WorkflowError(str(error))

# Without a limit Snakemake ignores `resources: gpu`, and any --resources replaces the profile's:
# one training at a time unless the user says how many devices there are.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)

NAME = EXPERIMENT.experiment
DEFAULT = "paper"  # its summary is copied to results/summary.csv
FIGURES = ["frontier", "curves", "components", "remembered"]
# Drawn where diagnostics are asked for.
EXAMINED_FIGURES = [
    *(["diagnostics"] if EXPERIMENT.diagnosed() else []),
    *(
        ["surfaces"]
        if EXPERIMENT.diagnosed() and EXPERIMENT.diagnostics.surfaces
        else []
    ),
    *(["transfer"] if EXPERIMENT.transfer_seeds() else []),
]
FIGURE_FORMS = ["svg", "pdf", "png"]
TABLE_FORMS = ["csv", "md", "tex"]
GPUS = 1 if EXPERIMENT.compute.device == "cuda" else 0
# On a device a job is one busy thread, and --cores must not keep a device idle.
THREADS = EXPERIMENT.compute.threads or (1 if GPUS else 4)


wildcard_constraints:
    method="|".join(method.label for method in EXPERIMENT.methods),
    seed=r"\d+",


def stop_without_device():
    """End a run on this machine before its first job if jobs need a device and it has none."""
    waiting = {job.rule.name for job in workflow.dag.needrun_jobs()}
    need = {"train", "evaluate", "reference", "diagnose", "transfer"}
    if GPUS and workflow.local_exec and waiting & need:
        if not devices():
            raise WorkflowError(ABSENT)


def results(path):
    """The path below the experiment's folder; wildcards are left for the rule to fill in."""
    return f"results/{NAME}/{path}"


IMAGES = results("data.safetensors")
ABOUT_IMAGES = results("data.json")  # small: what its content says counts, not its age


def about_images(wildcards):
    return checkpoints.data.get().output.about


def of_every_run(path):
    return [
        results(f"models/{method}/seed{seed}/{path}")
        for method, seed in EXPERIMENT.runs()
    ]


def of_every_method(path):
    """The paths of all methods' runs with the seed of a job."""
    return [
        results(f"models/{method.label}/seed{{seed}}/{path}")
        for method in EXPERIMENT.methods
    ]


def of_every_examined(path):
    return [
        results(f"models/{method}/seed{seed}/diagnostics/{path}")
        for method, seed in EXPERIMENT.diagnosed()
    ]


def transfers(form):
    return [
        results(f"transfer/seed{seed}.{form}") for seed in EXPERIMENT.transfer_seeds()
    ]


def references():
    return [
        results(f"reference/{name}/evaluation.json")
        for name in EXPERIMENT.reference.models
    ]


def figure_files(forms=FIGURE_FORMS):
    return [
        results(f"figures/{figure}.{form}")
        for figure in [*FIGURES, *EXAMINED_FIGURES]
        for form in forms
    ]


def examined_figure(name):
    """The vector file of a figure of the diagnostics, as a part of the report."""
    path, caption = results(f"figures/{name}.svg"), f"../report/{name}.rst"
    return report(path, caption=caption, category="Figures")


def ablation_files(forms=FIGURE_FORMS):
    if not EXPERIMENT.ablations:
        return []
    figures = [results(f"figures/ablations.{form}") for form in forms]
    return [results("ablations.csv"), results("tables/ablations.md"), *figures]


def ablation_numbers():
    return ablation_files()[:1]


def table_files(forms=TABLE_FORMS):
    tables = ["comparison", "costs"]
    return [results(f"tables/{name}.{form}") for name in tables for form in forms]


def final_files():
    # What a run leaves, too: a lost file is made again although all made from it is still there.
    left = ["best.safetensors", "last.safetensors", "history.csv", "train.json"]
    left += ["evaluation.json", "verdicts"]
    examined = ["record.json", "curves.csv", "surfaces.csv"]
    summary = ["results/summary.csv"] if NAME == DEFAULT else []
    return [
        results("summary.csv"),
        results("costs.csv"),
        results("statistics.csv"),
        results("claims.csv"),
        results("tables/claims.md"),
        results("report.html"),
        *summary,
        *table_files(),
        *figure_files(),
        *ablation_files(),
        *references(),
        *[path for name in examined for path in of_every_examined(name)],
        *transfers("csv"),
        *transfers("json"),
        *[path for name in left for path in of_every_run(name)],
    ]


def run_folder(wildcards, output):
    return Path(output.record).parent


def examined_folder(wildcards, output):
    """The folder that diagnostics are about: a run's, or the experiment's for transfer."""
    return Path(output.record).parents[1]


def folder_of_new_summary(wildcards, output):
    return Path(output.summary).parent


def folder_of_summary(wildcards, input):
    return Path(input.summary).parent


def run_names(runs):
    return [f"{method}/{seed}" for method, seed in runs]


# A job runs again when one of these changes: the JSON of its settings, or the digest of its code.
def data_spec():
    return json.dumps(spec_json(EXPERIMENT.data))


def train_spec(wildcards):
    return json.dumps(
        spec_json(EXPERIMENT.train_spec(wildcards.method, int(wildcards.seed)))
    )


def start_weights(wildcards):
    start = EXPERIMENT.method(wildcards.method).training.start
    run = f"models/{start}/seed{wildcards.seed}"
    return [] if start is None else results(f"{run}/best.safetensors")


def train_code(wildcards):
    method = EXPERIMENT.method(wildcards.method)
    return train_digest(method.name, EXPERIMENT.model.name, method.training.engine)


def analysis_code(stage):
    return digest([f"bench.analysis.{stage}"])


def page_texts():
    """Return the digests of what the report is made of beside its code."""
    folder = Path(ROOT, "bench", "analysis", "report")
    names = ["page.html", "page.css", "page.js", "choices.yaml"]
    return {name: sha256(folder / name) for name in names}


def experiment_spec():
    return json.dumps(spec_json(EXPERIMENT))


def evaluation_spec():
    return json.dumps(spec_json(EXPERIMENT.evaluation_spec()))


def evaluation_code():
    return evaluate_digest(EXPERIMENT.model.name)


def diagnostics_spec():
    if EXPERIMENT.diagnostics is None:
        return ""
    return json.dumps(spec_json(EXPERIMENT.diagnostics_spec()))

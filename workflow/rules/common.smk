# Everything that the rules compute. The planning process has no torch: what is imported
# here needs the standard library alone.

import json
import os
import shlex
import sys
from functools import cache
from pathlib import Path

ROOT = str(workflow.current_basedir.join("../..").get_path_or_uri(secret_free=True))
# The checkout; an installed `bench` carries this file and is found without it.
sys.path.insert(0, ROOT)

from snakemake.exceptions import WorkflowError

from bench.config.claims import claim_files
from bench.config.experiment import experiment, spec_json
from bench.config.loading import read_yaml
from bench.config.schema import CHECKPOINTS
from bench.data.listing import listing_digest
from bench.planning import slurm
from bench.planning.sizes import check_sizes
from bench.results import staleness
from bench.results.figures import FIGURES
from bench.results.paths import DEFAULT, FIGURE_FORMATS, STEPS, TABLE_FORMATS, Paths
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.gpus import ABSENT, devices
from bench.runtime.places import INSTALLED, PACKAGE, of_suite
from bench.runtime.provenance import analysis_digest

# Without --use-conda the jobs run in the environment of Snakemake itself, also when its `python`
# is not the first in PATH.
if not workflow.deployment_settings.deployment_method:
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ.update(PATH=os.pathsep.join(paths))

if INSTALLED and workflow.deployment_settings.deployment_method:
    raise WorkflowError(
        "--use-conda: the environment that it builds has no memloss-bench installed; leave it "
        "out, or run the workflow of a checkout"
    )

# The jobs use the code that was planned with, from whatever folder Snakemake was called, and not
# a module of the same name that lies there. It is said in the shell, since Snakemake takes PYTHONPATH
# out of the environment of a job that conda is used for.
shell.prefix(
    "set -euo pipefail; export PYTHONSAFEPATH=1"
    f" PYTHONPATH={shlex.quote(ROOT)}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; "
)

try:
    # Snakemake has read them already, and of a key given twice it has dropped the first.
    for file in workflow.configfiles:
        read_yaml(Path(file), flag="--configfile")
    EXPERIMENT = experiment(config)
    check_sizes(EXPERIMENT)
    CLAIM_FILES = claim_files(
        [method.name for method in EXPERIMENT.methods], EXPERIMENT.claims
    )
except BenchError as error:
    raise WorkflowError(str(error))

# Without a limit Snakemake ignores `resources: gpu`, and any --resources replaces the profile's:
# one training at a time unless the user says how many devices there are.
if "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", 1)

NAME = EXPERIMENT.experiment
PATHS = Paths.of(NAME)
RUN = PATHS.run("{method}", "{seed}")  # of a job, whose wildcards the rule fills in
# They are imported by their names, which the digest of the code does not follow.
FIGURE_MODULES = [f"plots.{figure.name}" for figure in FIGURES]
ON_CUDA = EXPERIMENT.compute.device == "cuda"
# On a device a job is one busy thread, and --cores must not keep a device idle.
THREADS = EXPERIMENT.compute.threads or (1 if ON_CUDA else 4)


TRAINED = "|".join(method.label for method in EXPERIMENT.methods)
EXTERNAL = "|".join(EXPERIMENT.networks) or "(?!)"  # which matches nothing


wildcard_constraints:
    method="|".join(filter(None, (TRAINED, *EXPERIMENT.networks))),
    seed=r"\d+",


# A GPU, as each executor calls it: `gpu` is the lock of this machine and Slurm's, and Kubernetes' with
# the manufacturer; `nvidia_gpu` is Google Batch's, `_gpus` AWS Batch's. A job without a GPU has none of
# these keys, since some take the key alone for a request. `attempt` is for the line below.
GPU = {"gpu": 1, "gpu_manufacturer": "nvidia", "nvidia_gpu": 1, "_gpus": 1}
REQUEST = {
    "attempt": lambda wildcards, attempt: attempt,
    **(GPU if ON_CUDA else {}),
}


def attempt(command):
    """Return the line of a job that may be sent again, and keeps the log of each failed attempt.

    Snakemake removes the log before the next one. A command that ended with 1 would end so again:
    the next attempts say what it said.
    """
    return (
        "test {resources.attempt} -gt 1 || rm -f {log}.*\n"
        "test ! -e {log}.final || {{ cp {log}.final {log}; exit 1; }}\n"
        ": > {log}; ln -f {log} {log}.{resources.attempt}\n"
        f"python -m bench {command} >> {{log}} 2>&1 || {{{{\n"
        "    code=$?; test $code -ne 1 || cp {log} {log}.final; exit $code\n"
        "}}\n"
        "rm {log}.{resources.attempt}"
    )


def asked(job):
    """Return the resources of a job, but for those that depend on files which are not there yet."""
    later = {"disk", "disk_mb", "tmpdir"}
    return dict(
        job.rule.expand_resources(
            job.wildcards_dict, job.input, 1, skip_evaluation=later
        )
    )


@cache
def stop_where_jobs_cannot_run():
    """End a run before it builds an environment or sends a job, if its jobs could not run."""
    executor = workflow.executor_plugin
    planned_only = executor is None or workflow.dryrun or workflow.touch
    if planned_only or not workflow.is_main_process:
        return
    try:
        if workflow.local_exec and ON_CUDA and not devices():
            raise BenchError(ABSENT)
        if executor.name == "slurm":
            sent = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
            settings = workflow.executor_settings
            settings.status_command = slurm.ready(
                [(job.rule.name, asked(job)) for job in sent],
                at_once=workflow.nodes,
                interval=settings.init_seconds_before_status_checks,
            )
    except BenchError as error:
        raise WorkflowError(str(error))


def look_for_jobs_when_one_ends():
    """Take back Snakemake's default limit of jobs by time; another one, of the user's, stays.

    With a limit its scheduler looks for jobs once a second more for each job that has ended
    (github.com/snakemake/snakemake, issue 2967).
    """
    settings = workflow.scheduling_settings
    limit = settings and settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        settings.max_jobs_per_timespan = None


def ready(wildcards):
    """Return the priority of a job that trains or attacks.

    Snakemake asks for it when it knows which jobs have to run, and before it builds environments.
    """
    stop_where_jobs_cannot_run()
    look_for_jobs_when_one_ends()
    return 0


def own(name):
    """Return a file of the suite, which no storage holds."""
    return local(of_suite(name))


def about_images(wildcards):
    return checkpoints.data.get().output.about


def of_every_training(*names):
    """Files of all runs that are trained, each by its name in RunPaths."""
    runs = [PATHS.run(*pair) for pair in EXPERIMENT.runs()]
    return [getattr(run, name) for run in runs for name in names]


def of_every_run(*names):
    """Files of all runs, trained or taken from a file, each by its name in RunPaths."""
    runs = [PATHS.run(*pair) for pair in EXPERIMENT.evaluated()]
    return [getattr(run, name) for run in runs for name in names]


def origin(label, seed):
    """Return the record of where the weights of a run come from."""
    run = PATHS.run(label, seed)
    return run.network_record if label in EXPERIMENT.networks else run.train_record


def origins():
    return [origin(*pair) for pair in EXPERIMENT.evaluated()]


def checkpoints_of(label):
    # Weights of others are one checkpoint.
    return ["best"] if label in EXPERIMENT.networks else CHECKPOINTS


def weights_of(label, seed):
    run = PATHS.run(label, seed)
    return [run.weights(checkpoint) for checkpoint in checkpoints_of(label)]


def origin_of_run(wildcards):
    return origin(wildcards.method, wildcards.seed)


def weights_of_run(wildcards):
    return weights_of(wildcards.method, wildcards.seed)


def labels_of_seed(wildcards):
    return EXPERIMENT.labels_of(int(wildcards.seed))


def of_every_label(wildcards):
    """Files of all runs with the seed of a job."""
    labels, seed = labels_of_seed(wildcards), wildcards.seed
    runs = [PATHS.run(label, seed) for label in labels]
    return [
        *[path for label in labels for path in weights_of(label, seed)],
        *[origin(label, seed) for label in labels],
        *[
            path
            for run in runs
            for path in (run.evaluation_record, run.examples_folder)
        ],
    ]


def of_every_diagnosed(*names):
    runs = [PATHS.run(*pair) for pair in EXPERIMENT.diagnosed()]
    return [getattr(run, name) for run in runs for name in names]


def transfers(of=PATHS.transfer):
    return [of(seed) for seed in EXPERIMENT.transfer_seeds()]


def references():
    return [
        PATHS.reference(name).evaluation_record for name in EXPERIMENT.reference.models
    ]


def figure_files(forms=FIGURE_FORMATS):
    return [
        PATHS.figure(figure.name, form)
        for figure in FIGURES
        if figure.asked(EXPERIMENT)
        for form in forms
    ]


def ablation_files():
    if not EXPERIMENT.ablations:
        return []
    return [PATHS.ablations, PATHS.table("ablations", "md")]


def analysis_records():
    steps = [step for step in STEPS if step != "ablations" or EXPERIMENT.ablations]
    return [PATHS.analysis_record(step) for step in steps]


def table_files(forms=TABLE_FORMATS):
    return [
        PATHS.table(name, form) for name in ("comparison", "costs") for form in forms
    ]


def final_files():
    # What a run leaves, too: a lost file is made again although all made from it is still there.
    return [
        PATHS.summary,
        PATHS.costs,
        PATHS.statistics,
        PATHS.claims,
        PATHS.table("claims", "md"),
        PATHS.report,
        *([PATHS.default_summary] if NAME == DEFAULT else []),
        *table_files(),
        *figure_files(),
        *ablation_files(),
        *analysis_records(),
        *references(),
        *of_every_diagnosed("diagnostics_record", "curves", "surfaces"),
        *transfers(),
        *transfers(PATHS.transfer_record),
        *[path for pair in EXPERIMENT.evaluated() for path in weights_of(*pair)],
        *origins(),
        *of_every_training("history"),
        *of_every_run("evaluation_record", "examples_folder"),
    ]


def here(folder, output):
    """Return `folder` where the job finds it: a storage keeps its local files below a prefix."""
    prefix, _, _ = str(output[0]).rpartition(str(PATHS.folder))
    return Path(prefix, folder)


def experiment_folder(wildcards, output):
    return here(PATHS.folder, output)


def run_folder(wildcards, output):
    return here(PATHS.run(wildcards.method, wildcards.seed).folder, output)


def reference_folder(wildcards, output):
    return here(PATHS.reference(wildcards.name).folder, output)


def run_names(runs):
    return [f"{method}/{seed}" for method, seed in runs]


# A job runs again when one of these changes: the JSON of its settings, or the digest of its code.
def train_inputs(wildcards):
    return staleness.train_inputs(EXPERIMENT, wildcards.method, int(wildcards.seed))


def train_spec(wildcards):
    return json.dumps(train_inputs(wildcards).json)


def train_code(wildcards):
    return train_inputs(wildcards).code


def network_inputs(wildcards):
    return staleness.network_inputs(EXPERIMENT, wildcards.method, int(wildcards.seed))


def network_spec(wildcards):
    return json.dumps(network_inputs(wildcards).json)


def network_code(wildcards):
    return network_inputs(wildcards).code


def network_files(wildcards):
    """Return the files of others that a job reads; one that is missing is told by the job."""
    spec = network_inputs(wildcards).spec
    return [local(path) for path in (spec.path, spec.source) if path and path.is_file()]


def origin_spec(wildcards):
    return json.dumps(
        spec_json(EXPERIMENT.origin_spec(wildcards.method, int(wildcards.seed)))
    )


def transfer_param(key):
    def param(wildcards):
        if EXPERIMENT.diagnostics is None:
            return ""
        found = staleness.transfer_inputs(EXPERIMENT, int(wildcards.seed))
        return {"spec": json.dumps(found.json), "code": found.code}[key]

    return param


def needed_weights(wildcards):
    needed = EXPERIMENT.method(wildcards.method).needs.values()
    return [PATHS.run(label, wildcards.seed).weights("best") for label in needed]


def other_networks(wildcards):
    """Weights of other networks of the seed that attacks on a run use, and their records."""
    seed = wildcards.seed
    spec = EXPERIMENT.evaluation_spec_of(wildcards.method, int(seed))
    weights = [PATHS.run(label, seed).weights("best") for label in spec.networks]
    return [*weights, *[origin(label, seed) for label in spec.networks]]


def parts_of_run(wildcards):
    """Parts of AutoAttack on a run, where the config divides it into jobs."""
    jobs = EXPERIMENT.evaluation.jobs if EXPERIMENT.evaluation.autoattack else 1
    run = PATHS.run(wildcards.method, wildcards.seed)
    return [run.part(number, jobs) for number in range(jobs)] if jobs > 1 else []


NOTHING = {"spec": "", "code": ""}


def of_experiment(inputs):
    """Return the params of a job whose inputs are the same for all methods."""
    found = inputs(EXPERIMENT)
    return {"spec": json.dumps(found.json), "code": found.code}


def of_method(inputs):
    """Return the params of a job of one run, whose inputs depend on its method."""
    return of_wildcards(lambda wildcards: inputs(EXPERIMENT, wildcards.method))


def of_run(inputs):
    """Return the params of a job of one run, whose inputs depend on its method and seed."""
    return of_wildcards(
        lambda wildcards: inputs(EXPERIMENT, wildcards.method, int(wildcards.seed))
    )


def of_wildcards(found):
    def param(key):
        return lambda wildcards: of_experiment(lambda _: found(wildcards))[key]

    return {key: param(key) for key in NOTHING}


def experiment_spec():
    return json.dumps(spec_json(EXPERIMENT))


def page_texts():
    """Return the digests of what the report is made of beside its code."""
    folder = PACKAGE / "analysis" / "report"
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix != ".py" and path.is_file()
    ]
    return {path.name: sha256(path) for path in files}

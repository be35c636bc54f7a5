"""What executors request for a job: run by test_clouds.py where their plugins are installed.

Reads the resources of jobs, a JSON object by name, and prints each executor's own request.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from unittest.mock import Mock


class Resources(dict):
    """Read by key and by attribute, as Snakemake's are."""

    __getattr__ = dict.__getitem__


def slurm(job):
    from snakemake_executor_plugin_slurm.submit_string import get_submit_command
    from snakemake_executor_plugin_slurm.utils import set_gres_string

    names = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    return get_submit_command(job, dict.fromkeys(names, "")) + set_gres_string(job)


def kubernetes(job):
    from snakemake_executor_plugin_kubernetes import Executor

    executor = Mock(
        container_image="image",
        k8s_cpu_scalar=1,
        namespace="default",
        persistent_volumes=[],
        privileged=False,
        run_namespace="run",
        secret_envvars={},
    )
    executor.format_job_exec.return_value = "true"
    executor.k8s_service_account_name = None
    executor._kubernetes_retry = lambda create: create()
    Executor.run_job(executor, job)
    ((_, body), _) = executor.batchapi.create_namespaced_job.call_args
    (container,) = body.spec.template.spec.containers
    return {"requests": container.resources.requests, "limits": container.resources.limits}


def google_batch(job):
    from snakemake_executor_plugin_googlebatch.executor import GoogleBatchExecutor

    found = GoogleBatchExecutor.get_accelerators(None, job)
    return [{"type": one.type_, "count": one.count} for one in found]


def aws_batch(job):
    from snakemake_executor_plugin_aws_batch.batch_job_builder import BatchJobBuilder

    client = Mock()
    BatchJobBuilder(Mock(), job, {}, "", Mock(), "true", client).build_job_definition()
    return client.register_job_definition.call_args.kwargs["containerProperties"][
        "resourceRequirements"
    ]


def job_with(resources):
    return SimpleNamespace(
        name="train",
        jobid=1,
        attempt=1,
        threads=1,
        is_containerized=False,
        resources=Resources(resources, _cores=1),
    )


if __name__ == "__main__":
    executors = (slurm, kubernetes, google_batch, aws_batch)
    json.dump(
        {
            name: {executor.__name__: executor(job_with(resources)) for executor in executors}
            for name, resources in json.load(sys.stdin).items()
        },
        sys.stdout,
    )

"""What is said of a Slurm cluster's limits before the first job, from what its commands print."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from bench.planning import slurm
from bench.runtime.errors import BenchError

PARTITIONS = """\
PartitionName=main AllowQos=ALL Default=YES MaxTime=1-12:00:00 Nodes=a
PartitionName=brief AllowQos=ALL Default=NO MaxTime=00:30:00 Nodes=a
PartitionName=open AllowQos=ALL Default=NO MaxTime=UNLIMITED Nodes=a
"""


def request(**resources):
    return ("train", resources)


@pytest.mark.parametrize(
    ("partition", "minutes"),
    [(None, 36 * 60), ("brief", 30), ("open", 10**6), ("brief,main", 36 * 60), (None, None)],
)
def test_a_job_within_the_limit_of_its_partition_is_sent(partition, minutes):
    slurm.check_times([request(slurm_partition=partition, runtime=minutes)], PARTITIONS)


@pytest.mark.parametrize(
    ("partition", "minutes", "key"),
    [
        (None, 36 * 60 + 1, "runtime"),
        ("brief", 31, "runtime"),
        ("gpu", 1, "slurm_partition"),
        ("main,gpu", 1, "slurm_partition"),
    ],
)
def test_a_job_that_would_wait_for_ever_is_told_by_its_key(partition, minutes, key):
    with pytest.raises(BenchError, match=f"^{key}: train .*{slurm.PROFILE}"):
        slurm.check_times([request(slurm_partition=partition, runtime=minutes)], PARTITIONS)


@pytest.mark.parametrize(
    ("account", "at_once", "jobs", "told"),
    [
        ("lab", 16, 20, True),
        ("lab", 4, 20, False),
        ("lab", 16, 4, False),
        ("free", 16, 20, False),
        ("", 16, 20, False),  # Slurm's default may be the one without a limit
    ],
)
def test_more_jobs_than_an_account_takes_are_told_before_the_first(account, at_once, jobs, told):
    requests = [request(slurm_account=account)] * jobs
    if not told:
        slurm.check_submits(requests, at_once, "lab|4\nfree|\n")
        return
    with pytest.raises(BenchError, match=r"^jobs: 16 .*`jobs: 4`"):
        slurm.check_submits(requests, at_once, "lab|4\nfree|\n")


@pytest.mark.parametrize(
    ("age", "interval", "accounting", "command"),
    [
        (300, 40, False, "squeue"),
        (300, 40, True, "squeue"),
        (120, 40, True, "sacct"),  # squeue is asked every 180 s at last
        (300, 150, True, "sacct"),
    ],
)
def test_a_jobs_end_is_read_where_it_is_seen(age, interval, accounting, command):
    assert slurm.status_command(age, interval, accounting=accounting) == command


def test_a_cluster_where_no_command_sees_a_jobs_end_is_refused():
    with pytest.raises(BenchError, match="MinJobAge"):
        slurm.status_command(60, 40, accounting=False)


@pytest.mark.parametrize("kind", ["none", "slurmdbd"])
def test_an_account_is_asked_about_where_there_is_accounting(monkeypatch, kind):
    asked = []

    def run(command, **_):
        asked.append(command[0])
        said = {
            "config": f"AccountingStorageType   = accounting_storage/{kind}\nMinJobAge = 300 sec\n",
            "partition": PARTITIONS,
            "assoc": "lab|\n",
        }
        (stdout,) = (text for kind, text in said.items() if kind in command)
        return SimpleNamespace(returncode=0, stdout=stdout)

    monkeypatch.setattr(subprocess, "run", run)
    assert slurm.ready([request(runtime=720)], at_once=16, interval=40) == "squeue"
    assert ("sacctmgr" in asked) is (kind == "slurmdbd")


def test_a_machine_without_slurm_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchError, match="login node"):
        slurm.ready([], at_once=1, interval=40)

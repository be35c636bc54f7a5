"""What a Slurm cluster allows, asked before the first job is sent. Standard library only.

Slurm keeps a job over a partition's time limit in the queue for ever, refuses one job too many only
after the others, and `sacct` never tells of a job's end where accounting is off.
"""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from bench.runtime.errors import BenchError

PROFILE = "profiles/slurm/profile.yaml"
LONGEST_INTERVAL = 180  # seconds; to which the executor lets its first one grow
Request = tuple[str, Mapping[str, Any]]  # a rule and what its job asks for


def ready(requests: Iterable[Request], *, at_once: int, interval: int) -> str:
    """Return the command that tells the executor reliably of a job's end.

    Parameters
    ----------
    requests
        The rule and the resources of every job to send; `runtime` is in minutes.
    at_once
        How many of them may be in the queue together.
    interval
        Seconds before the first look at a job.

    Raises
    ------
    BenchError
        A job would wait for ever or be refused, or no command tells of its end.
    """
    requests = list(requests)
    config = _pairs(_ask("scontrol", "show", "config"))
    accounting = "slurmdbd" in config.get("AccountingStorageType", "")
    check_times(requests, _ask("scontrol", "show", "partition", "--oneliner"))
    if accounting:
        fields = "format=Account,MaxSubmitJobs"
        user = f"user={getpass.getuser()}"
        check_submits(
            requests, at_once, _ask("sacctmgr", "-nP", "show", "assoc", "where", user, fields)
        )
    return status_command(int(config["MinJobAge"].split()[0]), interval, accounting=accounting)


def status_command(min_job_age: int, interval: int, *, accounting: bool) -> str:
    """Return "squeue", or "sacct" where the cluster forgets ended jobs sooner than they are seen.

    `sacct` says "CANCELLED by 0" of a cancelled job, which the executor takes for one that runs.
    """
    if min_job_age > max(3 * interval - 1, LONGEST_INTERVAL):
        return "squeue"
    if accounting:
        return "sacct"
    raise BenchError(
        f"Slurm forgets a job {min_job_age} s after its end (MinJobAge) and keeps no accounting, "
        "so that end would not be seen; ask the cluster's administrator for a MinJobAge of 300 s"
    )


def check_times(requests: Sequence[Request], partitions: str) -> None:
    """Raise BenchError for a job over the limit of its partition in `scontrol`'s `partitions`."""
    found = {one["PartitionName"]: one for line in partitions.splitlines() if (one := _pairs(line))}
    default = [name for name, one in found.items() if one.get("Default") == "YES"]
    for rule, resources in requests:
        named = str(resources.get("slurm_partition") or "").split(",")
        names = [name for name in named if name] or default
        if unknown := [name for name in names if name not in found]:
            raise BenchError(
                f"slurm_partition: {rule} asks for {unknown[0]!r}, which the cluster does not "
                f"have; name one of {', '.join(found)} in default-resources of {PROFILE}"
            )
        limits = [_minutes(found[name].get("MaxTime", "UNLIMITED")) for name in names]
        asked = resources.get("runtime")
        if limits and isinstance(asked, int) and asked > max(limits):
            raise BenchError(
                f"runtime: {rule} asks for {asked} min, and the partition {' or '.join(names)} "
                f"ends a job after {max(limits):.0f} min; set runtime to that, and `retries` to "
                f"how often a training then has to go on, in {PROFILE}"
            )


def check_submits(requests: Sequence[Request], at_once: int, associations: str) -> None:
    """Raise BenchError where an account takes fewer jobs at once than will be sent.

    `associations` are the user's, a line of account and limit each, as `sacctmgr` prints them.
    """
    pairs = [line.split("|") for line in associations.splitlines() if "|" in line]
    limits = {account: int(limit) if limit else inf for account, limit, *_ in pairs}
    sent = min(at_once, len(requests))
    for named in {str(resources.get("slurm_account") or "") for _, resources in requests}:
        # Without one it is Slurm's default, which may be any of them.
        limit = limits.get(named, inf) if named else max(limits.values(), default=inf)
        if sent > limit:
            raise BenchError(
                f"jobs: {sent} would be in the queue at once, and the account "
                f"{named or ' or '.join(limits)} takes {limit} of yours (MaxSubmitJobs); set "
                f"`jobs: {limit}` in {PROFILE} or add --jobs {limit}"
            )


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise BenchError(
            f"{command[0]} is not installed here; run this on a login node of the Slurm cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"{' '.join(command)}: no answer in 60 s; is slurmctld up?") from None
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _pairs(text: str) -> dict[str, str]:
    """Return the `key=value` of a line, or the `key = value` of lines."""
    lines = text.splitlines() if " = " in text else text.split()
    split = (line.partition("=") for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, _, value in split}


def _minutes(limit: str) -> float:
    """Return the minutes of `[days-]hours:minutes:seconds`."""
    if limit == "UNLIMITED":
        return inf
    days, _, clock = limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60

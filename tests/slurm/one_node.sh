#!/usr/bin/env bash
# A Slurm cluster of one node with a pretended GPU, all of it below one folder: nothing of the
# machine's own Slurm, if it has one, is read or written. For root, with Debian's packages
#
#   apt-get install --no-install-recommends slurm-wlm munge            # and, with accounting,
#   apt-get install --no-install-recommends slurmdbd mariadb-server
#
#   one_node.sh start FOLDER [accounting]
#   export SLURM_CONF=FOLDER/slurm.conf PATH=FOLDER/bin:$PATH
#   one_node.sh stop FOLDER
set -euo pipefail

command=$1
folder=$(realpath -m "$2")
accounting=${3:-}
port=${SLURM_TEST_PORT:-16800} # and the three above it
host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf

# Keep a daemon that stays in the foreground, and its number, until `stop`.
keep() {
    local name=$1
    shift
    setsid "$@" > "$folder/$name.out" 2>&1 < /dev/null &
    echo $! >> "$folder/pids"
}

# Wait up to 30 s for a command to succeed.
until_it_works() {
    local end=$((SECONDS + 30))
    while [ $SECONDS -lt $end ]; do
        timeout 10 "$@" > /dev/null 2>&1 && return
        sleep 0.2
    done
    echo "no answer: $*" >&2
    tail -qn 3 "$folder"/*.out >&2
    exit 1
}

write_configuration() {
    cat > "$folder/slurm.conf" << CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=10
MinJobAge=300
$1
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=8000 Gres=gpu:1
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE
PartitionName=brief Nodes=$host MaxTime=00:30:00
CONF
    # Snakemake's executor takes SLURM_CONF from a job's step.
    mkdir -p "$folder/bin"
    printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" \
        > "$folder/bin/srun"
    chmod +x "$folder/bin/srun"
    echo "Name=gpu File=/dev/null" > "$folder/gres.conf"
    echo "CgroupPlugin=cgroup/v1" > "$folder/cgroup.conf"
}

start_database() {
    cat > "$folder/slurmdbd.conf" << CONF
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$((port + 2))
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((port + 3))
StorageUser=slurm
StoragePass=test
StorageLoc=slurm
PidFile=$folder/slurmdbd.pid
CONF
    chmod 600 "$folder/slurmdbd.conf"
    mariadb-install-db --no-defaults --user=root --datadir="$folder/data" > "$folder/install.out" 2>&1
    keep mariadbd mariadbd --no-defaults --user=root --datadir="$folder/data" \
        --socket="$folder/mariadb.socket" --bind-address=127.0.0.1 --port=$((port + 3)) \
        --innodb-lock-wait-timeout=900
    until_it_works mariadb-admin --socket="$folder/mariadb.socket" ping
    mariadb --socket="$folder/mariadb.socket" << 'SQL'
CREATE DATABASE slurm;
CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY 'test';
GRANT ALL ON slurm.* TO 'slurm'@'127.0.0.1';
SQL
    keep slurmdbd slurmdbd -D
    until_it_works sacctmgr -n show cluster
    sacctmgr -i -Q add cluster one
    sacctmgr -i -Q add account lab Description=lab Organization=lab
    sacctmgr -i -Q add user "$(id -un)" Account=lab
}

start() {
    mkdir -p "$folder/state" "$folder/spool"
    chmod 755 "$folder"
    : > "$folder/pids"
    (umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
    keep munged munged --foreground --force --key-file="$folder/munge.key" \
        --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
        --log-file="$folder/munge.log" --seed-file="$folder/munge.seed"
    until_it_works munge -n -S "$folder/munge.socket"
    if [ "$accounting" ]; then
        write_configuration "AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((port + 2))
AccountingStoragePass=socket=$folder/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=limits
JobAcctGatherType=jobacct_gather/linux"
        start_database
    else
        write_configuration "AccountingStorageType=accounting_storage/none"
    fi
    keep slurmctld slurmctld -D
    keep slurmd slurmd -D -N "$host"
    until_it_works sh -c 'sinfo -h -o %t | grep -q idle'
}

stop() {
    timeout 20 scancel --user="$(id -un)" 2> /dev/null || true
    sleep 1
    # In the reverse order: the last one started needs those before it.
    for pid in $(tac "$folder/pids" 2> /dev/null); do
        # The number may be another's by now.
        tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qE '^(munged|mariadbd|slurm)' || continue
        kill "$pid"
        for _ in $(seq 100); do
            [ -e "/proc/$pid" ] || break
            sleep 0.1
        done
    done
    rm -f "$folder/pids"
}

case $command in
    start | stop) "$command" ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0" && exit 2 ;;
esac

"""The configuration of a test Slurm: slurm.conf and the files beside it, in one folder, for daemons on 127.0.0.1."""

import getpass
import os
import socket
from collections.abc import Sequence
from pathlib import Path

CPUS = 16  # of a node in Slurm's view, whatever the machine has: jobs queue for GPUs here, not for cores
LEAN = 1000  # MB per CPU at most in partition `lean`: a job with more memory gets more CPUs

# slurmctld forgets ended jobs after 2 seconds: only the database has them. A job with too much memory is killed.
ACCOUNTED = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
MinJobAge=2
MaxArraySize=3
"""
UNACCOUNTED = "JobAcctGatherType=jobacct_gather/none\n"


def write_slurm(folder: Path, nodes: Sequence[str], gpus: Sequence[str], accounting: int | None) -> Path:
    """Write slurm.conf, gres.conf and munge's key; return the path of slurm.conf. `accounting` is slurmdbd's port.

    Without accounting the nodes have two threads per core, as most nodes have: a job of one CPU gets two. Partition
    `whole` gives whole nodes, `lean` one CPU per GB: there too a job gets more CPUs than it requests.
    """
    with (folder / "munge.key").open("wb") as key:
        os.fchmod(key.fileno(), 0o600)
        key.write(os.urandom(1024))
    controller, *ports = free_ports(1 + len(nodes))
    host = socket.gethostname().split(".")[0]
    threads = 1 if accounting else 2
    cores = f"Boards=1 SocketsPerBoard=1 CoresPerSocket={CPUS // threads} ThreadsPerCore={threads}"
    resources = f"{cores} CPUs={CPUS} RealMemory=1000000 Gres=gpu:{len(gpus)}"
    lines = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {resources}"
        for node, port in zip(nodes, ports, strict=True)
    ]
    names = ",".join(nodes)
    (folder / "gres.conf").write_text(f"NodeName={names} Name=gpu Count={len(gpus)} File={','.join(gpus)}\n")
    configuration = folder / "slurm.conf"
    configuration.write_text(
        f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={os.getuid()}
SlurmdUser={os.getuid()}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=5
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes={names} Default=YES MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
PartitionName=spot Nodes={names} MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=whole Nodes={names} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF OverSubscribe=EXCLUSIVE
PartitionName=lean Nodes={names} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF MaxMemPerCPU={LEAN}
{ACCOUNTED.format(folder=folder, port=accounting) if accounting else UNACCOUNTED}
"""
        + "\n".join(lines)
        + "\n"
    )
    (folder / "state").mkdir()
    return configuration


def write_slurmdbd(folder: Path, port: int, database: int) -> Path:
    """Write slurmdbd.conf beside slurm.conf, where slurmdbd looks for it; `database` is mariadbd's port."""
    configuration = folder / "slurmdbd.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f"""
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={getpass.getuser()}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=root
"""
    )
    return configuration


def free_ports(count: int) -> list[int]:
    """Return TCP ports on which no process listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports

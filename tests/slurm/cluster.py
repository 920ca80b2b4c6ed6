"""A real Slurm of one node in a temporary folder, for tests: no systemd, no cgroups, GPUs that are device files.

The GPUs are /dev/zero and /dev/full: Slurm schedules them as it does real ones, each job has its CUDA_VISIBLE_DEVICES.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

CPUS = 16  # as told to Slurm, whatever the machine has: jobs queue for GPUs here, not for cores
DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")


@dataclass(frozen=True)
class Cluster:
    """A running Slurm. `environment` is what a process needs to reach it (os.environ and SLURM_CONF)."""

    folder: Path
    environment: dict[str, str]

    def jobs(self) -> list[str]:
        """Ids of all jobs that are neither finished nor forgotten."""
        return self.run("squeue", "-h", "-o", "%i").split()

    def run(self, *command: str) -> str:
        """Standard output of one of Slurm's commands."""
        return subprocess.run(command, env=self.environment, check=True, text=True, stdout=subprocess.PIPE).stdout

    def described(self, slurm_id: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        facts = self.run("scontrol", "-o", "show", "job", slurm_id).split()
        return dict(fact.split("=", 1) for fact in facts if "=" in fact)

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        """Stop slurmctld, and start it again with the state that it had."""
        self.run("scontrol", "shutdown", "slurmctld")
        wait(lambda: not sinfo(self), self.folder, "slurmctld")
        try:
            yield
        finally:
            command = ["slurmctld", "-f", self.environment["SLURM_CONF"]]
            subprocess.run(command, env=self.environment, check=True)  # which goes to the background
            wait(lambda: bool(sinfo(self)), self.folder, "slurmctld")

    def span(self, slurm_id: str) -> tuple[datetime, datetime]:
        """When a job began and ended."""
        job = self.described(slurm_id)
        return datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])

    def most_at_once(self, slurm_ids: Iterable[str]) -> int:
        """How many of these jobs ran at the same time, at most."""
        spans = list(map(self.span, slurm_ids))
        return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """One Slurm for the whole test session, stopped at its end."""
    with start() as cluster:
        yield cluster


@contextmanager
def start(gpus: tuple[str, ...] = ("/dev/zero", "/dev/full")) -> Iterator[Cluster]:
    """Start munge, the controller and one node's daemon; stop them and all that they started at the end."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian has the daemons, also for users other than root
    if missing := [name for name in DAEMONS if not shutil.which(name, path=path)]:
        pytest.fail(
            f"The Slurm tests run on a real Slurm, but {', '.join(missing)} cannot be found: "
            "install it (Debian and Ubuntu: apt-get install --no-install-recommends slurm-wlm munge) and run again.",
            pytrace=False,
        )
    # Not pytest's folder: a Unix socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        configuration = write_configuration(folder, gpus)
        cluster = Cluster(folder, {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)})
        daemons: list[subprocess.Popen[bytes]] = []

        def daemon(*command: str) -> None:
            with (folder / f"{command[0]}.out").open("wb") as output:
                daemons.append(
                    subprocess.Popen(
                        command,
                        env=cluster.environment,
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )

        try:
            files = (f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "log", "pid", "seed"))
            daemon("munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files)
            wait(lambda: (folder / "munge.socket").exists(), folder, "munged")
            daemon("slurmctld", "-D", "-f", str(configuration))
            daemon("slurmd", "-D", "-N", "node", "-f", str(configuration))
            wait(lambda: "idle" in sinfo(cluster), folder, "slurmctld", "slurmd")
            yield cluster
        finally:
            stop(cluster, daemons)


def write_configuration(folder: Path, gpus: tuple[str, ...]) -> Path:
    """Write slurm.conf, gres.conf and munge's key; return the path of slurm.conf."""
    with (folder / "munge.key").open("wb") as key:
        os.fchmod(key.fileno(), 0o600)
        key.write(os.urandom(1024))
    controller, node = free_ports(2)
    host = socket.gethostname().split(".")[0]
    resources = f"CPUs={CPUS} RealMemory=1000000 Gres=gpu:{len(gpus)}"
    (folder / "gres.conf").write_text(f"NodeName=node Name=gpu Count={len(gpus)} File={','.join(gpus)}\n")
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
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=5
GresTypes=gpu
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node} {resources}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
PartitionName=spot Nodes=node MaxTime=INFINITE State=UP PriorityTier=1
"""
    )
    for name in ("state", "spool"):
        (folder / name).mkdir()
    return configuration


def free_ports(count: int) -> list[int]:
    """TCP ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait(ready: Callable[[], bool], folder: Path, *daemons: str, seconds: float = 30) -> None:
    """Wait until `ready`; fail with the daemons' logs when it takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join((folder / f"{name}.out").read_text(errors="replace") for name in daemons)
            pytest.fail(f"{' and '.join(daemons)} did not come up within {seconds:.0f} s:\n{logs}", pytrace=False)
        time.sleep(0.1)


def sinfo(cluster: Cluster) -> str:
    """State of the nodes; nothing when the controller does not answer."""
    with suppress(subprocess.CalledProcessError):
        return cluster.run("sinfo", "-h", "-o", "%T")
    return ""


def stop(cluster: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    """Cancel what runs, end the daemons in reverse order, and kill any process that was left behind."""
    with suppress(subprocess.CalledProcessError):
        if jobs := cluster.jobs():
            cluster.run("scancel", *jobs)
        end = time.monotonic() + 10
        while cluster.jobs() and time.monotonic() < end:
            time.sleep(0.1)
    for daemon in reversed(daemons):
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    for pid in members(cluster):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def members(cluster: Cluster) -> list[int]:
    """Processes that the cluster started and that still run: their environment names its slurm.conf."""
    mark = f"SLURM_CONF={cluster.environment['SLURM_CONF']}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if mark in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
    return found

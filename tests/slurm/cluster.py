"""A real Slurm in a temporary folder, for tests: without systemd and cgroups, all nodes on one machine, files as GPUs.

The GPUs are /dev/zero and /dev/full: Slurm schedules them as it does real ones, each job has its CUDA_VISIBLE_DEVICES.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest
from configuration import free_ports, write_slurm, write_slurmdbd

DAEMONS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
ACCOUNTING = ("mariadbd", "mariadb-install-db", "slurmdbd", "sacct", "sacctmgr")


@dataclass(frozen=True)
class Cluster:
    """A running Slurm. `environment` is that of processes that use it: os.environ and SLURM_CONF."""

    folder: Path
    environment: dict[str, str]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def jobs(self) -> list[str]:
        """Return the ids of all jobs that are in the queue or run."""
        return self.run("squeue", "-h", "-o", "%i").split()

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands; return its standard output."""
        return subprocess.run(command, env=self.environment, check=True, text=True, stdout=subprocess.PIPE).stdout

    def described(self, slurm_id: str) -> dict[str, str]:
        """Return what Slurm shows of a job, by the names of the facts."""
        facts = self.run("scontrol", "-o", "show", "job", slurm_id).split()
        return dict(fact.split("=", 1) for fact in facts if "=" in fact)

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a daemon in the foreground; its output goes to a file."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self.daemons[name] = subprocess.Popen(
                command,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self, name: str) -> None:
        """End a daemon."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def start_node(self, name: str) -> None:
        """Start a node's daemon. SLURMD_NODENAME marks the daemon and its helpers; Slurm sets it in the jobs."""
        command = ("slurmd", "-D", "-N", name, "-f", self.environment["SLURM_CONF"])
        self.start(name, *command, SLURMD_NODENAME=name)

    @contextmanager
    def without_node(self, name: str) -> Iterator[None]:
        """Cut the power of a node: kill its processes and set its state to down (by itself the controller is slow)."""
        for pid in self.members(f"SLURMD_NODENAME={name}"):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.daemons.pop(name).wait()
        self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=power")
        try:
            yield
        finally:
            self.start_node(name)
            with suppress(subprocess.CalledProcessError):  # it may have come up by itself
                self.run("scontrol", "update", f"nodename={name}", "state=resume")
            wait(lambda: "down" not in sinfo(self), self.folder, name)

    @contextmanager
    def without_controller(self) -> Iterator[None]:
        """Stop slurmctld; at the end start it again, with its old state."""
        self.stop("slurmctld")
        try:
            yield
        finally:
            self.start_controller()
            wait(lambda: bool(sinfo(self)), self.folder, "slurmctld")

    def start_controller(self) -> None:
        """Start slurmctld."""
        self.start("slurmctld", "slurmctld", "-D", "-f", self.environment["SLURM_CONF"])

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Stop slurmdbd; at the end start it again."""
        self.stop("slurmdbd")
        try:
            yield
        finally:
            self.start("slurmdbd", "slurmdbd", "-D")

    def span(self, slurm_id: str) -> tuple[datetime, datetime]:
        """Return the times at which a job began and ended."""
        job = self.described(slurm_id)
        return datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"])

    def most_at_once(self, slurm_ids: Iterable[str]) -> int:
        """Return the largest number of these jobs that ran at the same time."""
        spans = list(map(self.span, slurm_ids))
        return max(sum(began <= moment < ended for began, ended in spans) for moment, _ in spans)

    def members(self, *marks: str) -> list[int]:
        """Return the pids of running processes of the cluster whose environment has all these `marks` (NAME=VALUE)."""
        wanted = {mark.encode() for mark in (f"SLURM_CONF={self.environment['SLURM_CONF']}", *marks)}
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):
                if wanted <= set(environ.read_bytes().split(b"\0")):
                    found.append(int(environ.parent.name))
        return found


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """Start a Slurm of one node for the whole test session; stop it at the end."""
    with start() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def accounted() -> Iterator[Cluster]:
    """Start a Slurm of two nodes with accounting. squeue forgets ended jobs after seconds, sacct keeps them."""
    with start(nodes=("n1", "n2"), accounting=True) as cluster:
        yield cluster


@contextmanager
def start(
    nodes: Sequence[str] = ("node",), gpus: Sequence[str] = ("/dev/zero", "/dev/full"), accounting: bool = False
) -> Iterator[Cluster]:
    """Start munge, the database, the controller and the nodes; at the end stop them and all their processes."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # where Debian has the daemons; only root's PATH has it
    needed = (*DAEMONS, *ACCOUNTING) if accounting else DAEMONS
    if missing := [name for name in needed if not shutil.which(name, path=path)]:
        packages = "slurm-wlm munge" + (" slurmdbd mariadb-server-core mariadb-client" if accounting else "")
        pytest.fail(
            f"The Slurm tests run on a real Slurm, but {', '.join(missing)} cannot be found: "
            f"install it (Debian and Ubuntu: apt-get install --no-install-recommends {packages}) and run again.",
            pytrace=False,
        )
    # Not pytest's folder: a Unix socket's path has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        ports = free_ports(2) if accounting else None
        configuration = write_slurm(folder, nodes, gpus, ports and ports[0])
        cluster = Cluster(folder, {**os.environ, "PATH": path, "SLURM_CONF": str(configuration)})
        try:
            files = (f"--{kind}-file={folder}/munge.{kind}" for kind in ("key", "log", "pid", "seed"))
            cluster.start("munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files)
            wait(lambda: (folder / "munge.socket").exists(), folder, "munged")
            if ports:
                start_database(cluster, *ports)
            cluster.start_controller()
            for node in nodes:
                cluster.start_node(node)
            wait(lambda: sinfo(cluster).split() == ["idle"], folder, "slurmctld", *nodes)
            yield cluster
        finally:
            stop(cluster)


def start_database(cluster: Cluster, port: int, database: int) -> None:
    """Start mariadbd in the cluster's folder, and slurmdbd, which makes the tables; register the cluster."""
    folder = cluster.folder
    options = ["--no-defaults", f"--datadir={folder}/database", *(["--user=root"] if os.getuid() == 0 else [])]
    (folder / "database").mkdir()
    cluster.run("mariadb-install-db", *options, "--auth-root-authentication-method=normal", "--skip-test-db")
    address = [f"--socket={folder}/database.socket", "--bind-address=127.0.0.1", f"--port={database}"]
    cluster.start("mariadbd", "mariadbd", *options, *address)
    wait(lambda: (folder / "database.socket").exists(), folder, "mariadbd")
    write_slurmdbd(folder, port, database)
    cluster.start("slurmdbd", "slurmdbd", "-D")
    wait(lambda: answers(cluster, "sacctmgr", "-i", "add", "cluster", "test"), folder, "slurmdbd")


def wait(ready: Callable[[], bool], folder: Path, *daemons: str, seconds: float = 30) -> None:
    """Wait until `ready`; fail with the daemons' logs when it takes too long."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            logs = "\n".join((folder / f"{name}.out").read_text(errors="replace") for name in daemons)
            pytest.fail(f"{' and '.join(daemons)} did not come up within {seconds:.0f} s:\n{logs}", pytrace=False)
        time.sleep(0.1)


def sinfo(cluster: Cluster) -> str:
    """Return the states of the nodes; nothing when the controller does not answer."""
    with suppress(subprocess.CalledProcessError):
        return cluster.run("sinfo", "-h", "-p", "main", "-o", "%T")
    return ""


def answers(cluster: Cluster, *command: str) -> bool:
    """Tell whether a command succeeds."""
    return subprocess.run(command, env=cluster.environment, capture_output=True).returncode == 0


def stop(cluster: Cluster) -> None:
    """Cancel all jobs, end the daemons in reverse order, and kill all processes that still run."""
    with suppress(subprocess.CalledProcessError):
        if jobs := cluster.jobs():
            cluster.run("scancel", *jobs)
        end = time.monotonic() + 10
        while cluster.jobs() and time.monotonic() < end:
            time.sleep(0.1)
    for name in reversed(list(cluster.daemons)):
        cluster.stop(name)
    for pid in cluster.members():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

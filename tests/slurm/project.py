"""A folder with a test workflow, functions to run it, and wrappers that count or replace Slurm's commands."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cluster import Cluster
from forks import Fork

PROFILE = Path(__file__).parents[2] / "profiles" / "slurm"
WORKFLOW = Path(__file__).with_name("workflow.smk")
POLL = 1.0
Process = subprocess.Popen[str] | Fork
COUNTED = ("sbatch", "squeue", "sacct", "scancel", "scontrol")


@dataclass
class Project:
    """A folder with a workflow, and functions to run it."""

    folder: Path
    environment: dict[str, str]
    workflow: Path = WORKFLOW
    seconds: float = 0.0
    output: str = field(default="", repr=False)
    processes: list[Process] = field(default_factory=list, repr=False)
    snakemake: tuple[str, ...] = ()

    def start(self, *arguments: str) -> Process:
        """Start Snakemake in a session of its own, with SIGINT as by default, even where the tests ignore it.

        It is a fork of one that has imported Snakemake, unless the project has a command of its own.
        """
        arguments = (*self.options(), *arguments)
        if self.snakemake:
            process = self.start_command(*self.snakemake, *arguments)
        else:
            process = Fork(self.folder, arguments, self.environment)
        self.processes.append(process)
        return process

    def start_command(self, *command: str) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def options(self) -> list[str]:
        """What Snakemake is told in any case."""
        options = ["--snakefile", str(self.workflow), "--profile", str(PROFILE)]
        return [*options, "--submitit-poll-interval", str(POLL), "--latency-wait", "10", "--cores", "2"]

    def run(self, *arguments: str, timeout: int = 180) -> int:
        """Run Snakemake to its end; keep its output and time, return its exit code."""
        began = time.monotonic()
        process = self.start(*arguments)
        self.output, _ = process.communicate(timeout=timeout)
        self.seconds = time.monotonic() - began
        return process.returncode

    def has_told(self, words: str) -> bool:
        """Tell whether the log of a Snakemake has these words by now."""
        return any(words in log.read_text() for log in (self.folder / ".snakemake/log").glob("*.log"))

    def write(self, workflow: str) -> None:
        """Give the project another workflow."""
        self.workflow = self.folder / "Snakefile"
        self.workflow.write_text(workflow)

    def facts(self) -> list[list[str]]:
        """Return per GPU job its Slurm id, CUDA_VISIBLE_DEVICES, threads and SLURM_CPUS_PER_TASK."""
        return [path.read_text().split() for path in sorted((self.folder / "gpu").glob("*.txt"))]

    def wrap(self, command: str, script: str) -> None:
        """Run `script` in place of a command of Slurm: "$real" is the command, "$calls" a file with a line per call."""
        search_path = self.environment["PATH"].removeprefix(f"{self.bin}:")
        wrapper = self.bin / command
        wrapper.write_text(
            f'#!/bin/sh\ncalls=\'{self.calls(command)}\'\necho "$@" >> "$calls"\n'
            f"real=$(PATH='{search_path}' command -v {command})\n{script}\n"
        )
        wrapper.chmod(0o755)

    @property
    def bin(self) -> Path:
        return self.folder.parent / "bin"

    def calls(self, command: str) -> Path:
        return self.folder.parent / f"{command}.calls"

    def looks(self, seconds: float) -> float:
        """Return how often a Snakemake calls squeue in this time, at most: once before the first poll, then per poll.

        The time is that of a fork, without imports.
        """
        return 1 + 1 + seconds / POLL

    def count(self, command: str) -> int:
        path = self.calls(command)
        return len(path.read_text().splitlines()) if path.exists() else 0


def make_project(folder: Path, environment: dict[str, str]) -> Project:
    """Make a project in a folder whose name has quotes, spaces and a variable."""
    project = Project(folder / 'it\'s "a" project $HOME über', dict(environment))
    project.folder.mkdir()
    project.bin.mkdir()
    project.environment["PATH"] = f"{project.bin}:{environment['PATH']}"
    return project


@contextmanager
def project_on(cluster: Cluster, folder: Path) -> Iterator[Project]:
    """Make a project with counted calls of Slurm's commands; at the end stop its processes and cancel all jobs."""
    project = make_project(folder, cluster.environment)
    for command in COUNTED:
        project.wrap(command, 'exec "$real" "$@"')
    yield project
    for process in project.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if jobs := cluster.jobs():
        cluster.run("scancel", *jobs)
        until(lambda: not cluster.jobs(), seconds=30)


@pytest.fixture
def project(tmp_path: Path, slurm: Cluster) -> Iterator[Project]:
    """Make a project on the cluster of one node."""
    with project_on(slurm, tmp_path) as project:
        yield project


@pytest.fixture
def accounted_project(tmp_path: Path, accounted: Cluster) -> Iterator[Project]:
    """Make a project on the cluster of two nodes with accounting."""
    with project_on(accounted, tmp_path) as project:
        yield project


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)  # most conditions call squeue

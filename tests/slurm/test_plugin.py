"""snakemake_executor_plugin_submitit on a real Slurm, with the repository's own Slurm profile."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import pytest
from cluster import Cluster

PROFILE = Path(__file__).parents[2] / "profiles" / "slurm"
POLL = 1.0

pytestmark = pytest.mark.slow


@dataclass
class Project:
    """A folder with a workflow, and the commands to run it."""

    folder: Path
    environment: dict[str, str]
    seconds: float = 0.0
    output: str = field(default="", repr=False)
    processes: list[subprocess.Popen[str]] = field(default_factory=list, repr=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake; Ctrl-C reaches it even where the tests themselves ignore it."""
        options = ["--snakefile", str(Path(__file__).with_name("workflow.smk")), "--profile", str(PROFILE)]
        options += ["--submitit-poll-interval", str(POLL), "--latency-wait", "10", "--cores", "2"]
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *options, *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.processes.append(process)
        return process

    def run(self, *arguments: str) -> int:
        """Run Snakemake to its end; keep its output and time, return its exit code."""
        began = time.monotonic()
        process = self.start(*arguments)
        self.output, _ = process.communicate(timeout=180)
        self.seconds = time.monotonic() - began
        return process.returncode

    def facts(self) -> list[list[str]]:
        """For each GPU job its Slurm id, CUDA_VISIBLE_DEVICES, threads and SLURM_CPUS_PER_TASK."""
        return [path.read_text().split() for path in sorted((self.folder / "gpu").glob("*.txt"))]

    def wrap(self, command: str, script: str) -> None:
        """Run `script` in place of one of Slurm's commands: "$real" in it, with "$calls", the list of calls so far."""
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

    def count(self, command: str) -> int:
        path = self.calls(command)
        return len(path.read_text().splitlines()) if path.exists() else 0


def make_project(folder: Path, environment: dict[str, str]) -> Project:
    project = Project(folder / 'it\'s "a" project $HOME über', dict(environment))
    project.folder.mkdir()
    project.bin.mkdir()
    project.environment["PATH"] = f"{project.bin}:{environment['PATH']}"
    return project


@pytest.fixture
def project(tmp_path: Path, slurm: Cluster) -> Iterator[Project]:
    """A project in a folder with a hostile name, on the cluster; what a failed test leaves behind is ended."""
    project = make_project(tmp_path, slurm.environment)
    yield project
    for process in project.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if jobs := slurm.jobs():
        slurm.run("scancel", *jobs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, slurm: Cluster) -> Project:
    """A project in which four jobs have used the two GPUs."""
    project = make_project(tmp_path_factory.mktemp("finished"), slurm.environment)
    for command in ("sbatch", "squeue", "sacct", "scancel"):
        project.wrap(command, 'exec "$real" "$@"')
    assert project.run("gpus") == 0, project.output
    return project


def test_two_jobs_at_a_time_on_two_gpus(finished: Project, slurm: Cluster) -> None:
    jobs = {slurm_id: device for slurm_id, device, *_ in finished.facts()}
    assert len(jobs) == 4 and slurm.most_at_once(jobs) == 2
    spans = [(*slurm.span(slurm_id), device) for slurm_id, device in jobs.items()]
    for one, other in combinations(spans, 2):
        if one[0] < other[1] and other[0] < one[1]:
            assert one[2] != other[2], f"two jobs shared GPU {one[2]}"
    assert {device for _, _, device in spans} == {"0", "1"}


def test_slurm_gets_what_the_rule_asks_for(finished: Project, slurm: Cluster) -> None:
    slurm_id, _, threads, cpus = finished.facts()[0]
    assert (threads, cpus) == ("6", "6")  # not limited by the submitting machine's --cores 2
    job = slurm.described(slurm_id)
    assert (job["JobName"], job["NumCPUs"], job["TimeLimit"]) == ("gpu", "6", "00:07:00")
    assert (job["MinMemoryNode"], job["TresPerNode"].removeprefix("gres:")) == ("300M", "gpu:1")


def test_one_squeue_a_poll_serves_all_jobs(finished: Project) -> None:
    assert finished.count("sbatch") == 1  # four jobs with equal resources are one array
    assert 2 <= finished.count("squeue") <= finished.seconds / POLL
    assert finished.count("sacct") == finished.count("scancel") == 0


def test_failures_are_told_and_other_jobs_finish(project: Project) -> None:
    assert project.run("mixed") != 0
    assert (project.folder / "fine.txt").exists(), project.output
    named = re.findall(r"Slurm job (\d+) ended as FAILED \(NonZeroExitCode\); its log is (.+?\.out)\. ", project.output)
    assert len(named) == 1, project.output
    slurm_id, log = named[0]
    assert Path(log).name == f"{slurm_id}_0_log.out"
    assert "the disk is on fire" in Path(log).read_text()
    assert "Traceback" not in Path(log).read_text()
    # The job that sbatch refuses, in sbatch's own words.
    assert re.search(r"Not submitted to Slurm: .*invalid partition specified: nowhere", project.output), project.output


@pytest.mark.parametrize(
    ("slow", "script"),
    [
        ("squeue", 'sleep 2; exec "$real" "$@"'),
        ("sbatch", 'out=$("$real" "$@"); sleep 2; echo "$out"'),
    ],
    ids=["while polling", "between submission and the id"],
)
def test_interrupt_cancels_all_jobs(project: Project, slurm: Cluster, slow: str, script: str) -> None:
    project.wrap(slow, script)
    process = project.start("sleepers")
    until(
        lambda: sorted(slurm.run("squeue", "-h", "-o", "%T").split()) == ["PENDING", "RUNNING", "RUNNING"], seconds=40
    )
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to Snakemake and all that it runs
    output, _ = process.communicate(timeout=15)
    assert process.returncode != 0
    assert "could not" not in output.lower()
    until(lambda: not slurm.jobs(), seconds=15)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition; fail after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_without_slurm_one_sentence(tmp_path: Path) -> None:
    project = make_project(tmp_path, dict(os.environ))
    for command in ("bash", "sh"):
        (project.bin / command).symlink_to(f"/bin/{command}")
    project.environment["PATH"] = str(project.bin)
    assert project.run("gpus") != 0
    (sentence,) = [line for line in project.output.splitlines() if "Slurm" in line]
    assert sentence.startswith("Error: No Slurm on this machine: the commands sbatch, srun, squeue, scancel cannot be")
    assert "login node" in sentence
    assert project.output.rstrip().endswith(sentence)  # no traceback
    assert not (project.folder / "gpu").exists()


def test_troubled_squeue_fails_no_job(project: Project) -> None:
    # Calls 2 to 4 fail; in call 5 the job's node has failed; then ended jobs are forgotten (no accounting here).
    project.wrap(
        "squeue",
        """
        case $(wc -l < "$calls") in
            1) exec "$real" "$@" ;;
            [2-4]) echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1 ;;
            5) "$real" "$@" | sed 's/PENDING/NODE_FAIL/; s/RUNNING/NODE_FAIL/' ;;
            *) "$real" "$@" | grep -v COMPLETED ;;
        esac
        true
        """,
    )
    assert project.run("slow.txt") == 0, project.output
    assert project.count("squeue") > 5
    assert project.output.count("Unable to contact slurm controller") == 1
    assert "Slurm answers again" in project.output

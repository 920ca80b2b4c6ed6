"""Jobs that are killed, by Slurm for their memory or from outside, are submitted again, up to a limit."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from cluster import Cluster
from project import Project, until
from test_survival import is_at_work

pytestmark = pytest.mark.slow

INSIDE = "snakemake_executor_plugin_submitit.inside"  # the Snakemake in a job


def kill(cluster: Cluster, slurm_id: str, whom: str) -> str:
    """Kill processes of a job's step (`worker.py`, the Snakemake, or `all`); return the mark of the job's processes."""
    mark = f"SLURM_JOB_ID={cluster.described(slurm_id)['JobId']}"
    for pid in cluster.members(mark, "SLURM_STEP_ID=0"):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:4]
            if whom == "all" or any(Path(word).name == whom for word in words):
                os.kill(pid, signal.SIGKILL)
    return mark


def test_killed_jobs_are_submitted_again(project: Project, slurm: Cluster) -> None:
    """When a process of a job dies, the other processes die too, and the job succeeds in its second life."""
    process = project.start("patients", "patient/2.txt", "--config", "steps=60")
    until(lambda: all(is_at_work(project, 1, str(i))() for i in range(3)), seconds=60)
    jobs = slurm.run("squeue", "-h", "-r", "-o", "%i").split()
    killed = [kill(slurm, job, whom) for job, whom in zip(jobs, ("worker.py", INSIDE, "all"), strict=True)]
    until(lambda: not any(slurm.members(mark) for mark in killed), seconds=30)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert [path.read_text() for path in sorted((project.folder / "patient").iterdir())] == ["60 steps in 2 lives"] * 3
    again = r"Resubmitted job \d+ \(patient\) as Slurm job [\d_]+ \(retry 1 of 2, mem_mb=4000\): "
    told = again + r"it was killed as Slurm job ([\d_]+)\. New log: "
    assert sorted(re.findall(told, output)) == sorted(jobs), output
    assert "rror" not in output


def test_twice_the_memory(accounted_project: Project) -> None:
    """The node kills the job for its memory."""
    assert accounted_project.run("hungry.txt") == 0, accounted_project.output
    assert (accounted_project.folder / "hungry.txt").read_text() == "600\n"
    again = r"Resubmitted job \d+ \(hungry\) as Slurm job \d+ \(retry 1 of 2, mem_mb=600\): "
    told = again + r"it ran out of memory as Slurm job \d+\. New log: "
    assert len(re.findall(told, accounted_project.output)) == 1, accounted_project.output
    assert accounted_project.count("sbatch") == 2


def test_no_more_retries(accounted_project: Project) -> None:
    """The node kills the job for its memory. Only with cgroups is its state OUT_OF_MEMORY; here squeue is changed."""
    accounted_project.wrap("squeue", '"$real" "$@" | sed "s/FAILED/OUT_OF_MEMORY/"')
    assert accounted_project.run("hungry.txt", "--config", "megabytes=900", "--submitit-retries", "1") != 0
    assert accounted_project.count("sbatch") == 2, accounted_project.output
    (told,) = set(re.findall(r"Slurm job \d+ ended as OUT_OF_MEMORY.*", accounted_project.output))
    assert "It ran out of memory after 1 retries; 1 are allowed (--submitit-retries)" in told


def test_killed_main_process_in_the_middle_of_a_retry(project: Project, slurm: Cluster) -> None:
    """The next main process adopts the job that was submitted again, and knows which retry it is."""
    project.wrap("sbatch", 'out=$("$real" "$@"); [ $(wc -l < "$calls") = 1 ] || sleep 3; echo "$out"')
    first = project.start("patient/0.txt", "--config", "steps=40")
    until(is_at_work(project, 1), seconds=60)
    (job,) = slurm.jobs()
    kill(slurm, job, "worker.py")
    until(lambda: project.count("sbatch") == 2 and job not in slurm.jobs() != [], seconds=60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = project.start("patient/0.txt", "--config", "steps=40")
    until(is_at_work(project, 2), seconds=60)
    (job,) = slurm.jobs()
    kill(slurm, job, "worker.py")
    output, _ = second.communicate(timeout=120)
    assert second.returncode == 0 and "retry 2 of 2" in output, output
    assert (project.folder / "patient/0.txt").read_text() == "40 steps in 3 lives"
    assert project.count("sbatch") == 3

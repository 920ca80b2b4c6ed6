"""A Slurm of two nodes with accounting: nodes that fail, and jobs that only the database remembers, or nothing does."""

import re
import signal

import pytest
from cluster import Cluster
from project import Process, Project, until
from test_retries import kill
from test_survival import is_at_work

pytestmark = pytest.mark.slow


def look_again_when_forgotten(process: Process, cluster: Cluster) -> None:
    """Continue a stopped main process when its jobs have ended and squeue no longer lists them."""
    until(lambda: not cluster.run("squeue", "-h", "-t", "all"), seconds=60)
    process.send_signal(signal.SIGCONT)


def test_node_without_power(accounted_project: Project, accounted: Cluster) -> None:
    """The job of a failed node begins again on the other node."""
    process = accounted_project.start("patient/0.txt", "--config", "steps=40")
    until(is_at_work(accounted_project, 1), seconds=60)
    (job,) = accounted.jobs()
    first = accounted.described(job)["NodeList"]
    with accounted.without_node(first):
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0 and "rror" not in output, output
    assert (accounted_project.folder / "patient/0.txt").read_text() == "40 steps in 2 lives"
    assert accounted_project.count("sbatch") == 1
    second = accounted.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "NodeList").strip()
    assert sorted((first, second)) == ["n1", "n2"]


def test_only_the_database_knows(accounted_project: Project, accounted: Cluster) -> None:
    """The database tells which job has succeeded, which has failed, and which was killed."""
    process = accounted_project.start("fine.txt", "failed.txt", "patient/0.txt", "--config", "steps=30")
    until(is_at_work(accounted_project, 1), seconds=60)
    process.send_signal(signal.SIGSTOP)
    kill(accounted, *accounted.run("squeue", "-h", "-n", "patient", "-o", "%i").split(), whom="all")
    look_again_when_forgotten(process, accounted)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and (accounted_project.folder / "fine.txt").exists(), output
    assert len(set(re.findall(r"Slurm job (\d+) ended as FAILED \(1:0\)", output))) == 1, output
    assert "UNKNOWN" not in output
    assert re.search(r"Resubmitted job \d+ \(patient\) .*: it was killed as Slurm job", output), output
    assert (accounted_project.folder / "patient/0.txt").read_text() == "30 steps in 2 lives"
    assert accounted_project.count("sbatch") == 4 and accounted_project.count("sacct") >= 1


def test_nobody_knows(accounted_project: Project, accounted: Cluster) -> None:
    """The database is down when the jobs end, and has no record of them: the results that they wrote decide."""
    accounted_project.wrap("sacct", '[ $(wc -l < "$calls") != 1 ] || exec "$real" "$@"')
    process = accounted_project.start("patients", "--config", "steps=30")
    until(lambda: all(is_at_work(accounted_project, 1, str(i))() for i in range(2)), seconds=60)
    process.send_signal(signal.SIGSTOP)
    with accounted.without_database():
        look_again_when_forgotten(process, accounted)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "rror" not in output, output
    assert accounted_project.count("sacct") >= 2 and accounted_project.count("sbatch") == 1

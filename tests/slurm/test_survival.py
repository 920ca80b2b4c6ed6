"""Events that a sweep survives: time limits, preemption, signals, a killed main process, a Slurm that is down."""

import re
import signal
import sys
import time
from collections.abc import Callable

import pytest
from cluster import Cluster
from project import Project, until

pytestmark = pytest.mark.slow


def states(slurm: Cluster) -> list[str]:
    return slurm.run("squeue", "-r", "-h", "-o", "%T").split()


def is_at_work(project: Project, lives: int, name: str = "0") -> Callable[[], bool]:
    """Make a condition: a worker has begun this number of lives."""
    path = project.folder / f"{name}.lives"
    return lambda: path.exists() and len(path.read_text()) == lives


def test_interrupted_twice_and_done(project: Project, slurm: Cluster) -> None:
    """Slurm's warning before the time limit puts the job back into the queue; Snakemake sees one success."""
    process = project.start("patient/0.txt", "--config", "steps=60")
    for life in (1, 2):
        until(is_at_work(project, life), seconds=60)
        (job,) = slurm.jobs()
        slurm.run("scancel", "--signal=USR2", job)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert (project.folder / "patient/0.txt").read_text() == "60 steps in 3 lives"
    assert project.count("sbatch") == 1 and "rror" not in output, output


def test_interrupted_more_often_than_allowed(project: Project, slurm: Cluster) -> None:
    process = project.start("patient/0.txt", "fine.txt", "--keep-going", "--submitit-requeues", "1")
    for life in (1, 2):
        until(is_at_work(project, life), seconds=60)
        (job,) = slurm.run("squeue", "-h", "-n", "patient", "-o", "%i").split()
        slurm.run("scancel", "--signal=USR2", job)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0 and (project.folder / "fine.txt").exists(), output
    (told,) = set(re.findall(rf"Slurm job {job} ended as FAILED.*", output))
    assert "its log is" in told and "It reached its time limit 2 times; 1 are allowed" in told


def test_a_real_time_limit(project: Project) -> None:
    """Limits are whole minutes, and the warning may come a minute early: the job is interrupted once or twice."""
    assert project.run("patient/0.txt", "--config", "steps=500", "minutes=1") == 0, project.output
    steps, lives = re.match(r"(\d+) steps in (\d+) lives", (project.folder / "patient/0.txt").read_text()).groups()
    assert steps == "500" and int(lives) > 1 and project.count("sbatch") == 1


def test_cancelled_by_hand(project: Project, slurm: Cluster) -> None:
    process = project.start("patient/0.txt")
    until(is_at_work(project, 1), seconds=60)
    (job,) = slurm.jobs()
    slurm.run("scancel", job)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0 and f"Slurm job {job} ended as CANCELLED" in output, output
    assert project.count("sbatch") == 1


@pytest.mark.parametrize("moment", ["all run", "one has ended", "sbatch is at work"])
def test_killed_main_process(project: Project, slurm: Cluster, moment: str) -> None:
    """The next main process adopts jobs that run and jobs that have ended: both processes call sbatch once in all."""
    if moment == "sbatch is at work":
        project.wrap("sbatch", 'out=$("$real" "$@"); sleep 3; echo "$out"')
    first = project.start("patients", "--config", "steps=150")
    until(lambda: states(slurm) == ["RUNNING"] * 2, seconds=60)
    first.send_signal(signal.SIGKILL)
    first.wait()
    if moment == "one has ended":
        until(lambda: (project.folder / "patient/1.txt").exists(), seconds=90)
    elif moment == "all run":
        assert not any((project.folder / f"patient/{i}.txt").exists() for i in range(2))
    assert project.run("patients", "--config", "steps=150") == 0, project.output
    assert project.count("sbatch") == 1, project.output
    assert [path.read_text() for path in sorted((project.folder / "patient").iterdir())] == ["150 steps in 1 lives"] * 2
    again = project.run("patients", "--config", "steps=150")
    assert again == 0 and "Nothing to be done" in project.output, project.output


def test_terminated_main_process_waits_for_its_jobs(project: Project, slurm: Cluster) -> None:
    process = project.start("patients", "--config", "steps=40")
    until(lambda: states(slurm) == ["RUNNING"] * 2, seconds=60)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=90)
    assert project.run("patients", "--config", "steps=40") == 0, project.output
    assert project.count("sbatch") == 1
    assert len(list((project.folder / "patient").iterdir())) == 2


def test_a_second_main_process_is_refused(project: Project, slurm: Cluster) -> None:
    first = project.start("patient/0.txt", "--config", "steps=50")
    until(lambda: len(slurm.jobs()) == 1, seconds=60)
    assert project.run("patient/1.txt") != 0
    assert f"Another Snakemake runs here already (process {first.pid} on" in project.output, project.output
    assert first.wait(timeout=60) == 0 and project.count("sbatch") == 1


def test_sbatch_that_cannot_be_reached_is_tried_again(project: Project) -> None:
    """The second call is heard, but its answer is lost: there is no third call."""
    project.wrap(
        "sbatch",
        """
        case $(wc -l < "$calls") in
            1) echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1 ;;
            2) "$real" "$@" >/dev/null; echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1 ;;
            *) exec "$real" "$@" ;;
        esac
        """,
    )
    assert project.run("fine.txt") == 0, project.output
    assert project.count("sbatch") == 2 and "trying again in 1 s" in project.output


def test_controller_restarts(project: Project, slurm: Cluster) -> None:
    """Jobs run and end while Slurm is down: none has failed, none is submitted twice; there is one squeue per poll."""
    began = time.monotonic()
    process = project.start("patients", "fine.txt", "--config", "steps=150")
    until(lambda: all(is_at_work(project, 1, str(i))() for i in range(2)), seconds=60)
    with slurm.without_controller():
        until(lambda: all((project.folder / f"patient/{i}.txt").exists() for i in range(2)), seconds=60)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and project.count("sbatch") == 2, output
    assert "Slurm does not say how the jobs are" in output and "Slurm answers again" in output
    assert project.count("squeue") <= project.looks(time.monotonic() - began)


@pytest.mark.parametrize("grace", [0, 30], ids=["no grace", "30 s of grace"])
def test_preempted(project: Project, slurm: Cluster, grace: int) -> None:
    """A job of higher priority takes the node; later the worker goes on, after a grace time from its last step."""
    slurm.run("scontrol", "update", "partition=spot", f"gracetime={grace}")
    process = project.start("patient/0.txt", "--config", "steps=60", "--default-resources", "slurm_partition=spot")
    until(is_at_work(project, 1), seconds=60)
    slurm.run("sbatch", "--partition=main", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert (project.folder / "patient/0.txt").read_text() == "60 steps in 2 lives"
    assert (project.folder / "0.count").exists() and project.count("sbatch") == 1
    assert "rror" not in output, output


def test_a_signal_that_reaches_the_command_first(project: Project, slurm: Cluster) -> None:
    """Slurm signals one process after the other; a command that dies of the signal first was interrupted too."""
    command = "[ -e lives ] && echo done >> lives || { echo 1 >> lives; (sleep 1; kill $PPID) & kill $$; }"
    lines = [f"#!{sys.executable}", "from snakemake_executor_plugin_submitit.job import SnakemakeJob"]
    script = project.folder / "job.py"
    script.write_text("\n".join([*lines, f"SnakemakeJob(('/bin/sh', '-c', {command!r}))()"]))
    (job,) = slurm.run("sbatch", "--parsable", f"--chdir={project.folder}", "--requeue", str(script)).split()
    until(lambda: job not in slurm.jobs(), seconds=90)
    assert (project.folder / "lives").read_text() == "1\ndone\n"

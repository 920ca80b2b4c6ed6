"""What becomes of jobs that a killed main process has left behind, when the next one wants something else."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster
from project import Project, until

pytestmark = pytest.mark.slow

FAULTS = Path(__file__).with_name("faults.smk")


def runs(project: Project, name: str = "0") -> list[str]:
    """What the jobs have noted, in order."""
    path = project.folder / f"{name}.runs"
    return path.read_text().splitlines() if path.exists() else []


def has_begun(project: Project, name: str = "0", times: int = 1) -> Callable[[], bool]:
    """Whether so many jobs have begun."""
    return lambda: sum(line.startswith("began") for line in runs(project, name)) >= times


def leave_behind(project: Project, *arguments: str, name: str = "0") -> None:
    """Start a main process and kill it when its job is at work."""
    process = project.start(*arguments)
    until(has_begun(project, name), seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def faults(project: Project) -> Project:
    """A project whose jobs last as long as they are told to."""
    project.snakefile = FAULTS
    return project


@pytest.mark.parametrize(
    ("target", "before", "after"),
    [("0.slow", ["seconds=60"], ["seconds=3"]), ("0.coded", ["word=one", "seconds=60"], ["word=two", "seconds=3"])],
    ids=["shell", "run"],
)
def test_other_parameters(faults: Project, slurm: Cluster, target: str, before: list[str], after: list[str]) -> None:
    """The old job is named and cancelled before the new one is submitted; the result is the new one's, and stays so."""
    leave_behind(faults, target, "--config", *before)
    (old,) = slurm.jobs()
    assert faults.run(target, "--config", *after) == 0, faults.output
    assert f"Slurm job {old} ({target[2:]}). Cancelled, before what they make is submitted again" in faults.output
    began, again, ended = runs(faults)
    assert began == f"began {old}" and again.split()[1] == ended.split()[1] != old
    assert slurm.described(old)["JobState"] == "CANCELLED" and not slurm.jobs()
    assert (faults.folder / target).read_text().strip() == after[0].split("=")[1]
    assert faults.run(target, "--config", *after) == 0 and "Nothing to be done" in faults.output
    assert not list((faults.folder / ".snakemake/submitit/ledger").glob("*.json"))


def test_the_same_parameters(faults: Project) -> None:
    """A job of a rule with code is adopted as one with a command is."""
    leave_behind(faults, "0.coded", "--config", "seconds=12")
    assert faults.run("0.coded", "--config", "seconds=12") == 0, faults.output
    assert "was submitted before as" in faults.output and len(runs(faults)) == 2


def test_inputs_that_are_made_again(faults: Project, slurm: Cluster) -> None:
    """A job that began with an older input is not the one that is wanted."""
    leave_behind(faults, "derived.slow", "--config", "seconds=60", name="derived")
    (old,) = slurm.jobs()
    (faults.folder / "source.txt").unlink()
    process = faults.start("derived.slow", "--config", "seconds=60")
    until(has_begun(faults, "derived", times=2), seconds=60)
    assert slurm.described(old)["JobState"] == "CANCELLED"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_another_target(faults: Project, slurm: Cluster) -> None:
    """What this run does not ask for goes on, is named, and is adopted by the run that asks for it."""
    leave_behind(faults, "0.slow", "--config", "seconds=40")
    (old,) = slurm.jobs()
    assert faults.run("1.quick") == 0, faults.output
    assert f"not asked for by this one: Slurm job {old} (slow)" in faults.output and slurm.jobs() == [old]
    assert faults.run("0.slow", "--config", "seconds=40") == 0, faults.output
    assert runs(faults) == [f"began {old}", f"ended {old}"]


@pytest.mark.parametrize("end", ["by itself", "cancelled"])
def test_a_job_that_nobody_can_see(faults: Project, slurm: Cluster, end: str) -> None:
    """It fails, or is cancelled, when the new one has made the output: it must neither delete nor mark it.

    Here it is hidden from the new process, as one on another cluster is, or on a node that Slurm has lost.
    """
    leave_behind(faults, "0.failing", "--config", "seconds=35", "code=1")
    (old,) = slurm.jobs()
    shutil.rmtree(faults.folder / ".snakemake/submitit/ledger")
    faults.wrap("squeue", f'"$real" "$@" | grep -av "^{old}[^0-9]"')
    assert faults.run("0.failing", "--config", "seconds=3") == 0, faults.output
    if end == "cancelled":
        slurm.run("scancel", old)
    until(lambda: not slurm.jobs(), seconds=60)
    assert (faults.folder / "0.failing").read_text() == "3\n"
    (log,) = (faults.folder / ".snakemake/submitit/failing").glob(f"{old}_*_log.out")
    assert "A later submission has claimed the outputs of this job" in log.read_text()
    assert faults.run("0.failing", "--config", "seconds=3") == 0 and "Nothing to be done" in faults.output


def test_what_waits_does_not_begin(faults: Project, slurm: Cluster) -> None:
    """A job that waited in the queue when its outputs were claimed ends before it begins."""
    process = faults.start("0.slow", "--config", "seconds=30", "--default-resources", "slurm_extra='--hold'")
    until(lambda: len(slurm.jobs()) == 1, seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (old,) = slurm.jobs()
    shutil.rmtree(faults.folder / ".snakemake/submitit/ledger")
    faults.wrap("squeue", f'"$real" "$@" | grep -av "^{old}[^0-9]"')
    assert faults.run("0.slow", "--config", "seconds=3") == 0, faults.output
    slurm.run("scontrol", "release", old)
    until(lambda: not slurm.jobs(), seconds=60)
    assert len(runs(faults)) == 2 and (faults.folder / "0.slow").read_text() == "3\n"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        '{"jobs": [["abc", "/x.pkl"]], "id": "12"}',
        '{"slurm_id": "12", "jobs": [["abc", "/x.pkl", 0, 1]], "ended": []}',
    ],
    ids=["empty", "cut off", "unknown", "older"],
)
def test_damaged_ledger(faults: Project, content: str) -> None:
    """It is named and set aside; Slurm tells what the jobs do, so that they are adopted all the same."""
    leave_behind(faults, "0.slow", "1.slow", "--config", "seconds=15")
    (path,) = (faults.folder / ".snakemake/submitit/ledger").glob("*.json")
    path.write_text(content)
    assert faults.run("0.slow", "1.slow", "--config", "seconds=15") == 0, faults.output
    assert str(path) in faults.output and path.with_suffix(".damaged").read_text() == content
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and "rror" not in faults.output


def test_deleted_between_two_runs(faults: Project) -> None:
    leave_behind(faults, "0.slow", "1.slow", "--config", "seconds=15")
    shutil.rmtree(faults.folder / ".snakemake")
    assert faults.run("0.slow", "1.slow", "--config", "seconds=15") == 0, faults.output
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and "rror" not in faults.output


def test_deleted_under_a_running_process(faults: Project, slurm: Cluster) -> None:
    """Nothing is cancelled, submitted again or taken for failed; jobs that wait in the queue find all they need."""
    process = faults.start(
        "0.slow", "1.slow", "2.quick", "--config", "seconds=12", "--set-resources", "quick:slurm_extra='--hold'"
    )
    until(lambda: has_begun(faults, "0")() and has_begun(faults, "1")() and len(slurm.jobs()) == 3, seconds=60)
    shutil.rmtree(faults.folder / ".snakemake")
    until(lambda: (faults.folder / ".snakemake/submitit/quick").exists(), seconds=30)
    slurm.run("scontrol", "release", *slurm.run("squeue", "-h", "-n", "quick", "-o", "%i").split())
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "rror" not in output, output
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and faults.count("scancel") == 0


def test_a_number_that_is_another_jobs_now(faults: Project, slurm: Cluster) -> None:
    """As after a Slurm that was set up anew: neither adopted nor cancelled."""
    leave_behind(faults, "0.slow", "--config", "seconds=3")
    until(lambda: not slurm.jobs(), seconds=60)
    (faults.folder / "0.slow").unlink()
    foreign = slurm.run("sbatch", "--parsable", "--job-name=precious", "--output=/dev/null", "--wrap=sleep 60").strip()
    (path,) = (faults.folder / ".snakemake/submitit/ledger").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "slurm_id": foreign}))
    assert faults.run("0.slow", "--config", "seconds=3") == 0, faults.output
    assert slurm.jobs() == [foreign] and len(runs(faults)) == 4


def test_a_queue_that_is_empty_once(faults: Project) -> None:
    """One look that shows no job is not believed."""
    leave_behind(faults, "0.slow", "--config", "seconds=15")
    faults.wrap("squeue", '[ $(wc -l < "$calls") = 1 ] || exec "$real" "$@"')
    faults.calls("squeue").unlink(missing_ok=True)
    assert faults.run("0.slow", "--config", "seconds=15") == 0, faults.output
    assert len(runs(faults)) == 2


def test_another_cluster(faults: Project, slurm: Cluster, accounted: Cluster) -> None:
    """Its jobs cannot be seen from there: nothing is submitted."""
    leave_behind(faults, "0.slow", "--config", "seconds=20")
    (job,) = slurm.jobs()
    calls = faults.count("sbatch")
    faults.environment["SLURM_CONF"] = accounted.environment["SLURM_CONF"]
    assert faults.run("0.slow", "--config", "seconds=20") != 0
    assert f"Slurm job {job} (slow) of this folder was submitted to the cluster test at" in faults.output
    assert faults.count("sbatch") == calls and "Traceback" not in faults.output
    faults.environment["SLURM_CONF"] = slurm.environment["SLURM_CONF"]
    assert faults.run("0.slow", "--config", "seconds=20") == 0 and len(runs(faults)) == 2, faults.output

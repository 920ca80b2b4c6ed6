"""Jobs that a killed main process has left behind, when the next main process wants something else."""

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
    """Return the lines that the jobs have written, in order."""
    path = project.folder / f"{name}.runs"
    return path.read_text().splitlines() if path.exists() else []


def has_begun(project: Project, name: str = "0", times: int = 1) -> Callable[[], bool]:
    """Make a condition: this number of jobs has begun."""
    return lambda: sum(line.startswith("began") for line in runs(project, name)) >= times


def leave_behind(project: Project, *arguments: str, name: str = "0") -> None:
    """Start a main process and kill it when its job runs."""
    process = project.start(*arguments)
    until(has_begun(project, name), seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()


def let_go(project: Project, word: str = "one") -> None:
    """Let the jobs end that wait for the file of this word."""
    (project.folder / f"{word}.go").touch()


@pytest.fixture
def faults(project: Project) -> Project:
    """Make a project whose jobs last until they are let go."""
    project.workflow = FAULTS
    return project


def adopt_and_let_go(project: Project, *arguments: str) -> str:
    """Run Snakemake, and let the jobs end when it has adopted one; return its output."""
    process = project.start(*arguments)
    until(lambda: project.has_told("which an earlier process submitted as"), seconds=60)
    let_go(project)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.parametrize("target", ["0.slow", "0.coded"], ids=["shell", "run"])
def test_other_parameters(faults: Project, slurm: Cluster, target: str) -> None:
    """The old job is named and cancelled before the new job is submitted; the output is the new job's, and stays."""
    leave_behind(faults, target)
    (old,) = slurm.jobs()
    let_go(faults, "two")
    assert faults.run(target, "--config", "word=two") == 0, faults.output
    assert f"parameters or inputs: Slurm job {old} ({target[2:]}). What they make is submitted again" in faults.output
    began, again, ended = runs(faults)
    assert began == f"began {old}" and again.split()[1] == ended.split()[1] != old
    assert slurm.described(old)["JobState"] == "CANCELLED" and not slurm.jobs()
    assert (faults.folder / target).read_text() == "two\n"
    assert faults.run(target, "--config", "word=two") == 0 and "Nothing to be done" in faults.output
    assert not list((faults.folder / ".snakemake/submitit/ledger").glob("*.json"))


def test_the_same_parameters(faults: Project) -> None:
    """A job of a rule with Python code is adopted, as a job with a shell command is."""
    leave_behind(faults, "0.coded")
    output = adopt_and_let_go(faults, "0.coded")
    assert len(runs(faults)) == 2 and "rror" not in output


def test_inputs_that_are_made_again(faults: Project, slurm: Cluster) -> None:
    """A job that began with an older input is cancelled."""
    leave_behind(faults, "derived.slow", name="derived")
    (old,) = slurm.jobs()
    (faults.folder / "source.txt").unlink()
    process = faults.start("derived.slow")
    until(has_begun(faults, "derived", times=2), seconds=90)
    assert slurm.described(old)["JobState"] == "CANCELLED"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_another_target(faults: Project, slurm: Cluster) -> None:
    """A job whose output this run does not need runs on and is named; the run that needs the output adopts it."""
    leave_behind(faults, "0.slow")
    (old,) = slurm.jobs()
    assert faults.run("1.quick") == 0, faults.output
    assert f"not asked for by this one: Slurm job {old} (slow)" in faults.output and slurm.jobs() == [old]
    adopt_and_let_go(faults, "0.slow")
    assert runs(faults) == [f"began {old}", f"ended {old}"]


@pytest.mark.parametrize("end", ["by itself", "cancelled"])
def test_a_job_that_the_next_process_cannot_see(faults: Project, slurm: Cluster, end: str) -> None:
    """An old job fails, or is cancelled, after the new job has made the output: it must neither delete nor mark it.

    squeue hides the old job from the new process, as if it ran on another cluster, or on a node that Slurm has lost.
    """
    leave_behind(faults, "0.failing", "--config", "code=1")
    (old,) = slurm.jobs()
    shutil.rmtree(faults.folder / ".snakemake/submitit/ledger")
    faults.wrap("squeue", f'"$real" "$@" | grep -av "^{old}[^0-9]" || true')
    let_go(faults, "two")
    assert faults.run("0.failing", "--config", "word=two") == 0, faults.output
    if end == "cancelled":
        slurm.run("scancel", old)
    else:
        let_go(faults)
    until(lambda: not slurm.jobs(), seconds=60)
    assert (faults.folder / "0.failing").read_text() == "two\n"
    (log,) = (faults.folder / ".snakemake/submitit/failing").glob(f"{old}_*_log.out")
    assert "A later submission has claimed the outputs of this job" in log.read_text()
    assert faults.run("0.failing", "--config", "word=two") == 0 and "Nothing to be done" in faults.output


def test_a_waiting_job_without_its_claim_does_not_begin(faults: Project, slurm: Cluster) -> None:
    """A job ends before it begins if a later job has claimed its outputs while it waited in the queue."""
    process = faults.start("0.slow", "--default-resources", "slurm_extra='--hold'")
    # Not earlier: what the job is to do is written when sbatch has answered.
    until(lambda: faults.has_told("as Slurm job"), seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (old,) = slurm.jobs()
    shutil.rmtree(faults.folder / ".snakemake/submitit/ledger")
    faults.wrap("squeue", f'"$real" "$@" | grep -av "^{old}[^0-9]" || true')
    let_go(faults, "two")
    assert faults.run("0.slow", "--config", "word=two") == 0, faults.output
    slurm.run("scontrol", "release", old)
    until(lambda: not slurm.jobs(), seconds=60)
    assert len(runs(faults)) == 2 and (faults.folder / "0.slow").read_text() == "two\n"


def test_damaged_ledger(faults: Project) -> None:
    """Damaged files are named and set aside; the jobs are adopted all the same, by the manifests in Slurm."""
    leave_behind(faults, "0.slow", "1.slow")
    (path,) = (faults.folder / ".snakemake/submitit/ledger").glob("*.json")
    damaged = {
        path: "",
        path.with_name("cut-off.json"): "{",
        path.with_name("unknown.json"): '{"jobs": [["a", "/x.pkl"]], "id": "1"}',
        path.with_name("older.json"): '{"slurm_id": "1", "jobs": [["a", "/x.pkl", 0, 1]], "ended": []}',
    }
    for file, content in damaged.items():
        file.write_text(content)
    output = adopt_and_let_go(faults, "0.slow", "1.slow")
    for file, content in damaged.items():
        assert str(file) in output and file.with_suffix(".damaged").read_text() == content
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and "rror" not in output


def test_ledger_deleted_between_two_runs(faults: Project) -> None:
    leave_behind(faults, "0.slow", "1.slow")
    until(has_begun(faults, "1"), seconds=60)  # jobs write there before they begin
    shutil.rmtree(faults.folder / ".snakemake")
    output = adopt_and_let_go(faults, "0.slow", "1.slow")
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and "rror" not in output


def test_folder_deleted_under_a_running_process(faults: Project, slurm: Cluster) -> None:
    """No job is cancelled, submitted again or reported as failed; waiting jobs find their files when they start."""
    process = faults.start("0.slow", "1.slow", "2.quick", "--set-resources", "quick:slurm_extra='--hold'")
    until(lambda: has_begun(faults, "0")() and has_begun(faults, "1")() and len(slurm.jobs()) == 3, seconds=60)
    shutil.rmtree(faults.folder / ".snakemake", ignore_errors=True)  # Snakemake writes there at the same time
    until(lambda: (faults.folder / ".snakemake/submitit/quick").exists(), seconds=30)
    let_go(faults)
    slurm.run("scontrol", "release", *slurm.run("squeue", "-h", "-n", "quick", "-o", "%i").split())
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "rror" not in output, output
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and faults.count("scancel") == 0


def test_a_number_that_is_another_jobs_now(faults: Project, slurm: Cluster) -> None:
    """After a new installation of Slurm the number belongs to a foreign job: it is neither adopted nor cancelled."""
    leave_behind(faults, "0.slow")
    let_go(faults)
    until(lambda: not slurm.jobs(), seconds=60)
    (faults.folder / "0.slow").unlink()
    foreign = slurm.run(
        "sbatch", "--parsable", "--job-name=precious", "--output=/dev/null", "--mem=10", "--wrap=sleep 300"
    ).strip()
    (path,) = (faults.folder / ".snakemake/submitit/ledger").glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "slurm_id": foreign}))
    assert faults.run("0.slow") == 0, faults.output
    assert slurm.jobs() == [foreign] and len(runs(faults)) == 4


def test_a_queue_that_is_empty_once(faults: Project) -> None:
    """A job that is missing in a single poll has not ended."""
    leave_behind(faults, "0.slow")
    faults.calls("squeue").unlink(missing_ok=True)
    faults.wrap("squeue", '[ $(wc -l < "$calls") = 1 ] || exec "$real" "$@"')
    process = faults.start("0.slow")
    until(lambda: faults.count("squeue") > 5, seconds=60)
    let_go(faults)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and len(runs(faults)) == 2, output


def test_another_cluster(faults: Project, slurm: Cluster, accounted: Cluster) -> None:
    """Jobs on another cluster cannot be seen from this one: no job is submitted."""
    leave_behind(faults, "0.slow")
    (job,) = slurm.jobs()
    calls = faults.count("sbatch")
    faults.environment["SLURM_CONF"] = accounted.environment["SLURM_CONF"]
    assert faults.run("0.slow") != 0
    assert f"Slurm job {job} (slow) of this folder was submitted to the cluster test at" in faults.output
    assert faults.count("sbatch") == calls and "Traceback" not in faults.output
    faults.environment["SLURM_CONF"] = slurm.environment["SLURM_CONF"]
    adopt_and_let_go(faults, "0.slow")
    assert len(runs(faults)) == 2

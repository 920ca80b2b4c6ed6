"""The executor plugin on a real Slurm, with the repository's Slurm profile."""

import os
import re
import signal
from itertools import combinations
from pathlib import Path

import pytest
from cluster import Cluster
from project import COUNTED, Project, make_project, until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, slurm: Cluster) -> Project:
    """Run a project in which three jobs use the two GPUs."""
    project = make_project(tmp_path_factory.mktemp("finished"), slurm.environment)
    for command in COUNTED:
        project.wrap(command, 'exec "$real" "$@"')
    assert project.run("gpus") == 0, project.output
    return project


def test_two_jobs_at_a_time_on_two_gpus(finished: Project, slurm: Cluster) -> None:
    jobs = {slurm_id: device for slurm_id, device, *_ in finished.facts()}
    assert len(jobs) == 3 and slurm.most_at_once(jobs) == 2
    spans = [(*slurm.span(slurm_id), device) for slurm_id, device in jobs.items()]
    for one, other in combinations(spans, 2):
        if one[0] < other[1] and other[0] < one[1]:
            assert one[2] != other[2], f"two jobs shared GPU {one[2]}"
    assert {device for _, _, device in spans} == {"0", "1"}


def test_slurm_gets_the_resources_of_the_rule(finished: Project, slurm: Cluster) -> None:
    slurm_id, _, threads, cpus = finished.facts()[0]
    assert (threads, cpus) == ("6", "6")  # not limited by --cores 2 on the submitting machine
    job = slurm.described(slurm_id)
    assert (job["JobName"], job["NumCPUs"], job["TimeLimit"]) == ("gpu", "6", "00:07:00")
    assert (job["MinMemoryNode"], job["TresPerNode"].removeprefix("gres:")) == ("300M", "gpu:1")


def test_one_squeue_per_poll_serves_all_jobs(finished: Project) -> None:
    assert finished.count("sbatch") == 1  # three jobs with equal resources are one array
    assert 2 <= finished.count("squeue") <= finished.looks(finished.seconds)
    assert finished.count("sacct") == finished.count("scancel") == 0


def test_failures_are_reported_and_other_jobs_finish(project: Project) -> None:
    assert project.run("mixed") != 0
    assert (project.folder / "fine.txt").exists(), project.output
    named = re.findall(r"Slurm job (\d+) ended as FAILED \(NonZeroExitCode\); its log is (.+?\.out)\. ", project.output)
    assert len(named) == 1, project.output
    slurm_id, log = named[0]
    assert Path(log).name == f"{slurm_id}_0_log.out"
    assert "the disk is on fire" in Path(log).read_text()
    assert "Traceback" not in Path(log).read_text()
    assert project.count("sbatch") == 3  # a failed command is not submitted again
    # The refused job is reported in sbatch's words.
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
    os.killpg(process.pid, signal.SIGINT)  # to Snakemake and all its children, as from a terminal
    output, _ = process.communicate(timeout=15)
    assert process.returncode != 0
    assert "could not" not in output.lower()
    until(lambda: not slurm.jobs(), seconds=15)


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
    # Calls 2 to 4 fail; in call 5 the job's node has failed; later calls do not list ended jobs (without accounting).
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
    assert 5 < project.count("squeue") <= project.looks(project.seconds)
    assert project.output.count("Unable to contact slurm controller") == 1
    assert "Slurm answers again" in project.output

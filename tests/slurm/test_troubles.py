"""Troubles of the disk, sbatch and the cluster: healthy jobs go on, and the reason why others wait is reported."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cluster import Cluster
from project import Project, until
from test_left_behind import FAULTS, faults, has_begun, leave_behind, let_go, runs
from test_survival import is_at_work

__all__ = ["faults"]

pytestmark = pytest.mark.slow


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of 4 MB."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("a disk of our own takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> None:
    """Fill a disk to its last page."""
    with suppress(OSError), (disk / "ballast").open("wb") as ballast:
        while True:
            ballast.write(bytes(4096))
            ballast.flush()


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Make a folder read-only for a while, as a file system is after an error."""
    for options in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
        if subprocess.run(["mount", *options], capture_output=True).returncode:
            pytest.skip("a mount of our own takes root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk(faults: Project, tmp_path: Path) -> None:
    """While the disk is full one job ends and another becomes ready: both are done when there is room again."""
    with small_disk(tmp_path / "disk") as disk:
        process = faults.start("0.after", "1.slow", "--submitit-log-folder", str(disk / "log"))
        until(lambda: has_begun(faults, "0")() and has_begun(faults, "1")(), seconds=60)
        fill(disk)
        let_go(faults, "0")
        until(lambda: faults.has_told("Cannot write in") and faults.has_told("Jobs wait here"), seconds=60)
        (disk / "ballast").unlink()
        let_go(faults)
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
    assert len(runs(faults, "0")) == len(runs(faults, "1")) == 2 and faults.count("scancel") == 0
    assert "rror" not in output and "can be written again" in output, output


def test_a_ledger_that_is_read_only_for_a_while(faults: Project) -> None:
    process = faults.start("0.slow", "1.slow", "derived.slow")
    until(has_begun(faults), seconds=60)
    with unwritable(faults.folder / ".snakemake/submitit/ledger"):
        let_go(faults, "0")
        until(lambda: faults.has_told("Cannot write in"), seconds=60)
    let_go(faults)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and len(runs(faults, "0")) == len(runs(faults, "1")) == 2, output
    assert not list((faults.folder / ".snakemake/submitit/ledger").glob("*.json")) and faults.count("scancel") == 0


def test_no_folder_for_the_ledger(faults: Project) -> None:
    (faults.folder / ".snakemake").mkdir()
    (faults.folder / ".snakemake/submitit").write_text("a file where a folder should be")
    assert faults.run("0.quick") != 0
    assert re.search(r"Cannot write in .*ledger.*--submitit-log-folder", faults.output), faults.output
    assert "Traceback" not in faults.output


def without_locks(error: str) -> tuple[str, ...]:
    """Return a command that runs Snakemake as on a file system whose locks fail with this error."""
    patch = f"import errno, fcntl, os, runpy\ndef flock(*_): raise OSError(errno.{error}, os.strerror(errno.{error}))\n"
    run = "fcntl.flock = flock\nrunpy.run_module('snakemake', run_name='__main__', alter_sys=True)"
    return (sys.executable, "-c", patch + run)


def test_a_file_system_without_locks(faults: Project) -> None:
    """On Lustre without -o flock, or NFS without its lock daemon, a lock file is used, and a stale one is broken."""
    faults.snakemake = without_locks("ENOSYS")
    leave_behind(faults, "0.slow")
    faults.snakemake = without_locks("ENOLCK")
    process = faults.start("0.slow")
    until(lambda: faults.has_told("which an earlier process submitted as"), seconds=60)
    assert faults.run("1.slow") != 0 and "Another Snakemake runs here already (process" in faults.output, faults.output
    let_go(faults)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and len(runs(faults)) == 2, output


def test_snakemake_without_slurm_in_the_same_folder(faults: Project) -> None:
    """The second Snakemake is refused, whether the first one uses Slurm or not, and also after the first was killed."""
    local = (sys.executable, "-m", "snakemake", "--snakefile", str(FAULTS), "--cores", "1", "0.slow", "--config")

    def run_local() -> str:
        command = [*local, "word=two"]
        ran = subprocess.run(command, cwd=faults.folder, env=faults.environment, capture_output=True, text=True)
        assert ran.returncode != 0
        return ran.stderr

    process = faults.start("0.slow")
    until(has_begun(faults), seconds=60)
    assert "Directory cannot be locked" in run_local()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "Directory cannot be locked" in run_local()
    let_go(faults)
    assert faults.run("0.slow") == 0 and len(runs(faults)) == 2, faults.output
    assert not list((faults.folder / ".snakemake/locks").glob("*"))

    (faults.folder / "0.slow").unlink()
    with subprocess.Popen([*local, "word=three"], cwd=faults.folder, env=faults.environment) as other:
        until(has_begun(faults, times=2), seconds=60)
        assert faults.run("0.slow") != 0
        assert "A Snakemake without Slurm works on the same files" in faults.output and "Traceback" not in faults.output
        let_go(faults, "three")
        assert other.wait(60) == 0
    assert len(runs(faults)) == 4


def test_a_lost_answer_while_squeue_fails(faults: Project, slurm: Cluster) -> None:
    """sbatch submits, its answer is lost, and squeue fails at first: the job is not submitted a second time."""
    faults.wrap(
        "sbatch", '"$real" "$@" >/dev/null; echo "sbatch: error: Socket timed out on send/recv operation" >&2; exit 1'
    )
    faults.wrap("squeue", '[ $(wc -l < "$calls") -gt 3 ] || [ $(wc -l < "$calls") -lt 2 ] || exit 1; exec "$real" "$@"')
    let_go(faults)
    assert faults.run("0.slow") == 0, faults.output
    assert faults.count("sbatch") == 1 and "It is not known yet whether Slurm has these jobs" in faults.output
    assert len(runs(faults)) == 2


def test_an_answer_that_comes_too_late(faults: Project, slurm: Cluster) -> None:
    """A submission that takes effect after the job was submitted again is cancelled; the job runs once."""
    late = '(sleep 4; "$real" "$@" > "$calls.late") </dev/null >/dev/null 2>&1 &'
    failed = 'echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2; exit 1'
    faults.wrap("sbatch", f'[ $(wc -l < "$calls") != 1 ] || {{ {late} {failed}; }}; exec "$real" "$@"')
    process = faults.start("0.slow")
    until(lambda: faults.has_told("is a second copy, which appeared late"), seconds=60)
    let_go(faults)
    output, _ = process.communicate(timeout=60)
    second = Path(f"{faults.calls('sbatch')}.late").read_text().strip()
    assert slurm.described(second)["JobState"] == "CANCELLED" and len(runs(faults)) == 2
    assert process.returncode == 0 and output.count(f"Slurm job {second} is a second copy") == 1, output


def test_sbatch_that_outlives_its_main_process(faults: Project, slurm: Cluster) -> None:
    faults.wrap("sbatch", '[ $(wc -l < "$calls") != 1 ] || sleep 12; exec "$real" "$@"')
    process = faults.start("0.slow")
    until(lambda: faults.count("sbatch") == 1, seconds=60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = faults.start("0.slow")
    until(lambda: faults.has_told("is a second copy, which appeared late"), seconds=60)
    let_go(faults)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and len(runs(faults)) == 2 and not slurm.jobs(), output


def test_interrupt_while_sbatch_hangs(faults: Project, slurm: Cluster) -> None:
    """Snakemake does not wait for sbatch; a job that Slurm has accepted all the same is cancelled."""
    faults.wrap("sbatch", '"$real" "$@" >/dev/null; exec sleep 300')
    process = faults.start("0.slow")
    until(lambda: len(slurm.jobs()) == 1, seconds=60)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    until(lambda: not slurm.jobs(), seconds=15)


def test_sbatch_that_prints_more_than_the_id(faults: Project, slurm: Cluster) -> None:
    """A site's wrapper may: here the first number that it prints is another job's."""
    foreign = slurm.run("sbatch", "--parsable", "--output=/dev/null", "--mem=10", "--wrap=sleep 300").strip()
    faults.wrap(
        "sbatch", f'echo "your job {foreign} is fine"; "$real" "$@"; echo "thank you, and look at job {foreign}"'
    )
    assert faults.run("0.quick") == 0, faults.output
    assert slurm.jobs() == [foreign] and (faults.folder / "0.quick").read_text().strip() != foreign


def test_the_reason_why_jobs_wait_is_reported(faults: Project, slurm: Cluster) -> None:
    """In Slurm's words, after a minute, once for all jobs with one reason; not for jobs that wait their turn."""
    slurm.run("scontrol", "update", "partition=spot", "maxtime=30")
    try:
        resources = [
            "quick:slurm_partition=spot",
            "quick:runtime=60",
            "slow:slurm_extra='--hold'",
            "failing:slurm_extra='--begin=now+300'",
        ]
        process = faults.start("quicks", "0.slow", "0.failing", "--set-resources", *resources)
        until(lambda: faults.has_told("JobHeldUser") and faults.has_told("PartitionTimeLimit"), seconds=150)
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        slurm.run("scontrol", "update", "partition=spot", "maxtime=infinite")
    (told,) = re.findall(r"Slurm job \S+ \(quick\) and 5 more cannot go on; .*PartitionTimeLimit.*", output)
    assert "give the rule less runtime" in told and output.count("JobHeldUser") == 1 and "BeginTime" not in output


def test_a_partition_that_is_closed_for_a_while(faults: Project, slurm: Cluster) -> None:
    slurm.run("scontrol", "update", "partition=spot", "state=drain")
    try:
        options = ("--default-resources", "slurm_partition=spot", "mem_mb=100", "--config", "jobs=2")
        process = faults.start("quicks", *options)
        until(lambda: faults.has_told("Jobs wait here"), seconds=60)
    finally:
        slurm.run("scontrol", "update", "partition=spot", "state=up")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and output.count("Required partition not available") == 1, output


def test_a_limit_of_jobs_in_the_queue(faults: Project) -> None:
    """The limit is three; sbatch's words are imitated, as Slurm exempts root. All jobs are submitted in the end."""
    faults.wrap(
        "sbatch",
        """
        array=$(printf '%s\n' "$@" | grep -o 'array=0-[0-9]*' | grep -o '[0-9]*$'); wanted=$((${array:-0} + 1))
        if [ $((wanted + $(squeue --me -h -r -n quick -o %i | wc -l))) -gt 3 ]; then
            echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2
            echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)' >&2
            exit 1
        fi
        exec "$real" "$@"
        """,
    )
    assert faults.run("quicks", "--config", "jobs=4") == 0, faults.output
    assert len(list(faults.folder.glob("*.quick"))) == 4 and "Jobs wait here" in faults.output
    assert faults.count("sbatch") < 30


def test_arrays_that_are_too_large(accounted_project: Project, accounted: Cluster) -> None:
    """The limit is read from Slurm's configuration; where that is not shown, sbatch's refusals lead to it."""
    accounted_project.workflow = FAULTS
    for name in ("told", "not told"):
        if name == "not told":
            accounted_project.wrap("scontrol", "exit 1")
        before = accounted_project.count("sbatch")
        assert accounted_project.run("quicks", "--forceall", "--config", "jobs=4") == 0, accounted_project.output
        assert accounted_project.count("sbatch") - before <= (3 if name == "told" else 5)
    assert len(list(accounted_project.folder.glob("*.quick"))) == 4


@pytest.mark.parametrize("grace", [0, 30], ids=["no grace", "30 s of grace"])
def test_preempted_for_good(project: Project, slurm: Cluster, grace: int) -> None:
    """Where Slurm cancels preempted jobs, the job is submitted again, or requeues itself within the grace time."""
    slurm.run("scontrol", "update", "partition=spot", "preemptmode=cancel", f"gracetime={grace}")
    try:
        process = project.start("patient/0.txt", "--config", "steps=60", "--default-resources", "slurm_partition=spot")
        until(is_at_work(project, 1), seconds=60)
        slurm.run("sbatch", "--partition=main", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
        output, _ = process.communicate(timeout=150)
    finally:
        slurm.run("scontrol", "update", "partition=spot", "preemptmode=requeue", "gracetime=0")
    assert process.returncode == 0 and "rror" not in output, output
    assert (project.folder / "patient/0.txt").read_text() == "60 steps in 2 lives"
    assert ("was preempted as Slurm job" in output) == (grace == 0)


def test_node_that_fails_for_good(accounted_project: Project, accounted: Cluster) -> None:
    """Where Slurm does not requeue the jobs of a failed node, they are submitted again."""
    process = accounted_project.start("patient/0.txt", "--config", "steps=40")
    until(is_at_work(accounted_project, 1), seconds=60)
    (job,) = accounted.jobs()
    accounted.run("scontrol", "update", f"jobid={job}", "requeue=0")
    with accounted.without_node(accounted.described(job)["NodeList"]):
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0 and "lost its node as Slurm job" in output, output
    assert (accounted_project.folder / "patient/0.txt").read_text() == "40 steps in 2 lives"


def test_a_large_log(faults: Project) -> None:
    """Of a log of 200 MB only the end is shown."""
    assert faults.run("talkative.txt", "--show-failed-logs") != 0
    assert len(faults.output) < 1_000_000 and "[...] the end of" in faults.output


def test_other_jobs_with_names_in_any_encoding(faults: Project, slurm: Cluster) -> None:
    command = [
        b"sbatch",
        b"--comment=caf\xe9 | \n1|2|3",
        b"--job-name=caf\xe9|x",
        b"--output=/dev/null",
        b"--mem=10",
        b"--wrap=sleep 300",
    ]
    subprocess.run(command, env=slurm.environment, check=True)
    leave_behind(faults, "0.slow")
    let_go(faults)
    assert faults.run("0.slow") == 0 and len(runs(faults)) == 2, faults.output


def test_nothing_to_be_done(faults: Project) -> None:
    assert faults.run("0.quick") == 0, faults.output
    assert faults.run("0.quick") == 0
    assert faults.output.rstrip().endswith("Nothing to be done (all requested files are present and up to date).")

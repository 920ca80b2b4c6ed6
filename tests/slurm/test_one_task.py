"""A command runs once, however many CPUs Slurm gives to its job, and whatever requests several tasks."""

import re
import sys
from typing import Any

import pytest
from asking import Got, got, workflow
from cluster import Cluster
from project import Project, until

pytestmark = pytest.mark.slow

# Each of these gives a job more CPUs than one process requests, or more tasks: several copies could start.
WIDE = {
    "two_threads_a_core": {},
    "whole_nodes": {"slurm_partition": "whole"},
    "memory_by_cpu": {"slurm_partition": "lean", "mem_mb": 4000},
    "exclusive": {"slurm_extra": "--exclusive"},
    "mincpus": {"slurm_extra": "--mincpus=4"},
    "ntasks": {"slurm_extra": "--ntasks=3"},
    "ntasks_short": {"slurm_extra": "-n3"},
    "ntasks_blank": {"slurm_extra": "--ntasks 3"},
    "per_node": {"slurm_extra": "--ntasks-per-node=2"},
    "per_core": {"slurm_extra": "--ntasks-per-core=2"},
    "per_socket": {"slurm_extra": "--ntasks-per-socket=2"},
    "per_gpu": {"gpu": 1, "slurm_extra": "--ntasks-per-gpu=2"},
    "gpus_per_task": {"slurm_extra": "--gpus-per-task=1"},
    "cpus_per_task": {"slurm_extra": "--cpus-per-task=4"},
    "overcommit": {"slurm_extra": "--overcommit --mincpus=4"},
    "hint": {"slurm_extra": "--hint=nomultithread"},
    "threads_per_core": {"slurm_extra": "--threads-per-core=1"},
    "cores_per_socket": {"slurm_extra": "-B 1:4:2"},
    "tasks": {"tasks": 3},
    "gpus": {"gpu": 2},
}
# Variables that a shell, a surrounding Slurm job or the start-up files of a node may set.
LOUD = {
    "SLURM_NTASKS": "3",
    "SLURM_NPROCS": "3",
    "SLURM_NTASKS_PER_NODE": "3",
    "SLURM_NTASKS_PER_GPU": "2",
    "SLURM_OVERCOMMIT": "1",
    "SLURM_HINT": "multithread",
    "SRUN_CPUS_PER_TASK": "1",
    "SRUN_NTASKS": "3",
    "SBATCH_OVERCOMMIT": "1",
    "SBATCH_NTASKS": "3",
    "SBATCH_CPUS_PER_GPU": "4",
}


def ran(project: Project, asked: dict[str, dict[str, Any]]) -> dict[str, Got]:
    """Run rules with these resources; all must succeed."""
    project.write(workflow(asked))
    assert project.run("all") == 0, project.output
    return {name: got(project.folder, name) for name in asked}


def test_every_command_runs_once(project: Project) -> None:
    found = ran(project, WIDE)
    assert {name: one.runs for name, one in found.items()} == dict.fromkeys(WIDE, 1)
    cpus = {name: int(one.facts["NumCPUs"]) for name, one in found.items()}
    assert cpus["two_threads_a_core"] == 2 and cpus["whole_nodes"] == 16 and cpus["memory_by_cpu"] == 4  # wide
    assert cpus["mincpus"] == cpus["cpus_per_task"] == 4 and cpus["ntasks"] == cpus["tasks"] == 4
    assert (found["gpus"].facts["GPUs"], found["gpus_per_task"].facts["GPUs"]) == ("0,1", "0")


def test_every_command_runs_once_where_variables_request_tasks(project: Project) -> None:
    asked = {name: WIDE[name] for name in ("two_threads_a_core", "whole_nodes", "ntasks", "per_gpu", "tasks")}
    project.environment |= {**LOUD, "BASH_ENV": str(project.folder / "start-up")}
    (project.folder / "start-up").write_text("export " + " ".join(f"{name}={value}" for name, value in LOUD.items()))
    assert {name: one.runs for name, one in ran(project, asked).items()} == dict.fromkeys(asked, 1)


def test_a_second_copy_ends_at_once(project: Project, slurm: Cluster) -> None:
    """Where Slurm starts four copies of a job all the same, the first does the work, though the others end earlier."""
    call = "SnakemakeJob(('/bin/sh', '-c', 'sleep 3; echo done >> lives'))()"
    lines = [f"#!{sys.executable}", "from snakemake_executor_plugin_submitit.job import SnakemakeJob", call]
    (project.folder / "job.py").write_text("\n".join(lines))
    log = project.folder.parent / "copies.out"
    wrapped = f"srun --ntasks=4 --overcommit --kill-on-bad-exit=1 {sys.executable} job.py"
    command = ("sbatch", "--parsable", f"--chdir={project.folder}", f"--output={log}", f"--wrap={wrapped}")
    (job,) = slurm.run(*command).split()
    until(lambda: job not in slurm.jobs(), seconds=60)
    assert slurm.described(job)["JobState"] == "COMPLETED", log.read_text()
    assert (project.folder / "lives").read_text() == "done\n"
    assert log.read_text().count("the first copy does the work") == 3


def test_a_rule_with_tasks_of_its_own(project: Project) -> None:
    """The command runs once, and can start its three tasks with two CPUs each."""
    project.write(
        """
rule mpi:
    output:
        "ranks.txt",
    resources:
        tasks=3,
        cpus_per_task=2,
        mpi="srun",
    shell:
        "echo run >> runs; {resources.mpi} -n {resources.tasks} "
        "sh -c 'echo $SLURM_PROCID of $SLURM_NTASKS with $SLURM_CPUS_PER_TASK' > {output}"
"""
    )
    assert project.run("ranks.txt") == 0, project.output
    assert (project.folder / "runs").read_text() == "run\n"
    ranks = sorted((project.folder / "ranks.txt").read_text().splitlines())
    assert ranks == [f"{rank} of 3 with 2" for rank in range(3)]


def test_a_rule_with_several_nodes(accounted_project: Project) -> None:
    accounted_project.write(
        """
rule nodes:
    output:
        "nodes.txt",
    resources:
        nodes=2,
        tasks_per_node=2,
    shell:
        "echo run >> runs; srun sh -c 'echo $SLURMD_NODENAME' > {output}"
"""
    )
    assert accounted_project.run("nodes.txt") == 0, accounted_project.output
    assert (accounted_project.folder / "runs").read_text() == "run\n"
    assert sorted((accounted_project.folder / "nodes.txt").read_text().split()) == ["n1", "n1", "n2", "n2"]


REFUSED = {
    "mpi": ({"mpi": "srun"}, "resource mpi='srun' needs tasks or tasks_per_node, the number of tasks"),
    "twice": ({"tasks": 2, "slurm_extra": "-n 3"}, "slurm_extra has --ntasks=3, but tasks asks for --ntasks=2"),
    "cpus": ({"threads": 2, "slurm_extra": "-c 3"}, "slurm_extra has --cpus-per-task=3, but threads asks for"),
    "memory": (
        {"mem_mb": 300, "slurm_extra": "--mem-per-cpu 9"},
        "slurm_extra has --mem-per-cpu=9, but mem_mb asks for",
    ),
    "array": ({"slurm_extra": "--array=0-3"}, "slurm_extra has '--array=0-3', which the executor sets itself"),
    "short": ({"slurm_extra": "--ntas=3"}, "slurm_extra has '--ntas=3': write the option out (--ntasks"),
    "no_option": ({"slurm_extra": "exclusive"}, "slurm_extra has 'exclusive', but takes only options of sbatch"),
    "quote": ({"slurm_extra": "--comment='a"}, 'slurm_extra is "--comment=\'a", which cannot be split into words'),
    "cluster": ({"clusters": "other"}, "resource clusters: jobs run on this cluster only"),
    "partition": ({"slurm_partition": "nowhere"}, "invalid partition specified: nowhere"),
}


def test_impossible_requests_are_refused_in_a_sentence(project: Project) -> None:
    project.write(workflow({**{name: asked for name, (asked, _) in REFUSED.items()}, "fine": {}}))
    assert project.run("all") != 0
    for name, (_, sentence) in REFUSED.items():
        told = re.search(rf"Error in rule {name}:\s+message: (Not submitted to Slurm: .*)", project.output)
        assert told and sentence in told[1], (name, project.output)
        assert got(project.folder, name).runs == 0
    assert got(project.folder, "fine").runs == 1 and project.count("sbatch") == 2 and "Traceback" not in project.output

"""Variables that users export for sbatch: a rule's resources override them, and none of them harms a job."""

import pytest
from asking import got, workflow
from cluster import Cluster
from project import Project

pytestmark = pytest.mark.slow

ASKED = {"slurm_partition": "main", "runtime": 7, "mem_mb": 300, "threads": 2, "gpu": 1}
# Each of these would override an option in a batch script.
AGAINST = {
    "SBATCH_TIMELIMIT": "3",
    "SBATCH_PARTITION": "spot",
    "SBATCH_MEM_PER_NODE": "100",
    "SBATCH_MEM_PER_CPU": "200",
    "SBATCH_NO_REQUEUE": "1",
    "SBATCH_JOB_NAME": "mine",
    "SBATCH_GRES": "gpu:2",
    "SBATCH_GPUS": "2",
    "SBATCH_GPUS_PER_TASK": "2",
    "SBATCH_CPUS_PER_GPU": "4",
}
# With these, jobs would run several times, be lost, write their logs elsewhere, or sbatch would wait for their end.
HARMFUL = {
    "SBATCH_ARRAY_INX": "0-3",
    "SBATCH_COMMENT": "mine",
    "SBATCH_ERROR": "/dev/null",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_GET_USER_ENV": "1",
    "SBATCH_INPUT": "none",
    "SBATCH_OPEN_MODE": "truncate",
    "SBATCH_OUTPUT": "/dev/null",
    "SBATCH_SIGNAL": "USR1@30",
    "SBATCH_WAIT": "1",
    "SLURM_EXIT_ERROR": "0",
    "SLURM_EXPORT_ENV": "NONE",
    "SRUN_EXPORT_ENV": "NONE",
}


def test_a_rule_overrides_the_environment(project: Project, slurm: Cluster) -> None:
    project.write(workflow({"asks": ASKED}))
    project.environment |= {**AGAINST, **HARMFUL}
    assert project.run("all") == 0, project.output
    found = got(project.folder, "asks")
    expected = {
        "Partition": "main",
        "TimeLimit": "00:07:00",
        "MinMemoryNode": "300M",
        "Requeue": "1",
        "JobName": "asks",
        "NumCPUs": "2",
        "NumTasks": "1",
        "TresPerNode": "gres:gpu:1",
        "Threads": "2",
    }
    assert found.runs == 1 and {name: found.facts.get(name) for name in expected} == expected
    assert project.count("sbatch") == 1 and found.facts["StdOut"] == found.facts["StdErr"] != "/dev/null"


def test_the_environment_sets_what_a_rule_does_not(project: Project) -> None:
    """Many computing centres tell their users to export such variables."""
    project.write(workflow({"asks": {"mem_mb": 0, "runtime": 0, "slurm_extra": "--no-requeue"}}))
    project.environment |= {
        "SBATCH_TIMELIMIT": "9",
        "SBATCH_PARTITION": "whole",
        "SBATCH_MEM_PER_NODE": "700",
        "SBATCH_GRES": "gpu:1",
        "SBATCH_REQUEUE": "1",
        "SBATCH_WCKEY": "",
        "SBATCH_EXCLUSIVE": "",
    }
    assert project.run("all") == 0, project.output
    found = got(project.folder, "asks")
    expected = {
        "Partition": "whole",
        "TimeLimit": "00:09:00",
        "MinMemoryNode": "700M",
        "TresPerNode": "gres:gpu:1",
        "NumCPUs": "16",
        "Requeue": "0",
    }
    assert found.runs == 1 and {name: found.facts.get(name) for name in expected} == expected


def test_options_of_a_rule_in_any_spelling(project: Project) -> None:
    """Also values that a shell would evaluate, and an environment that is not passed on."""
    asked = {
        "words": {"slurm_extra": '--nice=7 --no-requeue -J "it\'s $HOME; `id` \\\\ 100%j"'},
        "letters": {"slurm_extra": "-wnode -t9 -p spot -c 2", "runtime": 0},
        "nothing": {"slurm_extra": "--export=NONE --mail-type NONE"},
    }
    project.write(workflow(asked))
    assert project.run("all") == 0, project.output
    words, letters, nothing = (got(project.folder, name) for name in asked)
    assert words.runs == letters.runs == nothing.runs == 1
    assert "JobName=it's $HOME; `id` \\ 100%j UserId" in words.text and words.facts["Requeue"] == "0"
    assert (letters.facts["TimeLimit"], letters.facts["Partition"]) == ("00:09:00", "spot")
    assert (letters.facts["ReqNodeList"], letters.facts["NumCPUs"]) == ("node", "2")

"""Random resources and environments: each job runs once, with what its rule requests, or is refused with a reason.

COMBINATIONS=200 draws more of them than CI does. The expected results follow from the plugin's README.
"""

import os
import random
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from asking import Got, got, workflow
from configuration import CPUS, LEAN
from project import Project

pytestmark = pytest.mark.slow

COMBINATIONS = int(os.environ.get("COMBINATIONS", "10"))
A_RUN = min(COMBINATIONS, 20)
GPUS = 2  # of the node
ONE_THREAD = re.compile("nomultithread|threads-per-core|SBATCH_THREADS_PER_CORE|SBATCH_HINT")


@dataclass
class Asked:
    """The resources of one rule, and the expected result."""

    resources: dict[str, Any] = field(default_factory=dict)
    extra: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)  # by scontrol's names
    cpus: int = 1
    tasks: int = 1
    gpus: int = 0
    overcommit: bool = False
    at_least: int = 1  # CPUs of the job
    refused: list[str] = field(default_factory=list)  # the reason has one of these texts


def draw(lot: random.Random, environment: dict[str, str]) -> Asked:
    """Draw the resources of a rule."""
    asked = Asked()
    for part in (cpus, memory, time, partition, gpus, tasks, requeue, geometry, forbidden):
        part(asked, lot, environment)
    if held_for_ever(asked, " ".join([*asked.extra, *environment])):
        return draw(lot, environment)
    if asked.extra:
        asked.resources["slurm_extra"] = " ".join(asked.extra)
    return asked


def held_for_ever(asked: Asked, words: str) -> bool:
    """Tell whether Slurm accepts a job that it cannot start: MaxMemPerCPU or --mincpus with one thread per core."""
    memory = [int(value[:-1]) for name, value in asked.facts.items() if name.startswith("MinMemory")]
    lean, one_thread = asked.facts["Partition"] == "lean", ONE_THREAD.search(words)
    if lean and not memory:  # without a limit the job gets all memory of the node
        return True
    return bool(one_thread) and ("mincpus" in words or (lean and (asked.at_least > 1 or memory[0] > LEAN)))


def spelled(lot: random.Random, name: str, value: object, letter: str = "") -> str:
    """Draw one spelling of an option."""
    short = [f"-{letter} {value}", f"-{letter}{value}"] if letter else []
    return lot.choice([f"--{name}={value}", f"--{name} {value}", *short])


def cpus(asked: Asked, lot: random.Random, _: dict[str, str]) -> None:
    asked.cpus = lot.randint(1, 4)
    match lot.randrange(5):
        case 0 | 1:
            asked.cpus = asked.resources["threads"] = lot.randint(1, 2)  # at most Snakemake's --cores
        case 2:
            asked.resources["cpus_per_task"] = asked.cpus
        case 3:
            asked.extra.append(spelled(lot, "cpus-per-task", asked.cpus, "c"))
        case 4:
            asked.cpus = 2
            asked.resources["threads"] = 2
            if lot.random() < 0.05:
                asked.extra.append(spelled(lot, "cpus-per-task", 3, "c"))
                asked.refused.append("slurm_extra has --cpus-per-task=3, but threads asks for --cpus-per-task=2")


def memory(asked: Asked, lot: random.Random, environment: dict[str, str]) -> None:
    megabytes = lot.randint(50, 2000)
    match lot.randrange(5):
        case 0 | 1:
            asked.resources["mem_mb"] = megabytes
            asked.facts["MinMemoryNode"] = f"{megabytes}M"
            if lot.random() < 0.05:
                asked.extra.append(lot.choice(["--mem=77", "--mem-per-cpu 77", "--mem-per-gpu=77"]))
                asked.refused.append("but mem_mb asks for --mem=")
        case 2:
            asked.resources["mem_mb_per_cpu"] = megabytes // 10
            asked.facts["MinMemoryCPU"] = f"{megabytes // 10}M"
        case 3:
            asked.resources["mem_mb"] = 0
            asked.extra.append(spelled(lot, "mem", megabytes))
            asked.facts["MinMemoryNode"] = f"{megabytes}M"
        case 4:
            asked.resources["mem_mb"] = 0
            if "SBATCH_MEM_PER_NODE" in environment:
                asked.facts["MinMemoryNode"] = environment["SBATCH_MEM_PER_NODE"] + "M"
            elif "SBATCH_MEM_PER_CPU" in environment:
                asked.facts["MinMemoryCPU"] = environment["SBATCH_MEM_PER_CPU"] + "M"


def time(asked: Asked, lot: random.Random, environment: dict[str, str]) -> None:
    minutes = lot.randint(2, 50)
    asked.facts["TimeLimit"] = f"00:{minutes:02}:00"
    match lot.randrange(3):
        case 0:
            asked.resources["runtime"] = minutes
        case 1:
            asked.resources["runtime"] = 0
            asked.extra.append(spelled(lot, "time", minutes, "t"))
        case 2:
            asked.resources["runtime"] = 0
            asked.facts["TimeLimit"] = f"00:{environment.get('SBATCH_TIMELIMIT')}:00"
            if "SBATCH_TIMELIMIT" not in environment:
                del asked.facts["TimeLimit"]


def partition(asked: Asked, lot: random.Random, environment: dict[str, str]) -> None:
    name = lot.choices(["main", "lean", "whole"], [6, 3, 1])[0]
    match lot.randrange(4):
        case 0 | 1:
            asked.resources["slurm_partition"] = name
            if lot.random() < 0.05:
                asked.extra.append(spelled(lot, "partition", "spot", "p"))
                asked.refused.append("slurm_extra has --partition=spot, but slurm_partition asks for")
        case 2:
            asked.extra.append(spelled(lot, "partition", name, "p"))
        case 3:
            name = environment.get("SBATCH_PARTITION", "main")
    asked.facts["Partition"] = name
    if name == "whole":
        asked.at_least = CPUS


def gpus(asked: Asked, lot: random.Random, environment: dict[str, str]) -> None:
    match lot.randrange(30):
        case 0 | 1 | 2 | 3 | 4 | 5 | 6:
            asked.gpus = asked.resources["gpu"] = lot.randint(1, GPUS)
            if lot.random() < 0.1:
                asked.extra.append(lot.choice(["--gpus=1", "-G1", "--gres gpu:1", "--gpus-per-node=1"]))
                if not (asked.gpus == 1 and "gres" in asked.extra[-1]):  # the same in other words is no contradiction
                    asked.refused.append(f"but gpu asks for --gres=gpu:{asked.gpus}")
        case 7 | 8 | 9 | 10:
            asked.gpus = lot.randint(1, GPUS)
            asked.resources["gres"] = f"gpu:{asked.gpus}"
        case 11 | 12 | 13 | 14:
            asked.gpus = lot.randint(1, GPUS)
            asked.extra.append(spelled(lot, "gpus", asked.gpus, "G"))
        case 15:
            asked.resources["gpu"] = GPUS + 1
            asked.refused.append("Batch job submission failed")
        case _:
            found = [environment[name] for name in ("SBATCH_GRES", "SBATCH_GPUS") if name in environment]
            asked.gpus = int(found[0][-1]) if found else 0


def tasks(asked: Asked, lot: random.Random, _: dict[str, str]) -> None:
    match lot.randrange(30):
        case 0 | 1 | 2:
            asked.tasks = asked.resources["tasks"] = lot.randint(2, 3)
            if lot.random() < 0.5:
                asked.resources["mpi"] = "srun"
        case 3 | 4 | 5:
            asked.tasks = lot.randint(2, 3)
            asked.extra.append(spelled(lot, "ntasks", asked.tasks, "n"))
        case 6 | 7:
            asked.tasks = asked.resources["tasks_per_node"] = 2
        case 8:
            asked.resources["mpi"] = "srun"
            asked.refused.append("resource mpi='srun' needs tasks or tasks_per_node")


def requeue(asked: Asked, lot: random.Random, _: dict[str, str]) -> None:
    option = lot.choice(["", "", "--requeue", "--no-requeue"])
    asked.facts["Requeue"] = "0" if option == "--no-requeue" else "1"
    asked.extra += [option] if option else []


def geometry(asked: Asked, lot: random.Random, _: dict[str, str]) -> None:
    """Draw an option that gives a job more CPUs than its tasks request, or that may change the number of tasks."""
    options = ["--hint=nomultithread", "--threads-per-core=1", "--ntasks-per-core=1", "--overcommit", "-O", "-m block"]
    option = lot.choice(
        [*options, "--exclusive", "--mincpus=6", "--nice=5", "-w node", "--cores-per-socket=4", *[""] * 9]
    )
    asked.extra += [option] if option else []
    if option == "--exclusive":
        asked.at_least = CPUS
    if option == "--mincpus=6":
        asked.at_least = max(asked.at_least, 6)
    asked.overcommit = option in ("--overcommit", "-O")
    if option == "--nice=5":
        asked.facts["Nice"] = "5"


def forbidden(asked: Asked, lot: random.Random, _: dict[str, str]) -> None:
    if lot.random() < 0.03:
        option, words = lot.choice(
            [
                ("--array=0-3", "slurm_extra has '--array=0-3', which the executor sets itself"),
                ("-W", "slurm_extra has '-W', which the executor sets itself"),
                ("-o log", "slurm_extra has '-o', which the executor sets itself"),
                ("nonsense", "slurm_extra has 'nonsense', but takes only options of sbatch"),
                ("--no-such-option", "sbatch: unrecognized option '--no-such-option'"),
                ("-x nowhere", "Batch job submission failed: Invalid node name specified"),
            ]
        )
        asked.extra.append(option)
        asked.refused.append(words)


def shell(lot: random.Random) -> dict[str, str]:
    """Draw variables that a user, a computing centre or a surrounding Slurm job may export."""
    either = [
        {"SBATCH_TIMELIMIT": "53"},
        {"SBATCH_PARTITION": lot.choice(["lean", "whole"])},
        lot.choice([{"SBATCH_MEM_PER_NODE": "411"}, {"SBATCH_MEM_PER_CPU": "151"}]),
        lot.choice([{"SBATCH_GRES": "gpu:2"}, {"SBATCH_GPUS": "1"}]),
        lot.choice([{"SBATCH_NO_REQUEUE": "1"}, {"SBATCH_REQUEUE": "1"}]),
        {"SBATCH_JOB_NAME": "mine", "SBATCH_COMMENT": "mine", "SBATCH_WCKEY": ""},
        {"SBATCH_OUTPUT": "/dev/null", "SBATCH_ERROR": "/dev/null", "SBATCH_INPUT": "none"},
        {"SBATCH_EXPORT": "NONE", "SLURM_EXPORT_ENV": "NONE", "SRUN_EXPORT_ENV": "NONE"},
        {"SBATCH_WAIT": "1"},
        {"SBATCH_ARRAY_INX": "0-3"},
        {"SBATCH_OPEN_MODE": "truncate", "SBATCH_SIGNAL": "USR1@30", "SBATCH_GET_USER_ENV": "1"},
        {"SBATCH_HINT": "nomultithread"},
        {"SBATCH_THREADS_PER_CORE": "1"},
        {"SBATCH_OVERCOMMIT": "1", "SLURM_OVERCOMMIT": "1"},
        {"SBATCH_CPUS_PER_GPU": "5", "SBATCH_DISTRIBUTION": "cyclic"},
        {"SLURM_NTASKS": "3", "SLURM_NPROCS": "3", "SLURM_NTASKS_PER_NODE": "3", "SLURM_NTASKS_PER_GPU": "2"},
        {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "1", "SLURM_ARRAY_JOB_ID": "4711", "SLURM_ARRAY_TASK_ID": "3"},
        {"SRUN_CPUS_PER_TASK": "7", "SLURM_CPUS_PER_TASK": "7", "SLURM_MEM_PER_NODE": "1", "SLURM_EXIT_ERROR": "0"},
    ]
    return {name: value for some in lot.sample(either, len(either) // 2) for name, value in some.items()}


def fault(asked: Asked, found: Got, told: str) -> str:
    """Say what is wrong with the result of a rule; nothing if it is as expected. `told`: why it was not submitted."""
    if asked.refused:
        return "" if found.runs == 0 and any(words in told for words in asked.refused) else f"{asked.refused}?"
    if found.runs == 0 and "Batch job submission failed: Requested node configuration is not" in told:
        return ""  # this node cannot give all that at once, says Slurm
    if found.runs != 1:
        return f"ran {found.runs} times"
    facts = {name: found.facts.get(name) for name in asked.facts}
    if facts != asked.facts:
        return f"{facts} instead of {asked.facts}"
    if (tasks := int(found.facts["NumTasks"])) != asked.tasks or int(found.facts["StepCPUs"]) != asked.cpus:
        return f"{tasks} tasks of {found.facts['StepCPUs']} CPUs instead of {asked.tasks} of {asked.cpus}"
    if int(found.facts["NumCPUs"]) < max(asked.at_least, asked.cpus * (1 if asked.overcommit else asked.tasks)):
        return f"{found.facts['NumCPUs']} CPUs"
    devices = [device for device in found.facts["GPUs"].split(",") if device]
    whole_node = asked.at_least == CPUS and asked.tasks > 1  # its batch script sees all GPUs
    return "" if asked.gpus == len(devices) or whole_node else f"GPUs {devices} instead of {asked.gpus}"


@pytest.mark.parametrize("number", range(COMBINATIONS // A_RUN))
def test_once_as_asked_or_refused(project: Project, number: int) -> None:
    lot = random.Random(f"16 {number}")
    environment = shell(lot)
    rules = {f"rule_{i}": draw(lot, environment) for i in range(A_RUN)}
    project.environment |= environment
    project.write(workflow({name: asked.resources for name, asked in rules.items()}))
    project.run("all", timeout=900)
    told = dict(re.findall(r"Error in rule (\w+):\s+message: (Not submitted to Slurm: .*(?:\n.*)?)", project.output))
    found = {name: got(project.folder, name) for name in rules}
    faults = {name: fault(asked, found[name], told.get(name, "")) for name, asked in rules.items()}
    ran = [name for name in rules if found[name].runs]
    print(f"{environment}: {len(ran)} ran once, {len(rules) - len(ran)} were refused")
    wrong = {name: (words, rules[name], found[name].text, told.get(name)) for name, words in faults.items() if words}
    assert not wrong, (environment, wrong, project.output)
    assert "Traceback" not in project.output and len(ran) >= A_RUN * 0.6

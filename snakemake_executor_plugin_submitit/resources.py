"""From a Snakemake job's resources, by the names of snakemake-executor-plugin-slurm, to sbatch's parameters."""

import shlex
from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

# resource: parameter of submitit's SlurmExecutor; both are passed on as they are
PLAIN = {
    "slurm_partition": "partition",
    "slurm_account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "runtime": "time",  # minutes
    "nodes": "nodes",
}
OURS = frozenset(
    ("array", "comment", "error", "open-mode", "output", "signal")
)  # a job's id and the path of its log depend on them


def cpus(job: JobExecutorInterface) -> int:
    """CPUs for a job's one process: `cpus_per_task`, else its threads."""
    return max(1, int(job.resources.get("cpus_per_task") or job.threads))


def sbatch_parameters(job: JobExecutorInterface, signal_delay: int, times_memory: int = 1) -> dict[str, Any]:
    """Parameters for submitit's SlurmExecutor; `signal_delay` in seconds, less where the time limit is short.

    `times_memory` is by how much the memory that the job asks for is multiplied.

    Raises:
        ValueError: resources that contradict each other or cannot be understood.
    """
    resources = job.resources
    tasks = int(resources.get("tasks") or 1)
    nodes = int(resources.get("nodes") or 1)
    parameters: dict[str, Any] = {
        "job_name": job.name,
        "time": None,  # the partition's own, where submitit's default is five minutes
        "wckey": None,  # clusters that use them refuse unknown ones, such as submitit's default
        "signal_delay_s": min(signal_delay, 15 * int(resources.get("runtime") or 60)),  # a quarter of the limit
        "stderr_to_stdout": True,
        "cpus_per_task": cpus(job),
        "gres": gres(job),
        **{parameter: resources.get(name) for name, parameter in PLAIN.items() if resources.get(name)},
    }
    if asked := memory(job):
        megabytes = int(resources.get(asked)) * times_memory
        parameters["mem_per_cpu" if asked == "mem_mb_per_cpu" else "mem"] = f"{megabytes}M"
    if tasks > 1 or nodes > 1:
        # Snakemake runs once, in the batch script; the rule starts its tasks itself (srun, torchrun).
        parameters["use_srun"] = False
    else:
        # Since Slurm 22.05 srun no longer takes this from sbatch, and the job would have one CPU.
        parameters["srun_args"] = [f"--cpus-per-task={cpus(job)}"]
    parameters["additional_parameters"] = {
        "requeue": True,  # after a preemption or a node's failure; clusters may have it otherwise
        **({"ntasks": tasks} if tasks > 1 else {}),
        **extra(str(resources.get("slurm_extra") or "")),
    }
    return parameters


def memory(job: JobExecutorInterface) -> str | None:
    """The resource by which a job asks for memory; None if it leaves it to the cluster."""
    return next((name for name in ("mem_mb_per_cpu", "mem_mb") if job.resources.get(name)), None)


def gres(job: JobExecutorInterface) -> str | None:
    """`gpu: N` (and `gpu_model`) or `gres` as sbatch's --gres; None without GPUs."""
    given, count, model = (job.resources.get(name) for name in ("gres", "gpu", "gpu_model"))
    if given and count:
        raise ValueError(f"resources gpu={count} and gres={given!r} say the same thing twice: give one of them")
    if model and not count:
        raise ValueError(f"resource gpu_model={model!r} needs gpu, the number of GPUs")
    if count:
        return f"gpu:{model}:{count}" if model else f"gpu:{count}"
    return str(given) if given else None


def extra(options: str) -> dict[str, Any]:
    """`slurm_extra` ("--exclude=n1 --exclusive") as parameters by name."""
    parameters: dict[str, Any] = {}
    for option in shlex.split(options):
        name, equals, value = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise ValueError(f"slurm_extra has {option!r}, but takes only --option or --option=value")
        if name in OURS:
            raise ValueError(f"slurm_extra has --{name}, which the executor sets itself: leave it out")
        parameters[name] = value if equals else True
    return parameters

"""sbatch's options from a Snakemake job's resources, which have the names of snakemake-executor-plugin-slurm."""

from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .options import Options, equivalents, parse, word

# sbatch's options by resource; the value is passed on as it is.
PLAIN = {
    "slurm_partition": "partition",
    "slurm_account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "runtime": "time",  # minutes
    "nodes": "nodes",
    "tasks": "ntasks",
    "tasks_per_node": "ntasks-per-node",
    "tasks_per_gpu": "ntasks-per-gpu",
}
TASKS = ("ntasks", "ntasks-per-node", "ntasks-per-gpu", "nodes")  # a rule with one of these above 1 has several tasks
ELSEWHERE = ("cluster", "clusters", "slurm_cluster")


def cpus(job: JobExecutorInterface) -> int:
    """Return the number of CPUs per task of a job: `cpus_per_task`, `cpus_per_gpu` times `gpu`, or else its threads.

    Raises:
        ValueError: a value is no whole number.
    """
    per_task, per_gpu, gpus = (_number(job, name) for name in ("cpus_per_task", "cpus_per_gpu", "gpu"))
    if not per_task and (extra := parse(_extra(job)).get("cpus-per-task")):
        per_task = _whole("slurm_extra's --cpus-per-task", extra)
    return max(1, per_task or (per_gpu or 0) * (gpus or 0) or job.threads)


def sbatch_parameters(job: JobExecutorInterface, signal_delay: int, times_memory: int = 1) -> dict[str, Any]:
    """Return the parameters of `_submitit.Sbatch`: sbatch's options, and srun's arguments for the task of the job.

    `signal_delay` is the time between the signal and the time limit in seconds; at most a quarter of the limit is used.
    The memory that the job requests is multiplied by `times_memory`.

    Raises:
        ValueError: resources contradict each other, or cannot be understood.
    """
    extra, requested = parse(_extra(job)), _requested(job, times_memory)
    for name, (resource, value) in requested.items():
        for other in equivalents(name, value) & extra.keys():
            if other != name or str(extra[other]) != value:
                raise ValueError(
                    f"slurm_extra has {word(other, extra[other])}, but {resource} asks for {word(name, value)}: "
                    f"give one of them, rather {resource}"
                )
    options: dict[str, str | bool] = {
        "job-name": job.name,
        "signal": f"USR2@{min(signal_delay, 15 * int(job.resources.get('runtime') or 60))}",  # a quarter of the limit
        "cpus-per-task": str(cpus(job)),
        "export": "ALL",
        **{name: value for name, (_, value) in requested.items()},
        **extra,
    }
    if not equivalents("requeue", True) & options.keys():
        options["requeue"] = True  # after a preemption or a node's failure; the cluster's default may differ
    if _several_tasks(job, options):
        # Snakemake runs once, in the batch script; the rule starts its tasks itself (srun, mpiexec, torchrun).
        return {"use_srun": False, "additional_parameters": options}
    # One task, however many CPUs Slurm gives to the job: both threads of a core, a whole node, more for much memory.
    single = {"nodes": "1", "ntasks": "1"}
    # Since Slurm 22.05 srun does not take over sbatch's CPUs: the task would have one CPU. If Slurm starts more tasks
    # all the same, they end at once, and their end must not end the step.
    step = [
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={cpus(job)}",
        "--export=ALL",
        "--kill-on-bad-exit=0",
        "--wait=0",
    ]
    return {"srun_args": step, "additional_parameters": {**options, **single}}


def memory(job: JobExecutorInterface) -> str | None:
    """Return the resource by which a job requests memory; None where the cluster's default applies."""
    return next((name for name in ("mem_mb_per_cpu", "mem_mb") if job.resources.get(name)), None)


def gres(job: JobExecutorInterface) -> str | None:
    """Return the value of sbatch's --gres from `gpu` (and `gpu_model`) or `gres`; None without GPUs.

    Raises:
        ValueError: the resources contradict each other.
    """
    text, count, model = (job.resources.get(name) for name in ("gres", "gpu", "gpu_model"))
    if text and count:
        raise ValueError(f"resources gpu={count} and gres={text!r} say the same thing twice: give one of them")
    if model and not count:
        raise ValueError(f"resource gpu_model={model!r} needs gpu, the number of GPUs")
    if count:
        return f"gpu:{model}:{count}" if model else f"gpu:{count}"
    return str(text) if text else None


def _requested(job: JobExecutorInterface, times_memory: int) -> dict[str, tuple[str, str]]:
    """Map each option of sbatch that a job's resources set to the resource that sets it, and the value."""
    if elsewhere := next((name for name in ELSEWHERE if job.resources.get(name)), None):
        raise ValueError(f"resource {elsewhere}: jobs run on this cluster only; start Snakemake on the other one")
    resources = job.resources
    requested = {option: (name, str(resources.get(name))) for name, option in PLAIN.items() if resources.get(name)}
    if name := memory(job):
        option = "mem-per-cpu" if name == "mem_mb_per_cpu" else "mem"
        requested[option] = (name, f"{_whole(f'resource {name}', resources.get(name)) * times_memory}M")
    if value := gres(job):
        requested["gres"] = ("gpu" if resources.get("gpu") else "gres", value)
    if name := next((name for name in ("cpus_per_task", "cpus_per_gpu") if resources.get(name)), None):
        requested["cpus-per-task"] = (name, str(cpus(job)))
    elif job.threads > 1:
        requested["cpus-per-task"] = ("threads", str(job.threads))
    return requested


def _several_tasks(job: JobExecutorInterface, options: Options) -> bool:
    """Tell whether a rule starts its tasks itself.

    Raises:
        ValueError: the rule has the resource `mpi`, but no number of tasks.
    """
    several = any(str(options.get(name, 1)) != "1" for name in TASKS)
    if (launcher := job.resources.get("mpi")) and not several and "ntasks" not in options:
        raise ValueError(f"resource mpi={launcher!r} needs tasks or tasks_per_node, the number of tasks")
    return several or bool(launcher)


def _extra(job: JobExecutorInterface) -> str:
    return str(job.resources.get("slurm_extra") or "")


def _number(job: JobExecutorInterface, name: str) -> int | None:
    """Return the value of a resource as a whole number; None where the job does not have the resource."""
    value = job.resources.get(name)
    return _whole(f"resource {name}", value) if value else None


def _whole(what: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{what} is {value!r}, but must be a whole number") from None

"""From a Snakemake job's resources, by the names of snakemake-executor-plugin-slurm, to sbatch's options."""

from typing import Any

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .options import Options, alike, parse, word

# resource: option of sbatch; the value is passed on as it is
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
TASKS = ("ntasks", "ntasks-per-node", "ntasks-per-gpu", "nodes")  # with one of them above 1 a rule has several tasks
ELSEWHERE = ("cluster", "clusters", "slurm_cluster")


def cpus(job: JobExecutorInterface) -> int:
    """CPUs for a job's one process, or for each of its tasks: `cpus_per_task`, else its threads.

    Raises:
        ValueError: what asks for them is no number.
    """
    given, per_gpu, gpus = (_number(job, name) for name in ("cpus_per_task", "cpus_per_gpu", "gpu"))
    if not given and (extra := parse(_extra(job)).get("cpus-per-task")):
        given = _whole("slurm_extra's --cpus-per-task", extra)
    return max(1, given or (per_gpu or 0) * (gpus or 0) or job.threads)


def sbatch_parameters(job: JobExecutorInterface, signal_delay: int, times_memory: int = 1) -> dict[str, Any]:
    """Parameters for submission.Sbatch: sbatch's options, and srun's arguments for the one task that does the work.

    `signal_delay`: in seconds, less where the time limit is short. `times_memory`: by how much the memory that the job
    asks for is multiplied.

    Raises:
        ValueError: resources that contradict each other or cannot be understood.
    """
    extra, asked = parse(_extra(job)), _asked(job, times_memory)
    for name, (resource, value) in asked.items():
        for other in alike(name, value) & extra.keys():
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
        **{name: value for name, (_, value) in asked.items()},
        **extra,
    }
    if not alike("requeue", True) & options.keys():
        options["requeue"] = True  # after a preemption or a node's failure; clusters may have it otherwise
    if _several_tasks(job, options):
        # Snakemake runs once, in the batch script; the rule starts its tasks itself (srun, mpiexec, torchrun).
        return {"use_srun": False, "additional_parameters": options}
    # However many CPUs Slurm gives to the job: threads of a core, a whole node, more for much memory.
    one = {"nodes": "1", "ntasks": "1"}
    # Since Slurm 22.05 srun takes no CPUs from sbatch, and the task would have one. Should there be other tasks after
    # all, they end at once, and this must not end the step.
    step = [
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={cpus(job)}",
        "--export=ALL",
        "--kill-on-bad-exit=0",
        "--wait=0",
    ]
    return {"srun_args": step, "additional_parameters": {**options, **one}}


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


def _asked(job: JobExecutorInterface, times_memory: int) -> dict[str, tuple[str, str]]:
    """Options that a job's resources ask for: by name, which resource does so and the value."""
    if elsewhere := next((name for name in ELSEWHERE if job.resources.get(name)), None):
        raise ValueError(f"resource {elsewhere}: jobs run on this cluster only; start Snakemake on the other one")
    asked = {option: (name, str(job.resources.get(name))) for name, option in PLAIN.items() if job.resources.get(name)}
    if name := memory(job):
        option = "mem-per-cpu" if name == "mem_mb_per_cpu" else "mem"
        asked[option] = (name, f"{_whole(f'resource {name}', job.resources.get(name)) * times_memory}M")
    if value := gres(job):
        asked["gres"] = ("gpu" if job.resources.get("gpu") else "gres", value)
    if name := next((name for name in ("cpus_per_task", "cpus_per_gpu") if job.resources.get(name)), None):
        asked["cpus-per-task"] = (name, str(cpus(job)))
    elif job.threads > 1:
        asked["cpus-per-task"] = ("threads", str(job.threads))
    return asked


def _several_tasks(job: JobExecutorInterface, options: Options) -> bool:
    """Whether a rule starts tasks of its own.

    Raises:
        ValueError: it does, but does not say how many.
    """
    several = any(str(options.get(name, 1)) != "1" for name in TASKS)
    if (launcher := job.resources.get("mpi")) and not several and "ntasks" not in options:
        raise ValueError(f"resource mpi={launcher!r} needs tasks or tasks_per_node, the number of tasks")
    return several or bool(launcher)


def _extra(job: JobExecutorInterface) -> str:
    return str(job.resources.get("slurm_extra") or "")


def _number(job: JobExecutorInterface, name: str) -> int | None:
    """A resource that is a whole number; None without it."""
    value = job.resources.get(name)
    return _whole(f"resource {name}", value) if value else None


def _whole(what: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{what} is {value!r}, but must be a whole number") from None

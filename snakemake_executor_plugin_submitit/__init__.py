"""Snakemake jobs to Slurm through submitit: `snakemake --executor submitit --jobs 100`.

Snakemake imports this package at every start, also inside each Slurm job: submitit itself is imported only to submit.
And submitit imports it in each job, to unpickle `job.SnakemakeJob`: what Snakemake asks for is loaded when it asks.

- `settings`: what a user can set (`--submitit-...`, or the same keys in a profile)
- `executor`: Snakemake's view: run a job, watch all, cancel all
- `resources`, `options`, `submission`: from Snakemake jobs and their resources to sbatch, through submitit
- `inner`, `told`, `inside`: the Snakemake inside a job: how it is started, what it is told, what it does
- `retry`: which jobs are submitted again
- `ledger`: what was submitted, for the next main process to adopt
- `job`: what runs inside the Slurm job, and its way back into the queue
- `slurm`: squeue, sacct, scancel and the states they tell
"""

from typing import Any

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import executor

    return getattr(executor, name)

"""Snakemake jobs to Slurm through submitit: `snakemake --executor submitit --jobs 100`.

Snakemake imports this package at every start, also inside each Slurm job: submitit itself is imported only to submit.
And submitit imports it in each job, to unpickle `job.SnakemakeJob`: what Snakemake asks for is loaded when it asks.

- `settings`: what a user can set (`--submitit-...`, or the same keys in a profile)
- `executor`: Snakemake's view: run a job, watch all, cancel all
- `backlog`, `resources`, `options`, `submission`, `sbatch`: from Snakemake jobs and their resources to Slurm's
- `inner`, `told`, `inside`, `guard`: the Snakemake inside a job: how it is started, what it is told, what it does
- `job`: what runs inside the Slurm job, and its way back into the queue; `claims`: which outputs are its own
- `polling`, `retry`: what becomes of jobs, and which are submitted again
- `ledger`, `left_behind`, `keys`: what was submitted, and what the next main process makes of it; `lock`: one at a time
- `cluster`, `slurm`: Slurm's own commands, and the states they tell
- `_snakemake`, `_submitit`: private parts of these two that are used or replaced; `upstream`: in which versions
"""

from typing import Any

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import executor

    return getattr(executor, name)

"""An executor plugin that runs Snakemake jobs on Slurm through submitit: `snakemake --executor submitit --jobs 100`.

Snakemake imports this package at every start, also inside each Slurm job, and submitit imports it in each job to
unpickle `job.SnakemakeJob`. Therefore submitit is imported only to submit, and Snakemake's names are loaded on demand.

In the main process:

- `settings`: the user's options (`--submitit-...`, or the same keys in a profile)
- `executor`: the class that Snakemake calls: run a job, watch all jobs, cancel all jobs
- `backlog`, `resources`, `options`, `submission`, `sbatch`: from Snakemake jobs and their resources to Slurm jobs
- `polling`, `retry`: the states of submitted jobs, and which dead jobs are submitted again
- `ledger`, `left_behind`, `keys`: the record of submitted jobs, and what the next main process does with it
- `lock`: one main process per folder
- `cluster`, `slurm`: Slurm's commands, and the states that they print
- `inner`, `handover`: the call of the Snakemake inside a job, and the settings that are handed over to it

Inside a Slurm job:

- `job`: the function that submitit calls: run the command, go back into the queue when interrupted
- `inside`: the Snakemake that runs one job
- `claims`, `guard`: which job may write which outputs

Other packages:

- `_snakemake`, `_submitit`: their private parts that are used or replaced
- `upstream`: the versions that these private parts belong to
"""

from typing import Any

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import executor

    return getattr(executor, name)

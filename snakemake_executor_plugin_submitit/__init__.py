"""Snakemake jobs to Slurm through submitit: `snakemake --executor submitit --jobs 100`.

Snakemake imports this package at every start, also inside each Slurm job: submitit itself is imported only to submit.

- `settings`: what a user can set (`--submitit-...`, or the same keys in a profile)
- `executor`: Snakemake's view: run a job, watch all, cancel all
- `resources`, `submission`: from Snakemake jobs and their resources to sbatch, through submitit
- `ledger`: what was submitted, for the next main process to adopt
- `job`: what runs inside the Slurm job, and its way back into the queue
- `slurm`: squeue, sacct, scancel and the states they tell
"""

from snakemake_interface_executor_plugins.settings import CommonSettings

from .executor import Executor
from .settings import ExecutorSettings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,  # a cluster's nodes share the file system
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,  # sbatch passes the environment on; secrets stay out of files
    auto_deploy_default_storage_provider=False,
    pass_group_args=True,
)

"""How the Snakemake inside a job is called."""

import shlex
import sys
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import SharedFSUsage
from snakemake_interface_executor_plugins.utils import format_cli_arg, join_cli_args

from .resources import cpus


class InnerSnakemake(RemoteExecutor):
    """The part of the executor that writes a job's command."""

    def get_job_args(self, job: JobExecutorInterface, **kwargs: Any) -> str:
        """Arguments for the Snakemake inside the job.

        RemoteExecutor's own would wait for this process's temporary folder, gone when this process is, and would
        allow as many cores as the login node has.
        """
        arguments = RealExecutor.get_job_args(self, job, cores=cpus(job))
        if SharedFSUsage.INPUT_OUTPUT not in self.workflow.storage_settings.shared_fs_usage:
            return arguments
        awaited = [Path(file) for file in job.get_wait_for_files()]  # a Path is quoted for the shell, a str is not
        return join_cli_args([arguments, format_cli_arg("--wait-for-files", awaited)])

    def get_snakefile(self) -> str | Path:
        """The main Snakefile, in a form that is quoted for the shell."""
        return path if (path := Path(self.snakefile)).exists() else self.snakefile

    def get_python_executable(self) -> str:
        """This Python: nodes see the same file system."""
        return shlex.quote(sys.executable)

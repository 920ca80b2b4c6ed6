"""The submitit executor without Slurm: what a node would run is run here, at once. The rest is the real one."""

import os
import pickle
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase
from snakemake_interface_executor_plugins.utils import format_cli_arg

from snakemake_executor_plugin_submitit.executor import common_settings as common_settings
from snakemake_executor_plugin_submitit.inner import InnerSnakemake
from snakemake_executor_plugin_submitit.resources import cpus

RUN = "import pickle, sys; pickle.load(sys.stdin.buffer)()"


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Those that the part under test looks at."""

    requeues: int = field(default=0, metadata={"help": "as of the submitit executor"})
    seen: str = field(default="", metadata={"help": "folder for what jobs are told, and how Snakemake would tell it"})


class Executor(InnerSnakemake):
    """Runs each job at once."""

    def run_job(self, job: JobExecutorInterface) -> None:
        """Run a job as Slurm would: from its pickle, in a process of its own, in a folder of no account."""
        info = SubmittedJobInfo(job)
        self.report_job_submission(info, register_job=False)
        if folder := self.executor_settings.seen:
            (Path(folder) / f"{job.jobid}.told").write_bytes(self.command(job).data)
            (Path(folder) / f"{job.jobid}.line").write_text(RealExecutor.format_job_exec(self, job))
        environment = {**os.environ, "SLURM_JOB_ID": "1"}
        ran = subprocess.run(
            [sys.executable, "-c", RUN], input=pickle.dumps(self.command(job)), env=environment, cwd="/"
        )
        (self.report_job_error if ran.returncode else self.report_job_success)(info)

    def get_job_args(self, job: JobExecutorInterface, **kwargs: object) -> str:
        """Arguments as Snakemake's own executors make them, without waiting for the main process's temporary folder."""
        arguments = RealExecutor.get_job_args(self, job, cores=cpus(job))
        return f"{arguments} {format_cli_arg('--wait-for-files', job.get_wait_for_files())}"

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Nothing to look at."""
        for info in ():
            yield info

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Nothing runs any more."""

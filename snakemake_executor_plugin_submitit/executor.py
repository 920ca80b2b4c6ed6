"""The executor: Snakemake hands it ready jobs, it submits them, watches them all and cancels them all."""

import asyncio
import shlex
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.settings import SharedFSUsage
from snakemake_interface_executor_plugins.utils import format_cli_arg, join_cli_args
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from . import slurm
from .resources import cpus


class Executor(RemoteExecutor):
    """Runs each Snakemake job as a Slurm job."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        """Check that jobs can be submitted from here, and start polling.

        Raises:
            ApiError: this machine has no Slurm, or an option of Snakemake's cannot be served.
        """
        slurm.require_commands()
        self.settings = workflow.executor_settings
        self.log_folder = self.settings.log_folder.absolute()
        if "%" in str(self.log_folder):
            raise ApiError(
                f"Slurm's log folder is {self.log_folder}, but Slurm replaces % in the paths of logs: "
                "choose a folder without it (--submitit-log-folder)."
            )
        if workflow.remote_execution_settings.immediate_submit:
            raise ApiError("The submitit executor waits for its jobs: run without --immediate-submit.")
        self.queue = slurm.Queue(self.settings.dead_polls, logger.warning)
        # Own table: RemoteExecutor's active_jobs is empty while it polls, and a Ctrl-C then would cancel nothing.
        self.live: dict[str, SubmittedJobInfo] = {}
        self.stopped = threading.Event()
        super().__init__(workflow, logger)

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit a job; one that cannot be submitted has failed, and the others go on."""
        from .submission import SubmissionError, submit  # imports submitit

        with interrupts_deferred():
            try:
                submission = submit(job, self.format_job_exec(job), self.log_folder / job.name)
            except SubmissionError as error:
                self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted to Slurm: {error}. ")
                return
            info = SubmittedJobInfo(job, external_jobid=submission.slurm_id, aux={"submission": submission})
            self.live[submission.slurm_id] = info
            self.logger.info(f"Job {job.jobid} is Slurm job {submission.slurm_id} (log: {submission.log}).")
            self.report_job_submission(info)

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended; yield the others."""
        ids = [info.external_jobid for info in active_jobs]
        ended = await asyncio.to_thread(self.queue.poll, ids) if ids else {}
        for info in active_jobs:
            state = ended.get(info.external_jobid)
            if state is None:
                yield info
                continue
            self.live.pop(info.external_jobid, None)
            submission = info.aux["submission"]
            if state.succeeded or (state.name == "UNKNOWN" and submission.succeeded):
                self.report_job_success(info)
            else:
                self.report_failure(info, state)

    def report_failure(self, info: SubmittedJobInfo, state: slurm.State) -> None:
        """One message: which Slurm job, how it ended, where its log is."""
        log = info.aux["submission"].log
        where = f"its log is {log}" if log.exists() else f"it wrote no log ({log})"
        message = f"Slurm job {info.external_jobid} ended as {state}; {where}. "
        if info.job.is_group():  # Snakemake leaves the message out
            self.logger.error(message)
        self.report_job_error(info, msg=message, aux_logs=[str(log)] if log.exists() else [])

    async def sleep(self) -> None:
        """Wait for the next poll, but no longer than the workflow lasts."""
        await asyncio.to_thread(self.stopped.wait, self.settings.poll_interval)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every live job, those that are being looked at included."""
        with interrupts_deferred():
            ids = list(self.live)
            self.live.clear()
            if not ids:
                return
            try:
                slurm.scancel(ids)
            except slurm.CommandError as error:
                self.logger.error(f"Not all jobs could be cancelled ({error}); by hand: scancel {' '.join(ids)}")

    def shutdown(self) -> None:
        """Stop polling. Jobs still live here were left behind by an error in Snakemake itself: cancel them."""
        self.stopped.set()
        self.cancel_jobs([])
        super().shutdown()

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


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """A Ctrl-C inside takes effect at the end: no job between its submission and its entry in the table."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if received:
            signal.raise_signal(signal.SIGINT)

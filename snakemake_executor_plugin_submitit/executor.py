"""The executor: Snakemake hands it ready jobs, it submits them, watches them all and cancels them all."""

import asyncio
import json
import shlex
import signal
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from .job import SnakemakeJob
from .ledger import Entry, Ledger, key_of
from .resources import cpus, sbatch_parameters

if TYPE_CHECKING:
    from .submission import Submission, Submitter


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
        self.ledger = Ledger(self.log_folder / "ledger")
        self.queue = slurm.Queue(self.settings.dead_polls, logger.warning)
        # Own table: RemoteExecutor's active_jobs is empty while it polls, and a Ctrl-C then would cancel nothing.
        self.live: dict[str, SubmittedJobInfo] = {}
        self.stopped = threading.Event()
        super().__init__(workflow, logger)

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit the ready jobs, those with equal resources together; adopt those that an earlier process submitted."""
        for job in jobs:
            self.run_job_pre(job)
        batches: dict[str, list[JobExecutorInterface]] = {}
        for job in jobs:
            if not self.adopted(job):
                try:
                    parameters = sbatch_parameters(job, self.settings.signal_delay)
                except ValueError as error:
                    self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted to Slurm: {error}. ")
                    continue
                batches.setdefault(json.dumps(parameters, sort_keys=True), []).append(job)
        for parameters, alike in batches.items():
            size = max(1, self.settings.array_size)
            for first in range(0, len(alike), size):
                self.submit(alike[first : first + size], json.loads(parameters))

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def submit(self, jobs: list[JobExecutorInterface], parameters: dict[str, Any]) -> None:
        """Submit jobs with equal parameters; those that cannot be submitted have failed, and others go on."""
        from .submission import SubmissionError  # imports submitit

        calls = [SnakemakeJob(self.format_job_exec(job), self.settings.requeues) for job in jobs]
        with interrupts_deferred() as interrupted:
            try:
                folder = self.log_folder / jobs[0].name
                keys = list(map(key_of, jobs))
                submissions = self.submitter.submit(keys, calls, parameters, folder, interrupted.is_set)
            except SubmissionError as error:
                for job in jobs:
                    self.report_job_error(SubmittedJobInfo(job), msg=f"Not submitted to Slurm: {error}. ")
                return
            for job, submission in zip(jobs, submissions, strict=True):
                self.watch(job, submission, "is")

    def adopted(self, job: JobExecutorInterface) -> bool:
        """Whether an earlier process submitted this job, and it runs, waits or has ended well."""
        entry = self.left_behind.pop(key_of(job), None)
        if entry is None:
            return False
        from .submission import adopt  # imports submitit

        submission = adopt(entry, self.log_folder / job.name)
        state = self.states.get(entry.slurm_id, slurm.State("UNKNOWN"))
        if state.succeeded or (state.name == "UNKNOWN" and submission.succeeded):
            if not all(Path(file).exists() for file in job.output):
                self.ledger.ended(entry.slurm_id)  # its files were deleted since
                return False
        elif state.dead:
            self.ledger.ended(entry.slurm_id)
            return False
        self.watch(job, submission, "was submitted before as")
        return True

    def watch(self, job: JobExecutorInterface, submission: "Submission", how: str) -> None:
        """Enter a job into the table of those that are looked at."""
        info = SubmittedJobInfo(job, external_jobid=submission.slurm_id, aux={"submission": submission})
        self.live[submission.slurm_id] = info
        self.logger.info(f"Job {job.jobid} {how} Slurm job {submission.slurm_id} (log: {submission.log}).")
        self.report_job_submission(info)

    @cached_property
    def submitter(self) -> "Submitter":
        """Submits; made when the first job is ready."""
        from .submission import Submitter  # imports submitit

        return Submitter(self.ledger, self.logger.warning, self.stopped.wait)

    @cached_property
    def left_behind(self) -> dict[str, Entry]:
        """Jobs that an earlier process has submitted and not seen to their end, by key."""
        return {} if self.ledger.is_empty() else self.ledger.left_behind(self.patiently(slurm.comments))

    @cached_property
    def states(self) -> dict[str, slurm.State]:
        """In which states those jobs are now."""
        ids = [entry.slurm_id for entry in self.left_behind.values()]
        known = self.patiently(slurm.squeue) if ids else {}
        return known | self.queue.look_up([job for job in ids if job not in known])

    def patiently(self, ask: Callable[[], Any]) -> Any:
        """What Slurm answers, however long it takes to do so: a job that is not known of might be submitted twice."""
        while True:
            try:
                return ask()
            except slurm.CommandError as error:
                self.logger.warning(f"Slurm does not say which jobs there are ({error}); waiting until it does.")
                self.stopped.wait(self.settings.poll_interval)

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
            self.ledger.ended(info.external_jobid)
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
        if count := info.aux["submission"].time_limits:
            allowed = f"{self.settings.requeues} are allowed (--submitit-requeues)"
            message += f"It reached its time limit {count} times; {allowed}. "
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
                for slurm_id in ids:
                    self.ledger.ended(slurm_id)
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
def interrupts_deferred() -> Iterator[threading.Event]:
    """A Ctrl-C inside takes effect at the end: no job between its submission and its entry in the table.

    Yields what tells that one has come.
    """
    came = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    handler = signal.signal(signal.SIGINT, lambda number, frame: came.set())
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, handler)
        if came.is_set():
            signal.raise_signal(signal.SIGINT)

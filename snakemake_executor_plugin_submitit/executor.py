"""The executor: Snakemake hands it ready jobs, it submits them, watches them all and cancels them all."""

import asyncio
import json
import re
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from . import slurm
from .inner import InnerSnakemake
from .interrupts import interrupts_deferred
from .ledger import Entry, Ledger, key_of
from .resources import sbatch_parameters
from .retry import Try, cause_of, ending, next_try
from .settings import ExecutorSettings as ExecutorSettings

if TYPE_CHECKING:
    from .submission import Submission, Submitter

RESERVED = re.compile(r"[%\\\x00-\x1f]")  # what Slurm does not take as it is in the path of a log

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,  # a cluster's nodes share the file system
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,  # sbatch passes the environment on; secrets stay out of files
    auto_deploy_default_storage_provider=False,
    pass_group_args=True,
)


class Executor(InnerSnakemake):
    """Runs each Snakemake job as a Slurm job."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        """Check that jobs can be submitted from here, and start polling.

        Raises:
            ApiError: this machine has no Slurm, or an option of Snakemake's cannot be served.
        """
        slurm.require_commands()
        self.settings = workflow.executor_settings
        self.log_folder = self.settings.log_folder.absolute()
        if RESERVED.search(str(self.log_folder)):
            raise ApiError(
                f"Slurm's log folder is {self.log_folder}, but % and \\ have a meaning of their own in the paths of "
                "Slurm's logs: choose a folder without them (--submitit-log-folder)."
            )
        if workflow.remote_execution_settings.immediate_submit:
            raise ApiError("The submitit executor waits for its jobs: run without --immediate-submit.")
        self.ledger = Ledger(self.log_folder / "ledger")
        self.queue = slurm.Queue(self.settings.dead_polls, logger.warning)
        # Own table: RemoteExecutor's active_jobs is empty while it polls, and a Ctrl-C then would cancel nothing.
        self.live: dict[str, SubmittedJobInfo] = {}
        self.submitting = threading.Lock()  # jobs are submitted by Snakemake's thread, and again by the one that polls
        self.cancelled, self.stopped = threading.Event(), threading.Event()
        super().__init__(workflow, logger)

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit the ready jobs, those with equal resources together; adopt those that an earlier process submitted."""
        for job in jobs:
            self.run_job_pre(job)
        self.submit_all([Try(job) for job in jobs if not self.adopted(job)])

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self.run_jobs([job])

    def submit_all(self, tries: Sequence[Try]) -> None:
        """Submit these jobs, those with equal parameters as arrays."""
        batches: dict[str, list[Try]] = {}
        for one in tries:
            try:
                parameters = sbatch_parameters(one.job, self.settings.signal_delay, one.attempt.memory)
            except ValueError as error:
                self.report_refusal(one, error)
                continue
            batches.setdefault(json.dumps(parameters, sort_keys=True), []).append(one)
        for parameters, alike in batches.items():
            size = max(1, self.settings.array_size)
            for first in range(0, len(alike), size):
                self.submit(alike[first : first + size], json.loads(parameters))

    def submit(self, tries: Sequence[Try], parameters: dict[str, Any]) -> None:
        """Submit jobs with equal parameters; those that cannot be submitted have failed, and others go on."""
        from .submission import SubmissionError  # imports submitit

        planned = [(key_of(one.job), self.command(one.job), one.attempt) for one in tries]
        try:
            with self.submitting, interrupts_deferred() as interrupted:
                if self.cancelled.is_set():
                    return
                given_up = lambda: interrupted.is_set() or self.cancelled.is_set()  # noqa: E731
                folder = self.folder_of(tries[0].job)
                submissions = self.submitter.submit(planned, parameters, folder, given_up)
                for one, submission in zip(tries, submissions, strict=True):
                    self.watch(one, submission)
        except SubmissionError as error:
            for one in tries:
                self.report_refusal(one, error)

    def report_refusal(self, one: Try, error: Exception) -> None:
        """One message: a job was not submitted, and why."""
        if one.before:
            self.forget(one.before)
        what = f"It {one.why}. Not submitted again" if one.why else "Not submitted to Slurm"
        self.report_job_error(one.before or SubmittedJobInfo(one.job), msg=f"{what}: {error}. ")

    def adopted(self, job: JobExecutorInterface) -> bool:
        """Whether an earlier process submitted this job, and it runs, waits or has ended well."""
        entry = self.left_behind.get(key_of(job))
        if entry is None:
            return False
        state = self.states.pop(entry.slurm_id, None)
        if state is None:  # this process has taken it over already
            return False
        from .submission import adopt  # imports submitit

        submission = adopt(entry, self.folder_of(job))
        if state.succeeded or (state.name == "UNKNOWN" and submission.succeeded):
            if not all(Path(file).exists() for file in job.output):
                self.ledger.ended(entry.slurm_id)  # its files were deleted since
                return False
        elif state.dead and not cause_of(state, entry.slurm_id, submission.log):
            self.ledger.ended(entry.slurm_id)
            return False
        self.watch(Try(job, entry.attempt, how="was submitted before as"), submission)
        return True

    def folder_of(self, job: JobExecutorInterface) -> Path:
        """Where a job's files go: a folder named after its rule, or its group, whose name may be anything."""
        parts = RESERVED.sub("_", job.name).split("/")
        return self.log_folder.joinpath(*(part for part in parts if part.strip(".")))

    def watch(self, one: Try, submission: "Submission") -> None:
        """Enter a job into the table of those that are looked at; a retry takes the place of the one before it."""
        info = SubmittedJobInfo(one.job, submission.slurm_id, {"submission": submission, "attempt": one.attempt})
        self.live[submission.slurm_id] = info
        if one.before:
            self.forget(one.before)
        tell = self.logger.warning if one.before else self.logger.info
        name = f"Job {one.job.jobid} ({one.job.name}) {one.why} and" if one.why else f"Job {one.job.jobid}"
        tell(f"{name} {one.how} Slurm job {submission.slurm_id} (log: {submission.log}).")
        self.report_job_submission(info)

    def forget(self, info: SubmittedJobInfo) -> None:
        """Take a job that has ended out of the table and the ledger."""
        self.live.pop(info.external_jobid, None)
        self.ledger.ended(info.external_jobid)

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
        forgotten = self.queue.look_up([job for job in ids if job not in known])
        return {job: known.get(job) or forgotten[job] for job in ids}

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
        retries = []
        for info in active_jobs:
            state = ended.get(info.external_jobid)
            if state is None:
                yield info
            elif state.succeeded or (state.name == "UNKNOWN" and info.aux["submission"].succeeded):
                self.forget(info)
                self.report_job_success(info)
            elif retry := next_try(info, state, self.settings.retries):
                retries.append(retry)
            else:
                self.forget(info)
                self.report_failure(info, state)
        self.submit_all(retries)

    def report_failure(self, info: SubmittedJobInfo, state: slurm.State) -> None:
        """One message: which Slurm job, how it ended, where its log is."""
        log = info.aux["submission"].log
        message = ending(info, state, self.settings)
        if info.job.is_group():  # Snakemake leaves the message out
            self.logger.error(message)
        self.report_job_error(info, msg=message, aux_logs=[str(log)] if log.exists() else [])

    async def sleep(self) -> None:
        """Wait for the next poll, but no longer than the workflow lasts."""
        await asyncio.to_thread(self.stopped.wait, self.settings.poll_interval)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every live job, those that are being looked at included."""
        self.cancelled.set()
        with interrupts_deferred(), self.submitting:
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

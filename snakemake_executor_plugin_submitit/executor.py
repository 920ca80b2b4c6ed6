"""The executor: it gets ready jobs from Snakemake, submits them, watches them and cancels them."""

import atexit
import sys
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.logging import LoggerExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings
from snakemake_interface_executor_plugins.workflow import WorkflowExecutorInterface

from . import slurm
from ._snakemake import PollsWithJobs
from .backlog import Backlog
from .cluster import Cluster
from .inner import InnerSnakemake
from .interrupts import interrupts_deferred
from .keys import SPECIAL_CHARACTERS, members, project_of
from .ledger import Entry, Ledger
from .left_behind import LeftBehind, entry_of, find_left_behind, is_run_by
from .lock import MainLock, WorkflowLock
from .polling import Queue
from .resources import sbatch_parameters
from .retry import Request, cause_of, ending, retry_of, shown_log
from .settings import ExecutorSettings as ExecutorSettings
from .upstream import require_known_versions

if TYPE_CHECKING:
    from .job import SnakemakeJob
    from .submission import Submission, Submitter

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,  # a cluster's nodes share the file system
    job_deploy_sources=False,
    pass_envvar_declarations_to_cmd=False,  # sbatch passes the environment on; secrets stay out of files
    auto_deploy_default_storage_provider=False,
    pass_group_args=True,
)


class Executor(PollsWithJobs, InnerSnakemake):
    """The class that Snakemake calls; it runs each Snakemake job as a Slurm job."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        """Check that jobs can be submitted from this machine, and lock the folder for this process.

        Raises:
            ApiError: Slurm is missing, a package has an unknown version, another Snakemake runs in this folder, or an
                option cannot be used.
        """
        require_known_versions()
        slurm.require_commands()
        self.settings = workflow.executor_settings
        self.log_folder = self.settings.log_folder.absolute()
        if SPECIAL_CHARACTERS.search(str(self.log_folder)):
            raise ApiError(
                f"Slurm's log folder is {self.log_folder}, but % and \\ have a meaning of their own in the paths of "
                "Slurm's logs: choose a folder without them (--submitit-log-folder)."
            )
        if workflow.remote_execution_settings.immediate_submit:
            raise ApiError("The submitit executor waits for its jobs: run without --immediate-submit.")
        self.main_lock = MainLock(self.log_folder / "ledger")
        self.workflow_lock = WorkflowLock(workflow)
        atexit.register(self.workflow_lock.release)
        self.project = project_of(str(self.log_folder.resolve()))
        self.ledger = Ledger(self.log_folder / "ledger", logger.warning)
        self.queue = Queue(self.settings.dead_polls, logger.warning)
        self.cluster = Cluster(logger.warning, self.wait_a_poll)
        # By Slurm id. RemoteExecutor's active_jobs is empty while it polls: a Ctrl-C would then cancel nothing.
        self.live: dict[str, SubmittedJobInfo] = {}
        self.numbers: dict[str, str] = {}  # Slurm's numbers of the batches that this process has submitted or adopted
        self.backlog = Backlog(
            parameters=lambda request: sbatch_parameters(
                request.job, self.settings.signal_delay, request.attempt.memory
            ),
            call=self.call,
            may_go=lambda request: not self.left_behind.block(request.job.output),
            submitted=self.watch,
            refused=self.report_refusal,
            warn=self.cluster.warn_once,
        )
        self.submitting = threading.RLock()  # Snakemake's thread submits, and the polling thread
        self.begun, self.cancelled, self.stopped = threading.Event(), threading.Event(), threading.Event()
        super().__init__(workflow, logger)

    # Called by Snakemake.

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit ready jobs, those with equal resources together; adopt those that an earlier process submitted."""
        for job in jobs:
            self.run_job_pre(job)
        with self.submitting:
            self.backlog.requests += [Request(job) for job in jobs if not self.adopt(job)]
            self.submit_backlog()
        self.begun.set()

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self.run_jobs([job])

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended; yield the others."""
        ended = self.poll(active_jobs)
        for info in active_jobs:
            state = ended.get(info.external_jobid)
            if state is None:
                yield info
            elif state.succeeded or (state.name == "UNKNOWN" and info.aux["submission"].succeeded):
                self.forget(info)
                self.report_job_success(info)
            elif retry := retry_of(info, state, self.settings.retries):
                self.backlog.requests.append(retry)
            elif info.aux["was_lost"]:  # the job ended before this process began, and nothing says how
                self.forget(info)
                self.backlog.requests.append(Request(info.job))
            else:
                self.forget(info)
                self.report_failure(info, state)
        self.submit_backlog()
        self.ledger.write()

    async def sleep(self) -> None:
        """Wait for the next poll, or the end of the workflow. This blocks the thread, which only polls."""
        self.wait_a_poll()

    def wait_a_poll(self) -> None:
        """Wait for the time between two polls, or for the end of the workflow."""
        self.stopped.wait(self.settings.poll_interval)

    def cancel(self) -> None:
        """Cancel all jobs when the user ends Snakemake.

        Snakemake calls this after an error of its own too. Then the jobs run on, and the next process adopts them.
        """
        if isinstance(sys.exc_info()[1], Exception):
            self.shutdown()
        else:
            super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every live job, and the jobs of abandoned batches that Slurm has accepted all the same."""
        self.cancelled.set()
        with interrupts_deferred(), self.submitting:
            self.backlog.requests.clear()
            ids = list(self.live)
            self.live.clear()
            abandoned = {batch.name for batch in self.ledger.batches.values() if batch.abandoned}
            try:
                listed = slurm.squeue().values() if abandoned else ()
                running = {job.number: job.mark for job in listed if not job.state.over}
                ids += [number for number, mark in running.items() if mark and mark.batch in abandoned]
                slurm.scancel(ids)
                for slurm_id in ids:
                    self.ledger.ended(slurm_id, write=False)
            except slurm.CommandError as error:
                self.logger.error(f"Not all jobs could be cancelled ({error}); by hand: scancel {' '.join(ids)}")
            self.ledger.write()

    def shutdown(self) -> None:
        """Stop polling. Jobs that still run, after an error of Snakemake's, are adopted by the next process."""
        with self.lock:
            self.wait = False
        self.stopped.set()
        self.begun.set()
        super().shutdown()
        if self.live:
            self.logger.warning(f"{len(self.live)} Slurm jobs run on; the same command adopts them.")
        self.ledger.write()
        self.workflow_lock.release()

    # Submission and the reports to Snakemake.

    def submit_backlog(self) -> None:
        """Submit the waiting requests that the cluster accepts, unless another thread is submitting them."""
        if self.backlog.requests and self.submitting.acquire(blocking=False):
            try:
                with interrupts_deferred() as interrupted:
                    given_up = lambda: interrupted.is_set() or self.cancelled.is_set()  # noqa: E731
                    self.backlog.submit(self.submitter, given_up)
            finally:
                self.submitting.release()

    @cached_property
    def submitter(self) -> "Submitter":
        """Make the submitter, when the first job is ready: it imports submitit."""
        from .submission import Submitter

        self.backlog.largest_array = min(filter(None, (max(1, self.settings.array_size), self.cluster.largest_array)))
        wait, warn = self.stopped.wait, self.logger.warning
        return Submitter(self.ledger, self.log_folder, self.project, self.cluster.name, warn, wait)

    def call(self, request: Request) -> "tuple[Entry, SnakemakeJob]":
        """Return the ledger's entry for a request, and the call that runs in its Slurm job."""
        entry = entry_of(request.job, self.workflow.config, self.log_folder, request.attempt)
        return entry, self.command(request.job)

    def watch(self, request: Request, submission: "Submission", was_lost: bool = False) -> None:
        """Enter a submitted job into the table of live jobs; a retry takes the place of the job that it replaces.

        `was_lost` marks an adopted job that Slurm had forgotten when this process began.
        """
        aux = {"submission": submission, "attempt": request.attempt, "was_lost": was_lost}
        self.live[submission.slurm_id] = info = SubmittedJobInfo(request.job, submission.slurm_id, aux)
        self.numbers[submission.batch] = submission.slurm_id.partition("_")[0]
        if request.replaces:
            self.forget(request.replaces)
        log = self.logger.warning if request.replaces else self.logger.info
        log(request.message(submission.slurm_id, submission.log))
        self.report_job_submission(info)

    def forget(self, info: SubmittedJobInfo) -> None:
        """Remove a job that has ended from the table and the ledger."""
        self.live.pop(info.external_jobid, None)
        self.ledger.ended(info.external_jobid, write=False)

    def report_refusal(self, request: Request, error: Exception) -> None:
        """Report that a job was not submitted, and why."""
        if request.replaces:
            self.forget(request.replaces)
        self.report_job_error(request.replaces or SubmittedJobInfo(request.job), msg=request.refusal(error))

    def report_failure(self, info: SubmittedJobInfo, state: slurm.State) -> None:
        """Report which Slurm job has failed, how, and where its log is; end its claim, as parts of it may run on."""
        submission = info.aux["submission"]
        with suppress(OSError):
            submission.claim.end()
        message = ending(info, state, self.settings)
        if info.job.is_group():  # Snakemake leaves the message out
            self.logger.error(message)
        log = shown_log(submission.log)
        self.report_job_error(info, msg=message, aux_logs=[str(log)] if log else [])

    # Polls of Slurm.

    def poll(self, active_jobs: Sequence[SubmittedJobInfo]) -> dict[str, slurm.State]:
        """Return the states of the jobs that have ended, by Slurm id; write deleted files of the others again."""
        self.main_lock.renew()
        self.workflow_lock.renew()
        cancelled = self.left_behind.cancelled
        if not (active_jobs or self.backlog.requests or cancelled) or (listed := self.queue.poll()) is None:
            return {}
        self.cancel_surplus(listed)
        submissions = {info.external_jobid: info.aux["submission"] for info in active_jobs}
        watched = {slurm_id: (submission.batch, submission.name) for slurm_id, submission in submissions.items()}
        watched |= {slurm_id: (job.batch.name, job.entry.name) for slurm_id, job in cancelled.items()}
        ended = self.queue.ended(watched, listed)
        self.left_behind.update(ended)
        for info in active_jobs:
            if info.external_jobid not in ended:
                info.aux["submission"].restore(partial(self.command, info.job))
        return ended

    def cancel_surplus(self, listed: dict[str, slurm.Job]) -> None:
        """Cancel second copies: jobs that Slurm accepted without an answer and that were submitted again since."""
        numbers = self.ledger.numbers() | self.numbers
        running = {job.number: job.mark for job in listed.values() if job.mark and not job.state.over}
        ours = {number: mark.batch for number, mark in running.items() if mark.project == self.project}
        surplus = {number for number, batch in ours.items() if numbers.get(batch, "none") not in (number, None)}
        if surplus:
            ids = ", ".join(sorted(surplus))
            self.cluster.warn_once(f"Slurm job {ids} is a second copy, which appeared late: it is cancelled.")
            self.cluster.cancel(surplus)

    # Jobs of an earlier process.

    @cached_property
    def left_behind(self) -> LeftBehind:
        """Find the jobs that an earlier process submitted and did not see end; cancel the stale ones."""
        fits = partial(is_run_by, dag=self.dag, config=self.workflow.config)
        jobs = find_left_behind(self.ledger, self.cluster, self.queue, self.log_folder, self.project, fits)
        stale, unwanted = jobs.sort(self.dag.needrun_jobs())
        jobs.cancel(stale)
        jobs.leave(unwanted)
        return jobs

    def adopt(self, job: JobExecutorInterface) -> bool:
        """Adopt the Slurm job that already runs this job, or has run it with success; return whether it exists."""
        left_job = self.left_behind.take(members(job), job.output)
        if left_job is None:
            return False
        state, submission = left_job.state, self.submitter.adopt(left_job.batch, left_job.index)
        is_unknown = state.name == "UNKNOWN"
        if state.succeeded or (is_unknown and submission.succeeded):
            is_void = not all(Path(file).exists() for file in job.output)  # an output was deleted since
        else:
            is_void = state.dead and not is_unknown and not cause_of(state, left_job.slurm_id, submission.log)
        if is_void:
            self.ledger.ended(left_job.slurm_id)
            return False
        self.watch(Request(job, left_job.entry.attempt, is_adopted=True), submission, was_lost=is_unknown)
        return True

"""The executor: Snakemake hands it ready jobs, it submits them, watches them all and cancels them all."""

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
from .keys import RESERVED, members, project_of
from .ledger import Entry, Ledger
from .left_behind import LeftBehind, entry_of, is_run_by, take_stock
from .lock import MainLock, WorkflowLock
from .polling import Queue
from .resources import sbatch_parameters
from .retry import Try, cause_of, ending, next_try, shown_log
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
    """Runs each Snakemake job as a Slurm job."""

    def __init__(self, workflow: WorkflowExecutorInterface, logger: LoggerExecutorInterface) -> None:
        """Check that jobs can be submitted from here, and take the folder for this process.

        Raises:
            ApiError: there is no Slurm here, an unknown version, another Snakemake at work, or an option of no use.
        """
        require_known_versions()
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
        self.main_lock = MainLock(self.log_folder / "ledger")
        self.workflow_lock = WorkflowLock(workflow)
        atexit.register(self.workflow_lock.release)
        self.project = project_of(str(self.log_folder.resolve()))
        self.ledger = Ledger(self.log_folder / "ledger", logger.warning)
        self.queue = Queue(self.settings.dead_polls, logger.warning)
        self.cluster = Cluster(logger.warning, self.wait_a_poll)
        # Own table: RemoteExecutor's active_jobs is empty while it polls, and a Ctrl-C then would cancel nothing.
        self.live: dict[str, SubmittedJobInfo] = {}
        self.known: dict[str, str] = {}  # Slurm ids by batch, of all that this process has submitted or adopted
        self.backlog = Backlog(
            parameters=lambda one: sbatch_parameters(one.job, self.settings.signal_delay, one.attempt.memory),
            call=self.call,
            may_go=lambda one: not self.left_behind.block(one.job.output),
            submitted=self.watch,
            refused=self.report_refusal,
            tell=self.cluster.tell_once,
        )
        self.submitting = threading.RLock()  # by Snakemake's thread, and by the one that polls
        self.begun, self.cancelled, self.stopped = threading.Event(), threading.Event(), threading.Event()
        super().__init__(workflow, logger)

    # What Snakemake asks for.

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Submit the ready jobs, those with equal resources together; adopt those that an earlier process submitted."""
        for job in jobs:
            self.run_job_pre(job)
        with self.submitting:
            self.backlog.tries += [Try(job) for job in jobs if not self.is_adopted(job)]
            self.submit_backlog()
        self.begun.set()

    def run_job(self, job: JobExecutorInterface) -> None:
        """Submit one job."""
        self.run_jobs([job])

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that have ended; yield the others."""
        ended = self.look(active_jobs)
        for info in active_jobs:
            state = ended.get(info.external_jobid)
            if state is None:
                yield info
            elif state.succeeded or (state.name == "UNKNOWN" and info.aux["submission"].succeeded):
                self.forget(info)
                self.report_job_success(info)
            elif retry := next_try(info, state, self.settings.retries):
                self.backlog.tries.append(retry)
            elif info.aux["was_lost"]:  # it ended before this process began, and nobody knows how
                self.forget(info)
                self.backlog.tries.append(Try(info.job))
            else:
                self.forget(info)
                self.report_failure(info, state)
        self.submit_backlog()
        self.ledger.write()

    async def sleep(self) -> None:
        """Wait for the next poll, but no longer than the workflow lasts. This thread has nothing else to do."""
        self.wait_a_poll()

    def wait_a_poll(self) -> None:
        """Wait for the time between two polls, but no longer than the workflow lasts."""
        self.stopped.wait(self.settings.poll_interval)

    def cancel(self) -> None:
        """Cancel all jobs, and end.

        Snakemake calls this when the user ends it, and after an error of its own: that is no reason to end jobs, which
        the next process adopts.
        """
        if isinstance(sys.exc_info()[1], Exception):
            self.shutdown()
        else:
            super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every live job, those that are being looked at included, and those that sbatch has not told of."""
        self.cancelled.set()
        with interrupts_deferred(), self.submitting:
            self.backlog.tries.clear()
            ids = list(self.live)
            self.live.clear()
            untold = {batch.name for batch in self.ledger.batches.values() if batch.abandoned}
            try:
                listed = slurm.squeue().values() if untold else ()
                ids += {job.number for job in listed if job.batch in untold and not job.state.over}
                slurm.scancel(ids)
                for slurm_id in ids:
                    self.ledger.ended(slurm_id, write=False)
            except slurm.CommandError as error:
                self.logger.error(f"Not all jobs could be cancelled ({error}); by hand: scancel {' '.join(ids)}")
            self.ledger.write()

    def shutdown(self) -> None:
        """Stop polling. Jobs that still live here were left behind by an error: the next process adopts them."""
        with self.lock:
            self.wait = False
        self.stopped.set()
        self.begun.set()
        super().shutdown()
        if self.live:
            self.logger.warning(f"{len(self.live)} Slurm jobs run on; the same command adopts them.")
        self.ledger.write()
        self.workflow_lock.release()

    # From a job to Slurm, and what becomes of it there.

    def submit_backlog(self) -> None:
        """Submit what waits here, as far as the cluster takes it; where another thread is at it, that one does."""
        if self.backlog.tries and self.submitting.acquire(blocking=False):
            try:
                with interrupts_deferred() as interrupted:
                    given_up = lambda: interrupted.is_set() or self.cancelled.is_set()  # noqa: E731
                    self.backlog.submit(self.submitter, given_up)
            finally:
                self.submitting.release()

    @cached_property
    def submitter(self) -> "Submitter":
        """Submits; made when the first job is ready."""
        from .submission import Submitter  # imports submitit

        self.backlog.largest_array = min(filter(None, (max(1, self.settings.array_size), self.cluster.largest_array)))
        wait, warn = self.stopped.wait, self.logger.warning
        return Submitter(self.ledger, self.log_folder, self.project, self.cluster.name, warn, wait)

    def call(self, one: Try) -> "tuple[Entry, SnakemakeJob]":
        """What runs in a job, and what the ledger notes of it."""
        entry = entry_of(one.job, self.workflow.config, self.log_folder, one.attempt)
        return entry, self.command(one.job)

    def watch(self, one: Try, submission: "Submission", was_lost: bool = False) -> None:
        """Enter a job into the table of those that are looked at; a retry takes the place of the one before it.

        `was_lost` says of an adopted one that Slurm knew nothing of it when this process began.
        """
        aux = {"submission": submission, "attempt": one.attempt, "was_lost": was_lost}
        self.live[submission.slurm_id] = info = SubmittedJobInfo(one.job, submission.slurm_id, aux)
        self.known[submission.batch] = submission.slurm_id.partition("_")[0]
        if one.before:
            self.forget(one.before)
        tell = self.logger.warning if one.before else self.logger.info
        name = f"Job {one.job.jobid} ({one.job.name}) {one.why} and" if one.why else f"Job {one.job.jobid}"
        tell(f"{name} {one.how} Slurm job {submission.slurm_id} (log: {submission.log}).")
        self.report_job_submission(info)

    def forget(self, info: SubmittedJobInfo) -> None:
        """Take a job that has ended out of the table and the ledger."""
        self.live.pop(info.external_jobid, None)
        self.ledger.ended(info.external_jobid, write=False)

    def report_refusal(self, one: Try, error: Exception) -> None:
        """One message: a job was not submitted, and why."""
        if one.before:
            self.forget(one.before)
        what = f"It {one.why}. Not submitted again" if one.why else "Not submitted to Slurm"
        self.report_job_error(one.before or SubmittedJobInfo(one.job), msg=f"{what}: {str(error).strip()}. ")

    def report_failure(self, info: SubmittedJobInfo, state: slurm.State) -> None:
        """One message: which Slurm job, how it ended, where its log is. What may still run of it loses its outputs."""
        submission = info.aux["submission"]
        with suppress(OSError):
            submission.claim.end()
        message = ending(info, state, self.settings)
        if info.job.is_group():  # Snakemake leaves the message out
            self.logger.error(message)
        log = shown_log(submission.log)
        self.report_job_error(info, msg=message, aux_logs=[str(log)] if log else [])

    # What Slurm says.

    def look(self, active_jobs: Sequence[SubmittedJobInfo]) -> dict[str, slurm.State]:
        """Look at the queue: which of these jobs have ended, and how. What was deleted of ours is made again."""
        self.main_lock.renew()
        self.workflow_lock.renew()
        cancelled = self.left_behind.cancelled
        if not (active_jobs or self.backlog.tries or cancelled) or (listed := self.queue.look()) is None:
            return {}
        self.cancel_surplus(listed)
        submissions = {info.external_jobid: info.aux["submission"] for info in active_jobs}
        watched = {slurm_id: (one.batch, one.name) for slurm_id, one in submissions.items()}
        watched |= {slurm_id: (left.batch.name, left.entry.name) for slurm_id, left in cancelled.items()}
        ended = self.queue.ended(watched, listed)
        self.left_behind.see(ended)
        for info in active_jobs:
            if info.external_jobid not in ended:
                info.aux["submission"].restore(partial(self.command, info.job))
        return ended

    def cancel_surplus(self, listed: dict[str, slurm.Job]) -> None:
        """Cancel what sbatch has submitted without telling, when the same jobs were submitted again since."""
        known = self.ledger.numbers() | self.known
        ours = [job for job in listed.values() if job.project == self.project and not job.state.over]
        surplus = {job.number for job in ours if known.get(job.batch or "", "none") not in (job.number, None)}
        if surplus:
            ids = ", ".join(sorted(surplus))
            self.cluster.tell_once(f"Slurm job {ids} was submitted late, and again in the meantime: it is cancelled.")
            self.cluster.cancel(surplus)

    # What an earlier process has left behind.

    @cached_property
    def left_behind(self) -> LeftBehind:
        """Jobs that an earlier process has submitted and not seen to their end. Those that are stale are cancelled."""
        fits = partial(is_run_by, dag=self.dag, config=self.workflow.config)
        found = take_stock(self.ledger, self.cluster, self.queue, self.log_folder, self.project, fits)
        stale, unwanted = found.sort(self.dag.needrun_jobs())
        found.cancel(stale)
        found.leave(unwanted)
        return found

    def is_adopted(self, job: JobExecutorInterface) -> bool:
        """Whether an earlier process submitted this job, and it runs, waits or has ended well."""
        left = self.left_behind.take(members(job), job.output)
        if left is None:
            return False
        submission = self.submitter.adopt(left.batch, left.index)
        is_unknown = left.state.name == "UNKNOWN"
        if left.state.succeeded or (is_unknown and submission.succeeded):
            is_void = not all(Path(file).exists() for file in job.output)  # deleted since
        else:
            is_void = left.state.dead and not is_unknown and not cause_of(left.state, left.slurm_id, submission.log)
        if is_void:
            self.ledger.ended(left.slurm_id)
            return False
        self.watch(Try(job, left.entry.attempt, how="was submitted before as"), submission, was_lost=is_unknown)
        return True

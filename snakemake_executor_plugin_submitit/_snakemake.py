"""Use and replace private parts of Snakemake.

In a job (`replace_for_one_job`):

- `Workflow.configfile` takes what the file held for the main process. Snakemake's own reads the file again, which may
  have been edited since the submission. This ends when an executor may hand its jobs a configuration.
- `local.Executor.spawn_job` runs a job of a group as this plugin runs jobs: nothing is quoted. Snakemake's own makes a
  command line for a shell, which evaluates some values. This ends when Snakemake hands its settings on as objects.
- `Job.prepare` and `Job.postprocess` look at the claim of the outputs first. Snakemake's own delete, accept and mark
  outputs that another job makes by now. This ends when plugins are asked before outputs are touched.

In the main process:

- `FileLocks` writes Snakemake's lock files without the lock. Those of Snakemake's own are left behind by a process that
  is killed, and keep the next one from going on. This ends when they die with their process, or name their holder.
- `PollsWithJobs` begins to look at jobs when there are some. Snakemake's own looks before it knows what is to be run.
  This ends when `RemoteExecutor` waits for the first job.
"""

import threading
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.persistence import PersistenceExecutorInterface

if TYPE_CHECKING:
    from snakemake.workflow import Workflow

GUARDED = ("prepare", "postprocess")  # of Job: what comes before a job's command, and after it


def replace_for_one_job(
    configfile: "Callable[[Workflow, str, Callable[[], None]], None]",
    spawn: "Callable[[Workflow, JobExecutorInterface], None]",
    before_outputs: Callable[[], None] | None,
) -> None:
    """Have the Snakemake of this process, which runs one job, read a configuration and spawn a job by these functions.

    `configfile` gets the workflow, the file's path, and what reads it as Snakemake does. `before_outputs` is called
    before outputs are touched.
    """
    from snakemake.executors import local  # Snakemake imports executors while it is imported itself
    from snakemake.jobs import Job
    from snakemake.workflow import Workflow

    read = Workflow.configfile
    Workflow.configfile = lambda workflow, path: configfile(workflow, path, lambda: read(workflow, path))
    local.Executor.spawn_job = lambda executor, job: spawn(executor.workflow, job)
    if before_outputs:
        for name in GUARDED:
            setattr(Job, name, _guarded(getattr(Job, name), before_outputs))


def _guarded(method: Callable[..., Awaitable[Any]], look: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def guarded(*arguments: Any, **options: Any) -> Any:
        look()
        return await method(*arguments, **options)

    return guarded


class FileLocks:
    """Snakemake's lock files of what a workflow reads and makes."""

    def __init__(self, persistence: PersistenceExecutorInterface):
        self.persistence = persistence

    @property
    def exist(self) -> bool:
        """Whether Snakemake keeps its locks in files here."""
        return hasattr(self.persistence, "_lockdir")

    @property
    def folder(self) -> Path:
        """Where they lie."""
        return Path(self.persistence._lockdir)

    def write(self) -> list[Path]:
        """Write those of this workflow.

        Raises:
            OSError: the disk is full, say.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.persistence._write_locks("input", map(str, self.persistence.all_inputfiles()))
        self.persistence._write_locks("output", map(str, self.persistence.all_outputfiles()))
        return [Path(path).absolute() for path in self.persistence._lockfile.values()]


class PollsWithJobs(RemoteExecutor):
    """An executor that begins to look at its jobs when `begun` is set."""

    begun: threading.Event

    def _wait_thread(self) -> None:
        self.begun.wait()
        super()._wait_thread()

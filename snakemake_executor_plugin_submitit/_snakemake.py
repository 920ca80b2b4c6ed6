"""Uses and replacements of private parts of Snakemake.

In a job (`replace_for_one_job`):

- `Workflow.configfile` applies the content that the main process has read. Snakemake's own method reads the file again,
  which may have been edited since the submission. No longer needed when an executor may hand its jobs a configuration.
- `local.Executor.spawn_job` runs a job of a group as this plugin runs jobs: nothing is quoted. Snakemake's own method
  makes a command line for a shell, which evaluates some values. No longer needed when Snakemake passes its settings as
  objects.
- `Job.prepare` and `Job.postprocess` check the claim of the outputs first. Snakemake's own methods delete, accept and
  mark outputs that another job may be writing by now. No longer needed when Snakemake asks plugins before it touches
  outputs.

In the main process:

- `FileLocks` writes Snakemake's lock files without taking its lock. The files of Snakemake's own lock outlive a process
  that is killed, and stop the next process. No longer needed when the lock dies with its process, or names its holder.
- `PollsWithJobs` starts polling when the first jobs exist. Snakemake's own executor polls before it knows which jobs
  are to be run. No longer needed when `RemoteExecutor` waits for the first job.
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

GUARDED = ("prepare", "postprocess")  # methods of Job that touch outputs: before a job's command, and after it


def replace_for_one_job(
    configfile: "Callable[[Workflow, str, Callable[[], None]], None]",
    spawn: "Callable[[Workflow, JobExecutorInterface], None]",
    before_outputs: Callable[[], None] | None,
) -> None:
    """Replace how the Snakemake of this process, which runs one job, reads its configuration and spawns jobs.

    `configfile` gets the workflow, the file's path, and a function that reads the file as Snakemake does.
    `before_outputs` is called before outputs are touched.
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


def _guarded(method: Callable[..., Awaitable[Any]], check: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def guarded(*arguments: Any, **options: Any) -> Any:
        check()
        return await method(*arguments, **options)

    return guarded


class FileLocks:
    """Snakemake's lock files of the inputs and outputs of a workflow."""

    def __init__(self, persistence: PersistenceExecutorInterface):
        self.persistence = persistence

    @property
    def exist(self) -> bool:
        """Tell whether Snakemake keeps its locks in files here."""
        return hasattr(self.persistence, "_lockdir")

    @property
    def folder(self) -> Path:
        """Return the folder of the lock files."""
        return Path(self.persistence._lockdir)

    def write(self) -> list[Path]:
        """Write the lock files of this workflow; return their paths.

        Raises:
            OSError: they cannot be written, for example because the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.persistence._write_locks("input", map(str, self.persistence.all_inputfiles()))
        self.persistence._write_locks("output", map(str, self.persistence.all_outputfiles()))
        return [Path(path).absolute() for path in self.persistence._lockfile.values()]


class PollsWithJobs(RemoteExecutor):
    """An executor that starts polling its jobs when `begun` is set."""

    begun: threading.Event

    def _wait_thread(self) -> None:
        self.begun.wait()
        super()._wait_thread()

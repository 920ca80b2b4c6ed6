"""How the Snakemake inside a job is called."""

import time
from functools import cached_property
from typing import TYPE_CHECKING

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from .job import SnakemakeJob

if TYPE_CHECKING:
    from .inside import Call

STARTED = time.time()  # this module is imported before Snakemake reads any configuration


class InnerSnakemake(RemoteExecutor):
    """The part of the executor that says what a job runs. Snakemake itself imports this: it is imported when needed."""

    def __post_init__(self) -> None:
        """Keep the configuration, before anybody edits it.

        Raises:
            ApiError: somebody has edited it just now.
        """
        from .told import read_configuration

        self.configuration = read_configuration(self.workflow, STARTED)

    def command(self, job: JobExecutorInterface) -> SnakemakeJob:
        """What a Slurm job runs: a Snakemake that runs one job, or one group of them, once."""
        from .inside import COMMAND
        from .told import call_of

        # The user's --precommand is meant for a shell; all else never sees one.
        before = self.workflow.remote_execution_settings.precommand
        words = ("/bin/sh", "-c", f'{before} && exec "$@"', "sh", *COMMAND) if before else COMMAND
        call = call_of(self.workflow, job, self.common)
        return SnakemakeJob(words, call.pickled(), self.workflow.workdir_init, self.executor_settings.requeues)

    @cached_property
    def common(self) -> "Call":
        """What all jobs are told."""
        from .told import common_call

        return common_call(self.workflow, self.snakefile, self.configuration)

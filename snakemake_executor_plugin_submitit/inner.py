"""The command that a Slurm job runs: a Snakemake of its own."""

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
    """The part of the executor that builds the command of a job.

    `handover` and `inside` are imported in its methods: Snakemake imports executors while it is imported itself.
    """

    def __post_init__(self) -> None:
        """Keep the configuration as it is now, before anybody edits it.

        Raises:
            ApiError: the configuration was edited while this process started.
        """
        from .handover import read_configuration

        self.configuration = read_configuration(self.workflow, STARTED)

    def command(self, job: JobExecutorInterface) -> SnakemakeJob:
        """Return what a Slurm job runs: a Snakemake that runs one job, or one group of jobs, once."""
        from .handover import call_for
        from .inside import COMMAND

        # The user's --precommand is meant for a shell; nothing else passes through one.
        before = self.workflow.remote_execution_settings.precommand
        words = ("/bin/sh", "-c", f'{before} && exec "$@"', "sh", *COMMAND) if before else COMMAND
        call = call_for(self.workflow, job, self.common)
        return SnakemakeJob(words, call.pickled(), self.workflow.workdir_init, self.executor_settings.requeues)

    @cached_property
    def common(self) -> "Call":
        """Return the part of the call that is the same for all jobs."""
        from .handover import common_call

        return common_call(self.workflow, self.snakefile, self.configuration)

"""The Snakemake inside a Slurm job: it gets the main process's settings as objects, and runs one job once.

Snakemake's own executors write a command line for a shell instead. There values are quoted as Python quotes them, so
that the shell evaluates some of them; wildcards lose their commas and quotes; and the configuration files are read
again, which may have been edited since. Here nothing is quoted, parsed or evaluated on the way.
"""

import copy
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.cli import get_argument_parser
from snakemake.exceptions import SpawnedJobError
from snakemake.pathvars import Pathvars
from snakemake.scheduling.greedy import SchedulerSettings
from snakemake.settings.enums import Quietness
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentSettings,
    ExecutionSettings,
    GroupSettings,
    OutputSettings,
    PreemptibleRules,
    RemoteExecutionSettings,
    ResourceSettings,
    SchedulingSettings,
    StorageSettings,
    WorkflowSettings,
)
from snakemake.utils import update_config
from snakemake.workflow import Workflow
from snakemake_interface_common.plugin_registry.plugin import TaggedSettings
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import ExecMode
from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from ._snakemake import replace_for_one_job
from .claims import Claim
from .guard import leave_if_superseded
from .upstream import require_known_versions

COMMAND = (sys.executable, "-P", "-m", __name__)  # -P: import no module from the job's folder


@dataclass(frozen=True)
class Configuration:
    """The main process's configuration: the settings of its command line, and the content of each `configfile:`."""

    settings: ConfigSettings
    files: dict[str, dict[str, Any]]  # by absolute path

    def apply(self, workflow: Workflow, path: str, read: Callable[[], None]) -> None:
        """Do what `configfile: path` does, with the content that the main process has read.

        `read` reads the file as Snakemake does: for a file that the main process has not read, as its name depends on
        the node.
        """
        overwrite, content = self.settings.overwrite_config, self.files.get(str(Path(path).absolute()))
        if content is None and not self.settings.configfiles:
            read()
        elif not workflow.modifier.skip_configfile:
            if content is not None:
                workflow.configfiles.append(path)
                update_config(workflow.config, copy.deepcopy(content))
                if overwrite and self.settings.replace_workflow_config:
                    workflow.globals["config"] = {}
            update_config(workflow.config, overwrite)
            workflow.pathvars.update(Pathvars.from_config(workflow.config))


@dataclass(frozen=True)
class Call:
    """All settings of the Snakemake inside a job."""

    snakefile: Path | str
    folder: Path | None
    modules: list[str]
    output: OutputSettings
    configuration: Configuration
    resources: ResourceSettings
    storage: StorageSettings
    storage_providers: dict[str, TaggedSettings]
    workflow: WorkflowSettings
    deployment: DeploymentSettings
    dag: DAGSettings
    execution: ExecutionSettings
    groups: GroupSettings

    def run(self) -> bool:
        """Run the job; print its errors as Snakemake does; return whether it has succeeded."""
        sys.path += [folder for folder in self.modules if folder not in sys.path]
        claim = Claim.from_environment()
        # A rule's own `retries` override --retries, but not the retries of preemptible rules.
        once = RemoteExecutionSettings(preemptible_rules=PreemptibleRules(all=True), preemptible_retries=0)
        with SnakemakeApi(self.output) as api:
            try:
                require_known_versions()
                check = partial(leave_if_superseded, claim) if claim else None
                replace_for_one_job(self.configuration.apply, self.spawn, check)
                workflow = api.workflow(
                    self.resources,
                    self.configuration.settings,
                    self.on_this_node(),
                    self.workflow,
                    self.deployment,
                    with_secrets(self.storage_providers),
                    self.snakefile,
                    self.folder,
                )
                workflow.dag(self.dag).execute_workflow(
                    execution_settings=self.execution,
                    remote_execution_settings=once,
                    scheduling_settings=SchedulingSettings(scheduler="greedy"),  # for one job, or the few of a group
                    scheduler_settings=SchedulerSettings(),
                    group_settings=self.groups,
                )
            except Exception as error:
                api.print_exception(error)
                return False
        return True

    def spawn(self, workflow: Workflow, job: JobExecutorInterface) -> None:
        """Run a job of a group in a process of its own, as Snakemake does with `run:` and shadow rules.

        Raises:
            SpawnedJobError: the job failed; its process has printed why.
        """
        quiet = {Quietness.PROGRESS, Quietness.RULES, Quietness.HOST}
        call = replace(
            self,
            output=replace(self.output, quiet=quiet, log_level_override=logging.ERROR),
            storage=replace(self.storage, unneeded_temp_files=unneeded_files(workflow, job)),
            workflow=replace(self.workflow, exec_mode=ExecMode.SUBPROCESS),
            dag=replace(self.dag, target_jobs=job.get_target_spec(), allowed_rules=set(job.rules)),
            execution=replace(self.execution, use_threads=True, wait_for_files=()),
        )
        if subprocess.run(COMMAND, input=call.pickled(), cwd=workflow.workdir_init).returncode:
            raise SpawnedJobError

    def on_this_node(self) -> StorageSettings:
        """Return the storage settings with this node's variables, such as $TMPDIR, expanded in the local prefix."""
        return replace(self.storage, local_storage_prefix=Path(os.path.expandvars(self.storage.local_storage_prefix)))

    def pickled(self) -> bytes:
        """Return this call as bytes for COMMAND's standard input."""
        import cloudpickle  # as resources may be functions, which pickle refuses

        return cloudpickle.dumps(self)


def unneeded_files(workflow: Workflow, job: JobExecutorInterface) -> set[str]:
    """Return the temporary files that no job needs any more once this job has ended."""
    return set(map(str, workflow.dag.get_unneeded_temp_files(job)))


def without_secrets(providers: dict[str, TaggedSettings]) -> dict[str, TaggedSettings]:
    """Return settings of storage plugins without those that each job reads from its own environment."""
    cleared = copy.deepcopy(dict(providers))
    for tagged in cleared.values():
        for settings in tagged:
            for name in secret(settings):
                setattr(settings, name, None)
    return cleared


def with_secrets(providers: dict[str, TaggedSettings]) -> dict[str, TaggedSettings]:
    """Return settings of storage plugins with those that this process's environment holds."""
    if any(secret(settings) for tagged in providers.values() for settings in tagged):
        arguments = get_argument_parser().parse_args([])
        for name, tagged in providers.items():
            local = StoragePluginRegistry().get_plugin(name).get_settings(arguments)
            for field in {field for settings in tagged for field in secret(settings)}:
                for tag in tagged.get_field_settings(field):
                    setattr(tagged.get_settings(tag), field, getattr(local.get_settings(tag), field))
    return providers


def secret(settings: Any) -> list[str]:
    """Return the names of the settings that may come from the environment."""
    return [field.name for field in fields(settings) if field.metadata.get("env_var")]


if __name__ == "__main__":
    sys.exit(not pickle.load(sys.stdin.buffer).run())

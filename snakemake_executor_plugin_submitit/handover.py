"""The settings that the main Snakemake hands over to the Snakemake inside a job."""

import copy
import sys
from dataclasses import replace
from pathlib import Path

from snakemake.common.configfile import load_configfile
from snakemake.settings.types import (
    DAGSettings,
    ExecutionSettings,
    GroupSettings,
    OutputSettings,
    StorageSettings,
    WorkflowSettings,
)
from snakemake.utils import update_config
from snakemake.workflow import Workflow
from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import ExecMode, SharedFSUsage

from .inside import Call, Configuration, unneeded_files, without_secrets
from .resources import cpus


def call_for(main: Workflow, job: JobExecutorInterface, common: Call) -> Call:
    """Return the call that runs one job, or one group of jobs; `common` is the part that is the same for all jobs."""
    awaited = job.get_wait_for_files() if SharedFSUsage.INPUT_OUTPUT in main.storage_settings.shared_fs_usage else ()
    return replace(
        common,
        resources=replace(common.resources, cores=cpus(job)),
        storage=replace(common.storage, unneeded_temp_files=unneeded_files(main, job)),
        dag=replace(common.dag, target_jobs=job.get_target_spec(), allowed_rules=set(job.rules)),
        execution=replace(
            common.execution,
            attempt=job.attempt,
            use_threads=not job.is_group(),
            wait_for_files=list(map(str, awaited)),
        ),
        groups=replace(common.groups, local_groupid=str(job.jobid)) if job.is_group() else common.groups,
    )


def common_call(main: Workflow, snakefile: str, configuration: Configuration) -> Call:
    """Return the part of the call that is the same for all jobs.

    It has all settings that Snakemake's own executors pass on (`SpawnedJobArgsFactory.general_args`).
    """
    shared = main.storage_settings.shared_fs_usage
    deployment, storage, execution = main.deployment_settings, main.storage_settings, main.execution_settings
    deployment = copy.copy(deployment)  # `replace` would expand variables in its paths again
    deployment.conda_base_path = main.conda_base_path if SharedFSUsage.SOFTWARE_DEPLOYMENT in shared else None
    return Call(
        snakefile=path if (path := Path(snakefile)).exists() else snakefile,
        folder=None if storage.assume_common_workdir or not main.overwrite_workdir else Path(main.overwrite_workdir),
        modules=list(sys.path),
        output=OutputSettings(
            nocolor=True,
            printshellcmds=main.output_settings.printshellcmds,
            verbose=main.output_settings.verbose,
            benchmark_extended=main.output_settings.benchmark_extended,
            enable_file_logging=False,
            skip_plugin_handlers=True,
        ),
        configuration=configuration,
        resources=replace(main.resource_settings, nodes=None, local_cores=None, resources={}),
        storage=StorageSettings(
            default_storage_provider=storage.default_storage_provider,
            default_storage_prefix=storage.default_storage_prefix,
            shared_fs_usage=shared,
            keep_storage_local=storage.keep_storage_local,
            local_storage_prefix=storage.remote_job_local_storage_prefix,
            wait_for_free_local_storage=storage.wait_for_free_local_storage,
        ),
        storage_providers=without_secrets(main.storage_provider_settings or {}),
        workflow=WorkflowSettings(
            wrapper_prefix=main.workflow_settings.wrapper_prefix,
            exec_mode=ExecMode.REMOTE,
            cache=main.workflow_settings.cache,
            runtime_source_cache_path=(
                main.sourcecache.runtime_cache_path if SharedFSUsage.SOURCE_CACHE in shared else None
            ),
        ),
        deployment=deployment,
        dag=DAGSettings(
            forcetargets=True,
            target_files_omit_workdir_adjustment=True,
            rerun_triggers=main.dag_settings.rerun_triggers,
            max_inventory_wait_time=0,
        ),
        execution=ExecutionSettings(
            latency_wait=execution.latency_wait,
            standalone=True,
            lock=False,
            ignore_incomplete=True,
            no_hooks=True,
            shadow_prefix=execution.shadow_prefix,
            keep_incomplete=execution.keep_incomplete,
            keep_metadata=execution.keep_metadata,
            cleanup_scripts=execution.cleanup_scripts,
        ),
        groups=GroupSettings(
            overwrite_groups=main.group_settings.overwrite_groups,
            group_components=main.group_settings.group_components,
        ),
    )


def read_configuration(main: Workflow, started: float) -> Configuration:
    """Read the configuration as it is now, for jobs that may start in a week.

    `started` is the time at which this process started, in seconds since the epoch.

    Raises:
        ApiError: a file was edited after this process had read it.
    """
    settings = replace(main.config_settings)  # the files are read again: the Snakefile may have changed lists in place
    files, replayed = {}, copy.deepcopy(settings.overwrite_config)
    for path in main.configfiles[len(settings.configfiles) :]:
        for folder in {main.workdir_init: 0, Path.cwd(): 0}:  # before and after a `workdir:` of the Snakefile
            if (file := Path(folder, path)).exists():
                files[str(file.absolute())] = load_configfile(file)
                update_config(replayed, copy.deepcopy(files[str(file.absolute())]))
        update_config(replayed, settings.overwrite_config)
    paths = [*map(Path, files), *settings.configfiles]
    if replayed != main.config and (edited := [path for path in paths if path.stat().st_mtime > started]):
        raise ApiError(f"{edited[0]} has changed while Snakemake started: start it again.")
    return Configuration(settings, files)

"""What a user can set."""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of the submitit executor; each is an option `--submitit-NAME` and a profile key `submitit-NAME`."""

    poll_interval: float = field(
        default=30.0,
        metadata={"help": "Seconds between two looks at the queue. One squeue serves all jobs.", "metavar": "SECONDS"},
    )
    dead_polls: int = field(
        default=2,
        metadata={
            "help": "In how many looks at the queue in a row a job must be dead before it counts as failed. Preempted "
            "jobs and jobs of a failed node pass through such states on their way back into the queue.",
            "metavar": "N",
        },
    )
    log_folder: Path = field(
        default=Path(".snakemake/submitit"),
        metadata={
            "help": "Folder on the shared file system for what submitit writes: for each job, in a subfolder named "
            "after its rule, the script, the pickled call and the log (<Slurm id>_0_log.out).",
            "metavar": "FOLDER",
        },
    )

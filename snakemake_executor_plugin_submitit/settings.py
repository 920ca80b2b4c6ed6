"""The user's options."""

from dataclasses import dataclass, field
from pathlib import Path

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """The options of the executor; each is `--submitit-NAME` on the command line and `submitit-NAME` in a profile."""

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
    signal_delay: int = field(
        default=120,
        metadata={
            "help": "Seconds before its time limit at which a job gets USR2. One that saves its state then and ends "
            "with an error goes back into the queue; all others never see the signal.",
            "metavar": "SECONDS",
        },
    )
    requeues: int = field(
        default=10,
        metadata={
            "help": "How often a job may reach its time limit and go back into the queue. Preemptions do not count.",
            "metavar": "N",
        },
    )
    retries: int = field(
        default=2,
        metadata={
            "help": "How often a job is submitted again that was killed: with twice the memory if it ran out of "
            "memory, else as it was. A job that was cancelled, or whose command failed, is not.",
            "metavar": "N",
        },
    )
    array_size: int = field(
        default=1000,
        metadata={
            "help": "How many ready jobs with equal resources one array holds at most (1: no arrays). Slurm's own "
            "limit is MaxArraySize.",
            "metavar": "N",
        },
    )

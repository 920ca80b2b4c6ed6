"""From a Snakemake job's resources to a Slurm job, through submitit. The only module that imports submitit."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError, JobPaths

from .job import SnakemakeJob
from .resources import sbatch_parameters

# What a Slurm job's environment says of the cluster; the rest is about that job.
CLUSTER_VARIABLES = frozenset(("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"))


class SubmissionError(Exception):
    """A job could not be submitted; the message says why, mostly in sbatch's words."""


@dataclass(frozen=True)
class Submission:
    """A submitted job: its Slurm id and the files submitit keeps for it."""

    slurm_id: str
    paths: JobPaths

    @property
    def log(self) -> Path:
        """The job's output, stdout and stderr."""
        return self.paths.stdout

    @property
    def succeeded(self) -> bool:
        """Whether the job left a result behind: how a job ended of which Slurm has forgotten everything."""
        try:
            outcome, _ = pickle.loads(self.paths.result_pickle.read_bytes())
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            return False
        return outcome == "success"


class Sbatch(SlurmExecutor):
    """submitit's executor, with an sbatch that neither a Ctrl-C nor a surrounding Slurm job can confuse."""

    def _make_submission_command(self, submission_file_path: Path) -> list[str]:
        inherited = [name for name in os.environ if name.startswith(("SLURM_", "SRUN_"))]
        unset = [f"--unset={name}" for name in inherited if name not in CLUSTER_VARIABLES]
        # A session of its own: a Ctrl-C in the terminal would end sbatch with the job submitted, but its id untold.
        return ["setsid", "--wait", "env", *unset, *super()._make_submission_command(submission_file_path)]


def submit(job: JobExecutorInterface, command: str, folder: Path) -> Submission:
    """Submit a job that runs `command`; submitit's files go to `folder`.

    Raises:
        SubmissionError: the resources make no sense, or sbatch refuses.
    """
    try:
        executor = Sbatch(folder)
        executor.update_parameters(**sbatch_parameters(job))
        submitted = executor.submit(SnakemakeJob(command))
    except (FailedJobError, FailedSubmissionError, OSError, ValueError) as error:
        raise SubmissionError(str(error).strip()) from error
    return Submission(submitted.job_id, submitted.paths)

"""Uses of private parts of submitit; no other module imports submitit.

- `Sbatch` builds its own call of sbatch, and takes from submitit the parameters and the command that runs in a job.
  submitit writes options into the script, where a user's SBATCH_... variables override them, and it passes the
  environment of a surrounding Slurm job on. No longer needed when submitit passes options on sbatch's command line
  (facebookincubator/submitit#1728 asks for a part of that) and accepts an environment for sbatch.
- `DelayedSubmission` and `JobPaths` are the file that the command reads, and its place: a job's call is written before
  the job's id is known, and again where the file was deleted. No longer needed when submitit can write a call without
  submitting it.
- `has_succeeded` reads the result that the command writes. submitit's own function waits for the job, and asks Slurm.
"""

import os
import pickle
import shlex
import sys
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, JobPaths

from .ledger import Batch
from .options import withheld, words

__all__ = ["DelayedSubmission", "JobPaths", "Sbatch", "has_succeeded"]


def has_succeeded(paths: JobPaths) -> bool:
    """Tell whether a job has written a result that says success."""
    try:
        outcome, _ = pickle.loads(paths.result_pickle.read_bytes())
    except (OSError, EOFError, ValueError, pickle.UnpicklingError):
        return False
    return outcome == "success"


class Sbatch(SlurmExecutor):
    """submitit's executor with a call of sbatch on which a surrounding Slurm job and SBATCH_... have no influence."""

    def __init__(self, folder: Path):
        super().__init__(folder, python=f"{shlex.quote(sys.executable)} -P")  # -P: no module of the job's folder

    def script(self, batch: Batch) -> str:
        """Return the script of a batch, with the batch's manifest at its end.

        The script has no options of sbatch: the user's SBATCH_... would override them there.
        """
        lines = ["#!/bin/bash", "export SUBMITIT_EXECUTOR=slurm"]
        if self.parameters.get("use_srun", True):
            # Some variables that sbatch sets override srun's arguments: SLURM_NTASKS_PER_GPU does.
            lines.append("unset ${!SLURM_NTASKS@} SLURM_NPROCS")
            srun = ["srun", "--unbuffered", f"--output={self._log(batch)}", *self.parameters["srun_args"]]
            lines.append(f"{shlex.join(srun)} {self._submitit_command_str}")
        else:  # the rule calls srun itself
            lines += ["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK", self._submitit_command_str]
        return "\n".join(lines) + "\n" + batch.manifest()

    def options(self, batch: Batch) -> dict[str, Any]:
        """Return sbatch's options for a batch."""
        array = {"array": f"0-{len(batch.entries) - 1}"} if len(batch.entries) > 1 else {}
        fixed = {"comment": self.parameters["comment"], "output": self._log(batch).replace("%t", "0")}
        return {**self.parameters["additional_parameters"], **fixed, **array, "open-mode": "append"}

    def command(self, batch: Batch, script: Path) -> list[str]:
        """Return the command that submits a script."""
        return ["sbatch", "--parsable", *words(self.options(batch)), str(script)]

    def environment(self, batch: Batch) -> dict[str, str]:
        """Return sbatch's environment: this process's, without the variables that would change the options."""
        removed = set(withheld(os.environ, self.options(batch)))
        return {name: value for name, value in os.environ.items() if name not in removed}

    def _log(self, batch: Batch) -> str:
        """Return the pattern of the path of each task's log."""
        pattern = str(JobPaths(self.folder).stdout)
        return pattern.replace("%j", "%A_%a") if len(batch.entries) > 1 else pattern

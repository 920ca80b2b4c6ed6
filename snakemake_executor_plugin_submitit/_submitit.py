"""Use private parts of submitit; no other module imports it.

- `Sbatch` calls sbatch itself, and takes from submitit the parameters and the command that runs in a job. submitit
  writes options into the script, where sbatch holds them for weaker than a user's SBATCH_...; and it passes the
  environment of a surrounding Slurm job on. This ends when submitit gives options on sbatch's command line
  (facebookincubator/submitit#1728 asks for a part of that) and takes the environment for it.
- `DelayedSubmission` and `JobPaths` are what that command reads, and where: a job's call is written before its id is
  known, and again where it was deleted. This ends when submitit writes a call without submitting it.
- `has_succeeded` reads a result as that command writes it. submitit's own way waits for the job, and asks Slurm.
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
    """Tell whether a job left a result behind."""
    try:
        outcome, _ = pickle.loads(paths.result_pickle.read_bytes())
    except (OSError, EOFError, ValueError, pickle.UnpicklingError):
        return False
    return outcome == "success"


class Sbatch(SlurmExecutor):
    """submitit's executor, with an sbatch that neither a surrounding Slurm job nor SBATCH_... can confuse."""

    def __init__(self, folder: Path):
        super().__init__(folder, python=f"{shlex.quote(sys.executable)} -P")  # no module of the folder it runs in

    def script(self, batch: Batch) -> str:
        """The script of a batch, which also says what is in it.

        It has no options: there they would be weaker than the user's SBATCH_...
        """
        lines = ["#!/bin/bash", "export SUBMITIT_EXECUTOR=slurm"]
        if self.parameters.get("use_srun", True):
            # Some of sbatch's variables are stronger than srun's own arguments: SLURM_NTASKS_PER_GPU is.
            lines.append("unset ${!SLURM_NTASKS@} SLURM_NPROCS")
            srun = ["srun", "--unbuffered", f"--output={self._log(batch)}", *self.parameters["srun_args"]]
            lines.append(f"{shlex.join(srun)} {self._submitit_command_str}")
        else:  # for the rule's own srun
            lines += ["export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK", self._submitit_command_str]
        return "\n".join(lines) + "\n" + batch.manifest()

    def options(self, batch: Batch) -> dict[str, Any]:
        """sbatch's options for a batch."""
        array = {"array": f"0-{len(batch.entries) - 1}"} if len(batch.entries) > 1 else {}
        ours = {"comment": self.parameters["comment"], "output": self._log(batch).replace("%t", "0")}
        return {**self.parameters["additional_parameters"], **ours, **array, "open-mode": "append"}

    def command(self, batch: Batch, script: Path) -> list[str]:
        """The command that submits a script."""
        return ["sbatch", "--parsable", *words(self.options(batch)), str(script)]

    def environment(self, batch: Batch) -> dict[str, str]:
        """sbatch's environment."""
        without = set(withheld(os.environ, self.options(batch)))
        return {name: value for name, value in os.environ.items() if name not in without}

    def _log(self, batch: Batch) -> str:
        """Pattern of the path of each task's log."""
        pattern = str(JobPaths(self.folder).stdout)
        return pattern.replace("%j", "%A_%a") if len(batch.entries) > 1 else pattern

"""What runs inside the Slurm job."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class SnakemakeJob:
    """The call that submitit pickles: it runs one Snakemake job's shell command and ends with its exit code."""

    command: str

    def __call__(self) -> None:
        """Run the command; its output is the Slurm job's output.

        Raises:
            SystemExit: the command failed. Not an Exception: submitit adds no traceback of its own to the log.
        """
        # On stdin, because one argument holds no more than 128 KiB, and a job may name thousands of files.
        code = subprocess.run(["/bin/sh"], input=self.command, text=True).returncode
        if code:
            raise SystemExit(code if code > 0 else 128 - code)

"""Claims of Slurm jobs to their outputs.

A job that a killed main process left behind may go on while a later job makes the same records with other parameters.
So the executor plugin notes in files which job claimed each output last, and names these files to each job in an
environment variable (snakemake_executor_plugin_submitit/claims.py).
"""

import json
import os
from contextlib import suppress
from pathlib import Path

VARIABLE = "SNAKEMAKE_SUBMITIT_CLAIM"


def is_superseded() -> bool:
    """Tell whether a later job has claimed the outputs of this job; False outside a Slurm job of the plugin."""
    if VARIABLE not in os.environ:
        return False
    claim = json.loads(os.environ[VARIABLE])
    for name in claim["names"]:
        with suppress(OSError):  # a claim that cannot be read must not stop this job from writing
            if Path(claim["folder"], name).read_text() not in ("", claim["holder"]):
                return True
    return False

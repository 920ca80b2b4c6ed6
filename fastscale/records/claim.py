"""Whether the outputs of this Slurm job are still its own.

A job that was left behind by a killed main process may live on, while another with new parameters makes the same
records. The executor plugin tells each job by an environment variable where it is noted who made its last claim to them
(snakemake_executor_plugin_submitit/claims.py).
"""

import json
import os
from contextlib import suppress
from pathlib import Path

VARIABLE = "SNAKEMAKE_SUBMITIT_CLAIM"


def is_superseded() -> bool:
    """Whether a later submission has claimed the outputs of this process's job; False where there is no such job."""
    if VARIABLE not in os.environ:
        return False
    claim = json.loads(os.environ[VARIABLE])
    for name in claim["names"]:
        with suppress(OSError):  # claims that cannot be read do not end this one
            if Path(claim["folder"], name).read_text() not in ("", claim["holder"]):
                return True
    return False

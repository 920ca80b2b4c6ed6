# The sweep of the configuration, and what the rules need of it. A mistake in the configuration ends in a sentence.

import json
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Snakemake puts the folders of this file and of the Snakefile first: no module is to be imported from there.
FOLDER = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
sys.path[:2] = [path for path in sys.path[:2] if path not in map(str, (FOLDER, FOLDER.parents[1]))]

from fastscale.planning.dag import Dag, raised_as
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep
from fastscale.validation.documents import refuse_repeats

with raised_as(WorkflowError):
    if workflow.is_main_process:  # a job on a cluster gets the configuration of its submission
        refuse_repeats(workflow.configfiles, sys.argv)
    SWEEP = Sweep.from_config(config, source=", ".join(map(str, workflow.configfiles)) or "the configuration")

# Not named DAG: rules share their names with a module of Snakemake, which has a DAG.
SWEEP_DAG = Dag(SWEEP)

# Rules call `fastscale`: the command beside this Python, also where its environment was not activated.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])}


# Software comes from .venv, on a cluster too. With `--sdm apptainer` it comes from this image, which you build of a
# machine where `make setup` has run.
container: "fastscale.sif"


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    search=r"[^/]+",
    source=r"[^/]+",
    schedule=r"[^/]+",
    trial=r"\d+",

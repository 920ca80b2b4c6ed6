# The sweep that the configuration describes; a mistake in it is told in a sentence.

import json

from snakemake.exceptions import WorkflowError

from fastscale.artefacts import ARTEFACTS
from fastscale.errors import UserError
from fastscale.sweep import Sweep

try:
    SWEEP = Sweep.from_config(config, source=", ".join(map(str, workflow.configfiles)))
except UserError as error:
    raise WorkflowError(error) from None


# Software comes from .venv, on a cluster too; this line says so to `snakemake --lint`.
container: None


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    schedule=r"[^/]+",

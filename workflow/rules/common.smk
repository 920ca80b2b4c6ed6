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


def artefacts(*kinds):
    """The sweep's tables or figures, with their records: one that was deleted is made again though its artefacts stand."""
    names = [name for name in SWEEP.artefacts if ARTEFACTS[name].kind in kinds]
    return [[*SWEEP.artefacts[name], *SWEEP.records(name)] for name in names]


# Software comes from .venv, on a cluster too. With `--sdm apptainer` it comes from this image: an own one, of a machine
# where `make setup` has run.
container: "fastscale.sif"


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    schedule=r"[^/]+",
    trial=r"\d+",

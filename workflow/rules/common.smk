# The sweep that the configuration describes; a mistake in it is told in a sentence.

import json

from snakemake.exceptions import WorkflowError

from fastscale.artefacts import ARTEFACTS
from fastscale.errors import UserError
from fastscale.sweep import FIXED, Sweep

try:
    SWEEP = Sweep.from_config(config, source=", ".join(map(str, workflow.configfiles)))
except UserError as error:
    raise WorkflowError(error) from None


def _found():
    """What tells one state of the searches from another."""
    files = map(SWEEP.search_record, SWEEP.searches)
    return tuple((path, path.stat().st_mtime_ns) for path in files if path.exists())


SWEEPS = {_found(): SWEEP}


def current():
    """The sweep with what its searches have found by now."""
    if (found := _found()) not in SWEEPS:
        SWEEPS[found] = Sweep.from_config(config)
    return SWEEPS[found]


def known(searches):
    """The sweep once these searches have run; until then Snakemake asks again."""
    for name in searches:
        checkpoints.search.get(search=name)
    return current()


def records(artefact):
    """The records that an artefact reads, for an input: a function where a search must tell some of them first."""
    searches = SWEEP.searches_of(artefact)
    return (lambda wildcards: known(searches).records(artefact)) if searches else SWEEP.records(artefact)


def artefacts(*kinds):
    """The sweep's tables or figures, with their records: one that was deleted is made again though its artefacts stand."""
    names = [name for name in SWEEP.artefacts if ARTEFACTS[name].kind in kinds]
    searches = list(dict.fromkeys(search for name in names for search in SWEEP.searches_of(name)))

    def files(wildcards):
        sweep = known(searches)
        read = {path for name in names for path in sweep.records(name)}
        return [*(path for name in names for path in sweep.artefacts[name]), *sorted(read)]

    return files


# Software comes from .venv, on a cluster too. With `--sdm apptainer` it comes from this image: an own one, of a machine
# where `make setup` has run.
container: "fastscale.sif"


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    search=r"[^/]+",
    source=r"[^/]+",
    schedule=r"[^/]+",
    trial=r"\d+",

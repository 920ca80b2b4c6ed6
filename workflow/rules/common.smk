# The sweep that the configuration describes; a mistake in it is told in a sentence.

import json
import os
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from fastscale.artefacts import ARTEFACTS, caption, title
from fastscale.data import Dataset
from fastscale.errors import UserError
from fastscale.sweep import FIXED, Sweep

try:
    SWEEP = Sweep.from_config(config, source=", ".join(map(str, workflow.configfiles)))
except UserError as error:
    raise WorkflowError(error) from None

# Rules call `fastscale`: the one beside this Python, whether or not its environment was activated.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])}


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


def plain(value):
    """Plain data as JSON, for params: in whatever order a configuration gives its keys, it is the same."""
    return json.dumps(value, sort_keys=True)


@cache
def described(network):
    """A network's whole description."""
    return plain(current().trained[network].to_dict())


def found(artefact):
    """The records of an artefact that only a search can tell, for an input; all others are asked for at once."""
    searches, known = SWEEP.searches_of(artefact), set(SWEEP.records(artefact))

    def records(wildcards):
        for name in searches:
            checkpoints.search.get(search=name)
        return [path for path in current().records(artefact) if path not in known]

    return records if searches else []


def artefacts(*kinds):
    """The sweep's artefacts, with their records: one that was deleted is made again though its artefacts stand."""
    names = [name for name in SWEEP.artefacts if ARTEFACTS[name].kind in kinds]
    files = dict.fromkeys(path for name in names for path in (*SWEEP.artefacts[name], *SWEEP.records(name)))
    return list(files)


def reported(artefact, made):
    """The files of an artefact that `made` makes, for an output; the report shows the one that a browser draws."""
    kind, points = ARTEFACTS[artefact].kind, ARTEFACTS[artefact].points
    shown = {
        "category": "Claims" if artefact == "claims" else "Sweep" if points == "all" else f"{kind}s".capitalize(),
        "labels": {"artefact": title(artefact, digits=2), "shows": ARTEFACTS[artefact].caption.partition(".")[0]},
        "caption": f"../report/{artefact if len(made) > 1 else 'artefact'}.rst",
    }
    return [report(path, **shown) if path.suffix in (".svg", ".html") else path for path in SWEEP.artefacts[artefact]]


def captions(made):
    """What the report says of some artefacts and their records, for params."""

    def told(wildcards, input):
        records = {name: set(map(str, current().records(name))) & set(input) for name in made}
        return {name: caption(name, map(Path, records[name]), SWEEP.folder) for name in made}

    return told


# Software comes from .venv, on a cluster too. With `--sdm apptainer` it comes from this image: an own one, of a machine
# where `make setup` has run.
container: "fastscale.sif"


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    search=r"[^/]+",
    source=r"[^/]+",
    schedule=r"[^/]+",
    trial=r"\d+",

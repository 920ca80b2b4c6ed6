# The sweep that the configuration describes; a mistake in it is told in a sentence.

import csv
import json
import os
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Snakemake has put the folders of this file and of the Snakefile first: what lies there is not to be imported.
FOLDER = Path(workflow.current_basedir.get_path_or_uri(secret_free=True))
sys.path[:2] = [path for path in sys.path[:2] if path not in map(str, (FOLDER, FOLDER.parents[1]))]

from fastscale.data import Dataset
from fastscale.documents import refuse_repeats
from fastscale.errors import UserError
from fastscale.sweep import FIXED, Sweep

try:
    if workflow.is_main_process:  # a job on a cluster has the configuration of its submission
        refuse_repeats(workflow.configfiles, sys.argv)
    SWEEP = Sweep.from_config(config, source=", ".join(map(str, workflow.configfiles)) or "the configuration")
except UserError as error:
    raise WorkflowError(error) from None

# Rules call `fastscale`: the one beside this Python, whether or not its environment was activated.
os.environ |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])}


def _state(files):
    """What tells one state of some files from another."""
    return tuple((path, path.stat().st_mtime_ns) for path in files if path.exists())


def _found():
    """What tells one state of the searches from another."""
    return _state(map(SWEEP.search_record, SWEEP.searches))


SWEEPS = {_found(): SWEEP}


def current():
    """The sweep with what its searches have found by now."""
    if (found := _found()) not in SWEEPS:
        SWEEPS[found] = Sweep.from_config(config)
    return SWEEPS[found]


def absent(name):
    """Say why this sweep has no such artefact, for an input: to be read where somebody asks for it."""
    return lambda wildcards: sys.exit(f"Error: {SWEEP.why_absent(name)}")


def plain(value):
    """Plain data as JSON, for params: in whatever order a configuration gives its keys, it is the same."""
    return json.dumps(value, sort_keys=True)


@cache
def described(network):
    """A network's whole description."""
    return plain(current().trained[network].to_dict())


@cache
def _clock(searches, timings):
    from fastscale.analysis.clock import Clock

    try:
        return Clock(current(), {})
    except UserError:
        return None  # a broken record is the aggregator's to tell


def minutes(wildcards, longest):
    """How long a training may take, by the timings that are there; they are no input, so that it waits for none."""
    timings = _state(map(SWEEP.profile_record, (FIXED, *SWEEP.searches)))
    if not timings or (clock := _clock(_found(), timings)) is None:
        return longest
    network, epochs = current().trained[wildcards.network], SWEEP.config["schedules"][wildcards.schedule]
    return clock.minutes(network, epochs, SWEEP.config["gpus"], longest)


def outcome():
    """In a line, what was found and where to read it; nothing before the sweep has its page."""
    page, claims = SWEEP.folder / "README.md", SWEEP.folder / "tables/claims.csv"
    if not (page.exists() and claims.exists()):
        return ""
    with claims.open() as table:
        verdicts = Counter(row["verdict"] for row in csv.DictReader(table))
    counts = ", ".join(f"{verdict} {n}" for verdict, n in verdicts.items())
    return f"{verdicts.total()} claims: {counts}; begin with {page}\n"


# Software comes from .venv, on a cluster too. With `--sdm apptainer` it comes from this image: an own one, of a machine
# where `make setup` has run.
container: "fastscale.sif"


wildcard_constraints:
    network=r"[A-Za-z]+-d\d+-r\d+-[0-9a-f]{10}",
    search=r"[^/]+",
    source=r"[^/]+",
    schedule=r"[^/]+",
    trial=r"\d+",

"""Answers to the workflow's rules about a sweep: inputs, outputs, parameters and time limits of jobs.

Rules hold wiring only. This module does not import Snakemake: rules pass in what only Snakemake knows.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastscale.data.sources import check_classes, source_state
from fastscale.errors import UserError
from fastscale.networks import Network
from fastscale.sweep.captions import caption, title
from fastscale.sweep.catalogue import ARTEFACTS, Measurement
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep

if TYPE_CHECKING:
    from fastscale.planning.epoch_time import EpochTimes

FileState = tuple[tuple[Path, int], ...]

DRAWN = (".svg", ".html")  # the files of artefacts that a browser draws


@dataclass(frozen=True)
class State:
    """A sweep at one time: the records of each artefact, and all networks that may be trained, by id."""

    sweep: Sweep
    records: Mapping[str, list[Path]]
    trained: Mapping[str, Network]

    @classmethod
    def from_sweep(cls, sweep: Sweep) -> "State":
        """List the records and networks of a sweep, once: rules ask for them again and again."""
        return cls(sweep, {name: sweep.records(name) for name in sweep.artefacts}, sweep.expansion.trained)


class Dag:
    """The answers to the rules' questions about a sweep.

    `sweep` is as it was when the rules were read. Searches end while the workflow runs: `now` is the sweep with the
    bases that they have found since.
    """

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self._start = State.from_sweep(sweep)
        self._states = {self._search_state(): self._start}
        self._estimates: dict[tuple[FileState, FileState], EpochTimes | None] = {}

    # Artefacts.

    @cached_property
    def jobs(self) -> dict[str, list[str]]:
        """Return the artefacts that each job makes, by the name of the job's rule.

        One job makes all artefacts that read the same records. An artefact that reads no trainings waits for none.
        """
        groups = {
            "overview": [*self._reading("all", "time", "error"), *self._reading("all", "error")],
            "timings": self._reading("all", "time"),
            "definitions": [name for name in self._reading("none") if name != "searches"],
        }
        grouped = {name for group in groups.values() for name in group}
        alone = {name: [name] for name in self.sweep.artefacts if name not in grouped}
        return alone | {name: group for name, group in groups.items() if group}

    @property
    def grouped(self) -> list[str]:
        """List the artefacts that are made by a job of another name than the artefact's."""
        return [name for job, names in self.jobs.items() for name in names if name != job]

    @property
    def counted(self) -> list[str]:
        """List the artefacts that show something even before anything is trained or timed."""
        return [name for name in self.sweep.artefacts if ARTEFACTS[name].counted]

    @property
    def absent(self) -> list[str]:
        """List the artefacts that this sweep lacks."""
        return [name for name in ARTEFACTS if name not in self.sweep.artefacts]

    def targets(self, *kinds: str) -> list[Path]:
        """List the files of all artefacts of these kinds, and their records.

        With the records as targets too, a deleted record is made again even if its artefacts exist.
        """
        names = [name for name in self.sweep.artefacts if ARTEFACTS[name].kind in kinds]
        files = (path for name in names for path in (*self.sweep.artefacts[name], *self.records(name)))
        return list(dict.fromkeys(files))

    def records(self, artefact: str) -> list[Path]:
        """List the records of an artefact, as known when the rules were read."""
        return self._start.records[artefact]

    def awaited_records(self, artefact: str, await_search: Callable[[str], object]) -> list[Path]:
        """List the records of an artefact that are known only once its searches have run; `records` lists the others.

        `await_search` is called with each search that the artefact depends on, and raises where it has not run.
        """
        for name in self.sweep.needs.searches_of(artefact):
            await_search(name)
        known = set(self.records(artefact))
        return [path for path in self.now().records[artefact] if path not in known]

    def outputs(self, names: Iterable[str]) -> Iterator[tuple[Path, dict[str, Any] | None]]:
        """Yield each file of artefacts with its arguments for Snakemake's `report`, or None if the report lacks it.

        The report shows the files that a browser draws, one for each artefact.
        """
        for name in names:
            artefact = ARTEFACTS[name]
            by_points = "Sweep" if artefact.points == "all" else f"{artefact.kind}s".capitalize()
            shown = {
                "category": "Claims" if name == "claims" else by_points,
                "labels": {"artefact": title(name, digits=2), "shows": artefact.caption.partition(".")[0]},
            }
            for path in self.sweep.artefacts[name]:
                yield path, shown if path.suffix in DRAWN else None

    def captions(self, names: Iterable[str], inputs: Iterable[str]) -> dict[str, str]:
        """Return the captions of artefacts; each one counts the records of the artefact among a job's inputs."""
        present, records = set(inputs), self.now().records
        return {
            name: caption(name, (path for path in records[name] if str(path) in present), self.sweep.folder)
            for name in names
        }

    # Trainings and timings.

    def description(self, network: str) -> str:
        """Return the whole description of a network as JSON, by the network's id."""
        return sorted_json(self.now().trained[network].to_dict())

    def minutes(self, network: str, schedule: str, longest: int) -> int:
        """Estimate the minutes to reserve for a training, by the timings made so far; `longest` before any timing.

        Timings are no input of a training, so a training does not wait for them.
        """
        epoch_times = self._epoch_times()
        if epoch_times is None:
            return longest
        config = self.sweep.config
        return epoch_times.minutes(self.now().trained[network], config["schedules"][schedule], config["gpus"], longest)

    @property
    def profile_gpus(self) -> int:
        """Return the GPUs that a timing requests: `profile.devices` if trainings have as many, else 1; 0 on CPUs."""
        devices: int = self.sweep.config["profile"]["devices"]
        gpus: int = self.sweep.config["gpus"]
        return devices if gpus >= devices else min(1, gpus)

    @property
    def executions(self) -> list[str]:
        """List the options of `fastscale profile` for the executions to time."""
        options = {"formats": "--format", "modes": "--mode", "convolutions": "--convolutions"}
        profile = self.sweep.config["profile"]
        return [f"{option} {value}" for key, option in options.items() for value in profile[key]]

    def outcome(self) -> str:
        """Return a line with the counts of verdicts on measurements, and the sweep's page; empty before that exists."""
        page, claims = self.sweep.folder / "README.md", self.sweep.folder / "tables/claims.csv"
        if not (page.exists() and claims.exists()):
            return ""
        with claims.open() as table:
            verdicts = Counter(row["verdict"] for row in csv.DictReader(table) if row["kind"] != "counted")
        verbs = {"holds": "hold", "fails": "fail"}
        counts = ", ".join(f"{n} {verbs.get(verdict, verdict)}" for verdict, n in verdicts.most_common())
        return f"Of the paper's {verdicts.total()} claims on measurements: {counts}; begin with {page}\n"

    # Results of searches and timings by now.

    def now(self) -> State:
        """Expand the sweep with the bases that its searches have found by now."""
        state = self._search_state()
        if state not in self._states:
            self._states[state] = State.from_sweep(Sweep.expanded(self.sweep.config))
        return self._states[state]

    def _epoch_times(self) -> "EpochTimes | None":
        """Estimate epoch times by all timings made so far; return None before any, or where a record is broken."""
        timings = _file_state(map(self.sweep.profile_record, (FIXED, *self.sweep.searches)))
        key = self._search_state(), timings
        if timings and key not in self._estimates:
            # Imported only here: the import takes a second, and most runs do not need it.
            from fastscale.planning.epoch_time import EpochTimes

            try:
                self._estimates[key] = EpochTimes(self.now().sweep, {})
            except UserError:
                self._estimates[key] = None  # `aggregate` reports broken records
        return self._estimates.get(key)

    def _search_state(self) -> FileState:
        return _file_state(map(self.sweep.search_record, self.sweep.searches))

    def _reading(self, points: str, *reads: Measurement) -> list[str]:
        """List the artefacts with exactly these points and measurements."""
        artefacts = self.sweep.artefacts
        return [name for name in artefacts if (ARTEFACTS[name].points, self.sweep.needs.reads(name)) == (points, reads)]


def _file_state(files: Iterable[Path]) -> FileState:
    """Return the files that exist, with the times of their last changes: the state differs after any change."""
    return tuple((path, path.stat().st_mtime_ns) for path in files if path.exists())


def sorted_json(value: Any) -> str:
    """Write plain data as JSON with sorted keys, so that the order of keys in a configuration does not matter."""
    return json.dumps(value, sort_keys=True)


def check_images(data: Mapping[str, Any], on_nodes: bool) -> str:
    """Check the images that are to be packed; return a warning, or an empty text if they are as configured.

    `on_nodes` says that jobs run on other machines: these may see a folder that is missing or empty on this one.

    Raises:
        UserError: folders are missing, or the number of classes is not that of the configuration.
    """
    try:
        check_classes(data)
    except UserError as error:
        path = data.get("path")
        if not (on_nodes and path and not Path(path, "train").exists()):
            raise
        return f"Warning: {error}. This does not matter if the nodes see that folder.\n"
    return ""


def state_of_images(data: Mapping[str, Any], recorded: Callable[[], Iterable[str] | None]) -> str:
    """Digest the state of the images; where the images are gone, return the state in which they were packed.

    `recorded` returns the parameters of the job that packed the images, each as Snakemake stores it: its Python repr.
    """
    if state := source_state(data):
        return f"images {state}"
    return next((value.strip("'") for value in recorded() or () if value.startswith("'images ")), "no images")


@contextmanager
def raised_as(kind: type[Exception]) -> Iterator[None]:
    """Raise a UserError of the block as a `kind` of exception, one that Snakemake shows without a traceback."""
    try:
        yield
    except UserError as error:
        raise kind(error) from None

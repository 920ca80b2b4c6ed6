"""What the workflow's rules ask of a sweep: inputs, outputs, parameters and time limits of jobs.

Rules hold wiring only. Nothing here knows Snakemake: what only Snakemake can tell is passed in.
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
from fastscale.sweep.catalogue import ARTEFACTS, Measurement, caption, title
from fastscale.sweep.expansion import FIXED
from fastscale.sweep.sweep import Sweep

if TYPE_CHECKING:
    from fastscale.planning.epoch_time import Clock

FileState = tuple[tuple[Path, int], ...]

DRAWN = (".svg", ".html")  # what a browser draws of an artefact's files


@dataclass(frozen=True)
class State:
    """A sweep at one time: `records` by artefact, and all networks that may be `trained`, by id."""

    sweep: Sweep
    records: Mapping[str, list[Path]]
    trained: Mapping[str, Network]

    @classmethod
    def from_sweep(cls, sweep: Sweep) -> "State":
        """List the records and trainings of a sweep once: rules ask for them again and again."""
        return cls(sweep, {name: sweep.records(name) for name in sweep.artefacts}, sweep.expansion.trained)


class Dag:
    """Answers the rules' questions on a `sweep`, which is as it was when the rules were read.

    Searches end while the workflow runs: `now` has what they found.
    """

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self._start = State.from_sweep(sweep)
        self._states = {self._found(): self._start}
        self._clocks: dict[tuple[FileState, FileState], Clock | None] = {}

    # Artefacts.

    @cached_property
    def jobs(self) -> dict[str, list[str]]:
        """List the artefacts that each job makes, by the name of its rule.

        Artefacts that read the same records are made by one process; what reads no training waits for none.
        """
        groups = {
            "overview": [*self._alike("all", "time", "error"), *self._alike("all", "error")],
            "timings": self._alike("all", "time"),
            "definitions": [name for name in self._alike("none") if name != "searches"],
        }
        grouped = {name for group in groups.values() for name in group}
        alone = {name: [name] for name in self.sweep.artefacts if name not in grouped}
        return alone | {name: group for name, group in groups.items() if group}

    @property
    def grouped(self) -> list[str]:
        """List the artefacts that a job of another name makes."""
        return [name for job, names in self.jobs.items() for name in names if name != job]

    @property
    def counted(self) -> list[str]:
        """List the artefacts that show something where nothing has been trained or timed yet."""
        return [name for name in self.sweep.artefacts if ARTEFACTS[name].counted]

    @property
    def absent(self) -> list[str]:
        """List the artefacts that this sweep lacks."""
        return [name for name in ARTEFACTS if name not in self.sweep.artefacts]

    def targets(self, *kinds: str) -> list[Path]:
        """List the files of all artefacts of these kinds, with their records.

        A record that was deleted is made again though its artefacts stand.
        """
        names = [name for name in self.sweep.artefacts if ARTEFACTS[name].kind in kinds]
        files = (path for name in names for path in (*self.sweep.artefacts[name], *self.records(name)))
        return list(dict.fromkeys(files))

    def records(self, artefact: str) -> list[Path]:
        """List the records of an artefact that were known when the rules were read."""
        return self._start.records[artefact]

    def found_records(self, artefact: str, await_search: Callable[[str], object]) -> list[Path]:
        """List the records of an artefact that only a search can tell: all others are asked for at once.

        `await_search` is called with each search that the artefact rests on, and raises where that has not run.
        """
        for name in self.sweep.needs.searches_of(artefact):
            await_search(name)
        known = set(self.records(artefact))
        return [path for path in self.now().records[artefact] if path not in known]

    def outputs(self, names: Iterable[str]) -> Iterator[tuple[Path, dict[str, Any] | None]]:
        """Yield the files of artefacts, each with the arguments of Snakemake's `report`, or None for what it hides.

        The report shows the one of an artefact's files that a browser draws.
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
        """Say what artefacts show and from which of a job's inputs each one is made."""
        given, records = set(inputs), self.now().records
        return {name: caption(name, (r for r in records[name] if str(r) in given), self.sweep.folder) for name in names}

    # Trainings and timings.

    def description(self, network: str) -> str:
        """Describe a whole network, given by its id, as JSON."""
        return sorted_json(self.now().trained[network].to_dict())

    def minutes(self, network: str, schedule: str, longest: int) -> int:
        """Estimate the minutes to reserve for a training by the timings that are there; `longest` without any.

        Timings are no input of a training, so that it waits for none.
        """
        clock = self._clock()
        if clock is None:
            return longest
        config = self.sweep.config
        return clock.minutes(self.now().trained[network], config["schedules"][schedule], config["gpus"], longest)

    @property
    def profile_gpus(self) -> int:
        """Return the GPUs that a timing asks for: as many as are to be timed together, if there are so many."""
        asked: int = self.sweep.config["profile"]["devices"]
        gpus: int = self.sweep.config["gpus"]
        return asked if gpus >= asked else min(1, gpus)

    @property
    def executions(self) -> list[str]:
        """List the options of `fastscale profile` that say how networks are executed."""
        options = {"formats": "--format", "modes": "--mode", "convolutions": "--convolutions"}
        profile = self.sweep.config["profile"]
        return [f"{option} {value}" for key, option in options.items() for value in profile[key]]

    def outcome(self) -> str:
        """Say in a line what was found and where to read it; nothing before the sweep has its page."""
        page, claims = self.sweep.folder / "README.md", self.sweep.folder / "tables/claims.csv"
        if not (page.exists() and claims.exists()):
            return ""
        with claims.open() as table:
            verdicts = Counter(row["verdict"] for row in csv.DictReader(table))
        counts = ", ".join(f"{verdict} {n}" for verdict, n in verdicts.items())
        return f"{verdicts.total()} claims: {counts}; begin with {page}\n"

    # What searches and timings have told by now.

    def now(self) -> State:
        """Expand the sweep by what its searches have found by now."""
        found = self._found()
        if found not in self._states:
            self._states[found] = State.from_sweep(Sweep.expanded(self.sweep.config))
        return self._states[found]

    def _clock(self) -> "Clock | None":
        """Make the clock of all timings that are there; None without any, or where a record is broken."""
        timings = _state(map(self.sweep.profile_record, (FIXED, *self.sweep.searches)))
        key = self._found(), timings
        if timings and key not in self._clocks:
            from fastscale.planning.epoch_time import (
                Clock,
            )  # here: it takes a second to import, and most runs need none

            try:
                self._clocks[key] = Clock(self.now().sweep, {})
            except UserError:
                self._clocks[key] = None  # `aggregate` reports broken records
        return self._clocks.get(key)

    def _found(self) -> FileState:
        return _state(map(self.sweep.search_record, self.sweep.searches))

    def _alike(self, points: str, *reads: Measurement) -> list[str]:
        """List the artefacts of exactly these points and measurements."""
        artefacts = self.sweep.artefacts
        return [name for name in artefacts if (ARTEFACTS[name].points, self.sweep.needs.reads(name)) == (points, reads)]


def _state(files: Iterable[Path]) -> FileState:
    """Return which of some files exist, with the times of their last changes: one state differs from another."""
    return tuple((path, path.stat().st_mtime_ns) for path in files if path.exists())


def sorted_json(value: Any) -> str:
    """Write plain data as JSON: the same in whatever order a configuration gives its keys."""
    return json.dumps(value, sort_keys=True)


def check_images(data: Mapping[str, Any], on_nodes: bool) -> str:
    """Look at the images that are to be packed; returns a warning, empty where they are as configured.

    With `on_nodes`, jobs run where a folder may be that this machine does not see, or has nothing in.

    Raises:
        UserError: folders that are missing, or other classes than configured.
    """
    try:
        check_classes(data)
    except UserError as error:
        path = data.get("path")
        if not (on_nodes and path and not Path(path, "train").exists()):
            raise
        return f"Warning: {error}, unless the nodes see what this machine does not\n"
    return ""


def state_of_images(data: Mapping[str, Any], recorded: Callable[[], Iterable[str] | None]) -> str:
    """Digest the state of the images; where they are gone, return the state in which they were packed.

    `recorded` gives the parameters of the job that packed them, each as Snakemake keeps it: as Python writes it.
    """
    if state := source_state(data):
        return f"images {state}"
    return next((value.strip("'") for value in recorded() or () if value.startswith("'images ")), "no images")


@contextmanager
def raised_as(kind: type[Exception]) -> Iterator[None]:
    """Raise a user's mistake as another kind of exception, one that Snakemake tells without a traceback."""
    try:
        yield
    except UserError as error:
        raise kind(error) from None

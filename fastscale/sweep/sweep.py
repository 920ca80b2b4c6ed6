"""A sweep: which networks are scaled from which bases, where their records lie and which artefacts show them.

Pure Python, no torch: the DAG is expanded from here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from fastscale.errors import UserError, within
from fastscale.networks import Definitions, Network
from fastscale.records.records import digest
from fastscale.sweep.catalogue import ARTEFACTS, Measurement, files
from fastscale.sweep.schema import checked_sweep, selections
from fastscale.sweep.search import Candidate, Search
from fastscale.sweep.selection import Bases, Point, Selection, names, points
from fastscale.validation.documents import one_line, read_json

FIXED = "fixed"  # the source of networks that are known without a search


@dataclass(frozen=True)
class Sweep:
    """A validated configuration and what follows from it; make one with `Sweep.from_config`.

    A base that a search finds is unknown until its record is there: until then points of it are left out, and
    `waiting` names them, unless it is `assumed`.
    """

    config: Mapping[str, Any]
    assumed: Definitions = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], source: str = "config.yaml") -> "Sweep":
        """Check a configuration against the schema, fill in its defaults and expand it.

        Raises:
            UserError: a misspelt key, a value out of range, an unknown base, strategy or schedule.
        """
        with within(source):
            sweep = cls(checked_sweep(config))
            # What only the expansion finds is told now too: unknown bases, impossible scales, own bases.
            own = filter(lambda name: not sweep.bases.is_unknown(name), sweep.config["define"])
            _ = sweep.points, sweep.candidates, list(map(sweep.bases.network, own))
        return sweep

    @classmethod
    def load(cls, path: Path) -> "Sweep":
        """The sweep whose expansion wrote `path` (a sweep.json).

        Raises:
            UserError: there is no such file, or it describes no sweep.
        """
        try:
            config = read_json(path.read_text(), str(path))
        except FileNotFoundError:
            raise UserError(
                f"{path} is missing; give a sweep's own description, results/<sweep>/sweep.json, which any run of "
                "snakemake on the sweep writes"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({one_line(error)}); give a sweep's description") from None
        with within(str(path)):
            return cls(checked_sweep(config))

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.config["sweep"]

    @property
    def classes(self) -> int:
        """Classes of the data."""
        return self.config["data"]["classes"]

    @property
    def folder(self) -> Path:
        """Where its results lie."""
        return Path(self.config["results"], self.name)

    @property
    def description(self) -> Path:
        """Where the sweep describes itself: its whole configuration, defaults filled in."""
        return self.folder / "sweep.json"

    @property
    def data_folder(self) -> Path:
        """Where the .beton files lie; sweeps with equal data settings share it."""
        return Path("data", f"{self.config['data']['name']}-{digest(self.config['data'])[:8]}")

    def recipe(self, schedule: str) -> dict[str, Any]:
        """The recipe of a schedule, as differences from the paper's."""
        return {**self.config["recipe"], "epochs": self.config["schedules"][schedule]}

    @property
    def schedule(self) -> str:
        """The schedule that the figures show."""
        return self.config["schedule"]

    @property
    def trials(self) -> range:
        """The trials of each network, from 1; a candidate of a search has the first one alone."""
        return range(1, self.config["trials"] + 1)

    # Searches: a base that one finds is a definition like any other, once its record is there.

    @cached_property
    def searches(self) -> dict[str, Search]:
        """The random searches, by the name of the base that each one finds."""
        return {name: Search.from_dict(name, config) for name, config in self.config["search"].items()}

    @cached_property
    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """The candidates of each search."""
        return {name: search.candidates(self.classes) for name, search in self.searches.items()}

    @cached_property
    def bases(self) -> Bases:
        """The bases that are known now."""
        found = dict(self.assumed)
        for name in self.searches:
            try:
                record = json.loads(self.search_record(name).read_text())
            except (OSError, ValueError):
                continue  # not searched yet; a broken record is the aggregator's to tell
            if record.get("search") == self.config["search"][name]:
                found[name] = record["found"]
        return Bases(self.config["define"], frozenset(self.searches), found, self.classes)

    # Selections: what artefacts and grid ask for.

    @cached_property
    def everything(self) -> tuple[Selection, ...]:
        """All that the grid and the artefacts ask for, in the order of the configuration."""
        grid = (self._select(place, entry) for name, place, entry in selections(self.config) if name == "grid")
        own = (name for name in (*self.config["figures"], *self.config["tables"]))
        return (*grid, *(chosen for name in own for chosen in self.selections(name)))

    def selections(self, artefact: str) -> tuple[Selection, ...]:
        """What an artefact shows; what shows no error needs no training."""
        if ARTEFACTS[artefact].points == "all":
            return self.everything
        trained = "error" in self.reads(artefact)
        return tuple(self._select(*entry, trained) for entry in self._entries(artefact))

    def reads(self, artefact: str) -> tuple[Measurement, ...]:
        """The measurements that an artefact shows of its points: no error where the sweep trains nothing."""
        return tuple(one for one in ARTEFACTS[artefact].reads if one != "error" or self.config["train"])

    def waiting(self, artefact: str) -> list[str]:
        """The bases of an artefact that wait for a search."""
        asked = dict.fromkeys(name for _, entry in self._entries(artefact) for name in names(entry))
        return list(filter(self.bases.is_unknown, asked))

    def searches_of(self, artefact: str) -> list[str]:
        """The searches that must have run before an artefact can be made."""
        if artefact == "searches":
            return list(self.searches)
        found = [self.bases.search_of(name) for _, entry in self._entries(artefact) for name in names(entry)]
        return list(dict.fromkeys(filter(None, found)))

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Every point that is asked for, once, in the order in which they are asked for."""
        return points(self.everything)

    @cached_property
    def networks(self) -> dict[str, Network]:
        """The distinct networks of all points, by id: what is counted, timed and trained, each one once."""
        return {point.network.id: point.network for point in self.points}

    @cached_property
    def sources(self) -> dict[str, str]:
        """Where each network comes from, by its id: a search that it rests on, or FIXED."""
        found = {point.network.id: self.bases.search_of(point.base) or FIXED for point in self.points}
        return found | {point.network.id: FIXED for point in self.points if self.bases.search_of(point.base) is None}

    @cached_property
    def trained(self) -> dict[str, Network]:
        """All networks that may be trained, by id: candidates of searches too."""
        candidates = (candidate.network for found in self.candidates.values() for candidate in found)
        return {network.id: network for network in candidates} | self.networks

    # Files.

    @cached_property
    def artefacts(self) -> dict[str, tuple[Path, ...]]:
        """The files of each artefact of this sweep, by the artefact's name."""
        return {
            name: tuple(self.folder / file for file in files(name))
            for name, artefact in ARTEFACTS.items()
            if artefact.points != "own" or name in (*self.config["figures"], *self.config["tables"])
            if name != "searches" or self.searches
            if self.reads(name) or not artefact.reads
        }

    def why_absent(self, artefact: str) -> str:
        """Say why this sweep has no artefact of that name, and how it would."""
        if artefact not in ARTEFACTS:
            close = get_close_matches(artefact, self.artefacts, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            return f"unknown artefact {artefact!r}: {hint}the sweep {self.name!r} has {', '.join(self.artefacts)}"
        if not self.config["train"] and not self.reads(artefact):
            return f"{artefact} shows errors, but the sweep {self.name!r} trains nothing (train: false)"
        if artefact == "searches":
            return f"searches shows random searches, but the sweep {self.name!r} has none (search)"
        part = f"{ARTEFACTS[artefact].kind}s"
        return (
            f"the sweep {self.name!r} does not say what {artefact} shows; add it under {part}, such as "
            f"{part}: {{{artefact}: {{bases: [EN-B0], strategies: [w]}}}}"
        )

    def in_scope(self, path: Path, scope: str) -> Path:
        """Where an artefact lies that shows less than all records: in a folder of its own."""
        return path if scope == "all" else self.folder / scope / path.relative_to(self.folder)

    def records(self, artefact: str) -> list[Path]:
        """The records that an artefact reads."""
        if artefact not in self._records:
            self._records[artefact] = self._find_records(artefact)
        return self._records[artefact]

    @cached_property
    def _records(self) -> dict[str, list[Path]]:
        return {}

    def _find_records(self, artefact: str) -> list[Path]:
        reads, selections = self.reads(artefact), self.selections(artefact)
        sources = {self.sources[point.network.id] for point in points(selections)}
        paths = [self.search_record(name) for name in self.searches_of(artefact)]
        paths += map(self.network_record, sources)
        if "time" in reads:
            paths += map(self.profile_record, sources)
        if "error" in reads:
            paths += [self.train_record(*asked, trial) for asked in self.trainings(selections) for trial in self.trials]
        return sorted(paths)

    def trainings(self, selections: Iterable[Selection]) -> list[tuple[str, str]]:
        """The networks that the selections have trained, with the schedule, each pair once."""
        asked = ((p.network.id, s) for chosen in selections for s in chosen.schedules for p in points([chosen]))
        return list(dict.fromkeys(asked))

    def candidate_records(self, search: str) -> list[Path]:
        """The train records among which a search chooses, in the order of its candidates."""
        schedule = self.searches[search].schedule
        return [self.train_record(candidate.network.id, schedule, 1) for candidate in self.candidates[search]]

    def search_record(self, search: str) -> Path:
        """Where the outcome of a search lies."""
        return self.folder / "search" / f"{search}.json"

    def network_record(self, source: str) -> Path:
        """Where the networks of a source lie: their descriptions and counts."""
        return self.folder / "networks" / f"{source}.json"

    def profile_record(self, source: str) -> Path:
        """Where the measured runtimes of the networks of a source lie."""
        return self.folder / "profile" / f"{source}.json"

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Where the outcome of one training lies."""
        return self.folder / "train" / network / f"{schedule}-{trial}.json"

    def _entries(self, artefact: str) -> list[tuple[str, Mapping[str, Any]]]:
        """The configuration's selections for an artefact, each with its place."""
        is_all = ARTEFACTS[artefact].points == "all"
        return [(place, entry) for name, place, entry in selections(self.config) if is_all or name == artefact]

    def _select(self, place: str, entry: Mapping[str, Any], trained: bool = True) -> Selection:
        asked = entry.get("schedules", [self.schedule] if trained else [])
        schedules = tuple(asked if self.config["train"] else [])
        curves = self.bases.curves(entry, self.config["scales"], place)
        return Selection(tuple(curves), schedules, entry.get("label", ""))

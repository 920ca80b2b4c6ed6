"""A sweep: which networks are scaled from which bases, where their records lie and which artefacts show them.

Pure Python, no torch: the DAG is expanded from here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastscale.errors import UserError, within
from fastscale.networks import Definitions, Network
from fastscale.sweep.expansion import Expansion, expand
from fastscale.sweep.layout import Layout
from fastscale.sweep.needs import Needs
from fastscale.sweep.schema import checked_sweep
from fastscale.sweep.search import Candidate, Search
from fastscale.sweep.selection import Bases, Point, Selection, trainings
from fastscale.validation.documents import one_line, read_json


@dataclass(frozen=True)
class Sweep:
    """A validated configuration and what follows from it, in three parts; make one with `Sweep.from_config`.

    `layout` has the paths, `expansion` the points and networks, `needs` the artefacts with their records; what many ask
    for can be had from the sweep itself. A base that a search finds is unknown until the search's record is there:
    until then points of that base are left out, and `needs.waiting` names them, unless the base is `assumed`.
    """

    config: Mapping[str, Any]
    layout: Layout
    expansion: Expansion
    assumed: Definitions = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], source: str = "config.yaml") -> "Sweep":
        """Check a configuration against the schema, fill in its defaults and expand it.

        Raises:
            UserError: a misspelt key, a value out of range, an unknown base, strategy or schedule.
        """
        with within(source):
            sweep = cls.expanded(checked_sweep(config))
            sweep.expansion.refuse_impossible()
        return sweep

    @classmethod
    def load(cls, path: Path) -> "Sweep":
        """Read the sweep whose expansion wrote `path` (a sweep.json).

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
            return cls.expanded(checked_sweep(config))

    @classmethod
    def expanded(cls, config: Mapping[str, Any], assumed: Definitions | None = None) -> "Sweep":
        """Expand a whole configuration by the bases that searches have found by now, and those that are `assumed`.

        Raises:
            UserError: an unknown base or strategy, or a scale that cannot be.
        """
        layout = Layout.from_config(config)
        found = {**(assumed or {}), **_found(config["search"], layout)}
        return cls(config, layout, expand(config, found), assumed or {})

    @property
    def needs(self) -> Needs:
        """Return the sweep's artefacts, with what each one needs."""
        return Needs(self.config, self.layout, self.expansion)

    @property
    def name(self) -> str:
        """Return the sweep's name."""
        return str(self.config["sweep"])

    @property
    def schedule(self) -> str:
        """Return the name of the schedule that the figures show."""
        return str(self.config["schedule"])

    @property
    def trials(self) -> range:
        """Return the trials of each network, from 1; a candidate of a search has the first one alone."""
        return range(1, self.config["trials"] + 1)

    def recipe(self, schedule: str) -> dict[str, Any]:
        """Return the recipe of a schedule, as differences from the paper's."""
        return {**self.config["recipe"], "epochs": self.config["schedules"][schedule]}

    # Of the layout.

    @property
    def folder(self) -> Path:
        """Return the folder of the sweep's results."""
        return self.layout.folder

    @property
    def data_folder(self) -> Path:
        """Return the folder of the packed images; sweeps with equal data settings share it."""
        return self.layout.data_folder

    @property
    def description(self) -> Path:
        """Return the path at which the sweep describes itself."""
        return self.layout.description

    def in_scope(self, path: Path, scope: str) -> Path:
        """Return the path of an artefact's file that shows less than all records."""
        return self.layout.in_scope(path, scope)

    def search_record(self, search: str) -> Path:
        """Return the path of a search's outcome."""
        return self.layout.search_record(search)

    def network_record(self, source: str) -> Path:
        """Return the path of the networks that come from a source."""
        return self.layout.network_record(source)

    def profile_record(self, source: str) -> Path:
        """Return the path of the measured runtimes of the networks that come from a source."""
        return self.layout.profile_record(source)

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Return the path of the outcome of one training."""
        return self.layout.train_record(network, schedule, trial)

    # Of the expansion.

    @property
    def bases(self) -> Bases:
        """Return the bases that are known now."""
        return self.expansion.bases

    @property
    def searches(self) -> Mapping[str, Search]:
        """Return the random searches, by the name of the base that each one finds."""
        return self.expansion.searches

    @property
    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """Return the candidates of each search."""
        return self.expansion.candidates

    @property
    def everything(self) -> tuple[Selection, ...]:
        """Return all that the grid and the artefacts ask for, in the order of the configuration."""
        return self.expansion.everything

    @property
    def points(self) -> tuple[Point, ...]:
        """Return every point that is asked for, once, in the order in which they are asked for."""
        return self.expansion.points

    @property
    def networks(self) -> Mapping[str, Network]:
        """Return the distinct networks of all points, by id: what is counted, timed and trained, each one once."""
        return self.expansion.networks

    @property
    def sources(self) -> Mapping[str, str]:
        """Return where each network comes from, by its id: a search that it rests on, or FIXED."""
        return self.expansion.sources

    # Of the needs.

    @property
    def artefacts(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of each artefact of this sweep, by the artefact's name."""
        return self.needs.artefacts

    def records(self, artefact: str) -> list[Path]:
        """Return the paths of the records that an artefact reads."""
        return self.needs.records(artefact)

    def trainings(self, selections: Iterable[Selection]) -> list[tuple[str, str]]:
        """Return the networks that the selections have trained, by id, with the schedule, each pair once."""
        return trainings(selections)


def _found(searches: Mapping[str, Any], layout: Layout) -> dict[str, Mapping[str, Any]]:
    """Read which bases searches have found by now; a record of another search under the same name does not count."""
    found = {}
    for name, search in searches.items():
        try:
            record = json.loads(layout.search_record(name).read_text())
        except (OSError, ValueError):
            continue  # not searched yet; of a broken record `aggregate` reports
        if record.get("search") == search:
            found[name] = record["found"]
    return found

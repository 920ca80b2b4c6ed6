"""A sweep: its checked configuration, with the networks, paths and artefacts that follow from the configuration.

Pure Python, no torch: the workflow is planned from here.
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
    """A sweep; `Sweep.from_config` makes it from a configuration, `Sweep.load` from its sweep.json.

    `layout` has the paths, `expansion` the points and networks, `needs` the artefacts with their records. The sweep
    itself offers the properties of these three parts that most callers use. As long as a search has no record, the
    base that it will find is unknown: the points of this base are left out, and `needs.waiting` names it, unless
    `assumed` gives the base a definition.
    """

    config: Mapping[str, Any]
    layout: Layout
    expansion: Expansion
    assumed: Definitions = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Mapping[str, Any], source: str = "config.yaml") -> "Sweep":
        """Check a configuration against the schema, fill in its defaults and expand it.

        Raises:
            UserError: a key is misspelt, a value is out of range, or a base, strategy or schedule is unknown; the
                sentence begins with `source`.
        """
        with within(source):
            sweep = cls.expanded(checked_sweep(config))
            sweep.expansion.refuse_impossible()
        return sweep

    @classmethod
    def load(cls, path: Path) -> "Sweep":
        """Read a sweep from its description, a sweep.json.

        Raises:
            UserError: the file is missing, or describes no sweep.
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
        """Expand a checked configuration, with the bases that searches have found by now, and those that are `assumed`.

        Raises:
            UserError: a base or strategy is unknown, or a scale impossible.
        """
        layout = Layout.from_config(config)
        outcomes = {**(assumed or {}), **_search_outcomes(config["search"], layout)}
        return cls(config, layout, expand(config, outcomes), assumed or {})

    @property
    def needs(self) -> Needs:
        """Return the sweep's artefacts, with the needs of each one."""
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
        """Return the numbers of the trials of each network, from 1; candidates of searches have trial 1 alone."""
        return range(1, self.config["trials"] + 1)

    def recipe(self, schedule: str) -> dict[str, Any]:
        """Return the recipe of a schedule, as differences from the paper's recipe."""
        return {**self.config["recipe"], "epochs": self.config["schedules"][schedule]}

    # Layout.

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
        """Return the path of the sweep's description."""
        return self.layout.description

    def in_scope(self, path: Path, scope: str) -> Path:
        """Return the path of an artefact's file in a scope: all, partial or complexity."""
        return self.layout.in_scope(path, scope)

    def search_record(self, search: str) -> Path:
        """Return the path of a search record."""
        return self.layout.search_record(search)

    def network_record(self, source: str) -> Path:
        """Return the path of the networks record of a source."""
        return self.layout.network_record(source)

    def profile_record(self, source: str) -> Path:
        """Return the path of the profiles record of a source."""
        return self.layout.profile_record(source)

    def train_record(self, network: str, schedule: str, trial: int | str) -> Path:
        """Return the path of the train record of one training."""
        return self.layout.train_record(network, schedule, trial)

    # Expansion.

    @property
    def bases(self) -> Bases:
        """Return the bases: built in, defined, and found by searches so far."""
        return self.expansion.bases

    @property
    def searches(self) -> Mapping[str, Search]:
        """Return the random searches, by the name of the base that each search finds."""
        return self.expansion.searches

    @property
    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """Return the candidates of each search."""
        return self.expansion.candidates

    @property
    def everything(self) -> tuple[Selection, ...]:
        """Return the selections of the grid and of all artefacts, in the order of the configuration."""
        return self.expansion.everything

    @property
    def points(self) -> tuple[Point, ...]:
        """Return every point of the sweep once, in the order of the configuration."""
        return self.expansion.points

    @property
    def networks(self) -> Mapping[str, Network]:
        """Return the distinct networks of all points, by id: each network is counted, timed and trained once."""
        return self.expansion.networks

    @property
    def sources(self) -> Mapping[str, str]:
        """Return the source of each network, by its id: the search that it depends on, or FIXED."""
        return self.expansion.sources

    # Needs.

    @property
    def artefacts(self) -> dict[str, tuple[Path, ...]]:
        """Return the files of each artefact of this sweep, by the artefact's name."""
        return self.needs.artefacts

    def records(self, artefact: str) -> list[Path]:
        """Return the paths of the records that an artefact reads."""
        return self.needs.records(artefact)

    def trainings(self, selections: Iterable[Selection]) -> list[tuple[str, str]]:
        """Return the trainings that selections need: pairs of a network's id and a schedule, each once."""
        return trainings(selections)


def _search_outcomes(searches: Mapping[str, Any], layout: Layout) -> dict[str, Mapping[str, Any]]:
    """Read the bases that searches have found by now; a record of another search under the same name does not count."""
    outcomes = {}
    for name, search in searches.items():
        try:
            record = json.loads(layout.search_record(name).read_text())
        except (OSError, ValueError):
            continue  # the search has not run yet, or its record is broken, which `aggregate` reports
        if record.get("search") == search:
            outcomes[name] = record["found"]
    return outcomes
